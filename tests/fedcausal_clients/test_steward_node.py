import base64

import pytest

from fedcausal_clients import home as home_module
from fedcausal_clients.home import create_identity, open_home
from fedcausal_clients.run_state import load_run
from fedcausal_clients.steward_node import answer
from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.messages import Message, unpack
from fedcausal_privacy.secure_sum.steward import StewardState

HELLO = Message(kind="query.hello", header={"run_id": "r1"})


@pytest.fixture
def steward(tmp_path):
    (tmp_path / "site.toml").write_text(
        '[site]\nname = "keys"\nrole = "steward"\n[simulation]\nseed = 1\n'
    )
    create_identity(tmp_path)
    with open_home(tmp_path) as home:
        yield home


def test_one_key_per_run_and_the_same_greeting_again(steward):
    first = answer(steward, HELLO)
    assert answer(steward, HELLO) == first
    other = answer(steward, Message(kind="query.hello", header={"run_id": "r2"}))
    assert other.blobs["context"] != first.blobs["context"]


def test_the_secret_key_stays_in_the_state_folder(steward):
    reply = answer(steward, HELLO)
    kept = load_run(steward.store, "r1").secure_sum
    assert len(kept) > len(reply.blobs["context"])
    assert home_module.STATE_FOLDER in str(steward.store.folder)


def test_a_closed_run_forgets_its_key(steward):
    answer(steward, HELLO)
    assert StewardState.from_bytes(load_run(steward.store, "r1").secure_sum).secret_context
    answer(steward, Message(kind="query.close", header={"run_id": "r1"}))
    closed = StewardState.from_bytes(load_run(steward.store, "r1").secure_sum)
    assert closed.secret_context == b""


def test_nothing_is_decrypted_before_a_greeting(steward):
    with pytest.raises(ProtocolError, match="begins with a greeting"):
        answer(steward, Message(kind="query.decrypt", header={"run_id": "r9"}))


def everything_stored(home):
    """The bytes of the state folder, and what the role's own key makes readable in them."""
    raw = b"".join(path.read_bytes() for path in home.store.folder.iterdir() if path.is_file())
    runs = [n.removeprefix("run-") for n in home.store.names() if n.startswith("run-")]
    return raw, b"".join(load_run(home.store, run_id).secure_sum for run_id in runs)


def test_the_decryption_key_rests_encrypted_and_is_gone_at_the_end_of_the_run(steward):
    answer(steward, HELLO)
    state = StewardState.from_bytes(load_run(steward.store, "r1").secure_sum)
    sealed = unpack(steward.store.read("run-r1")).blobs["sealed"]
    secret = state.secret_context
    forms = (secret, base64.b64encode(secret), secret[2000:2032])
    raw, readable = everything_stored(steward)
    assert not any(form in raw for form in forms)
    assert base64.b64encode(secret) in readable
    answer(steward, Message(kind="query.close", header={"run_id": "r1"}))
    raw, readable = everything_stored(steward)
    assert not any(form in raw + readable for form in forms)
    assert base64.b64encode(secret)[4000:4064] not in readable
    assert sealed[:64] not in raw
    assert [p.name for p in steward.store.folder.iterdir() if p.name.startswith(".writing")] == []
