import pytest

from fedcausal_clients import home as home_module
from fedcausal_clients.home import create_identity, open_home
from fedcausal_clients.run_state import load_run
from fedcausal_clients.steward_node import answer
from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.messages import Message
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
