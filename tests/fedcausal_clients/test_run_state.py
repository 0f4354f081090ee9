import pytest

from fedcausal_clients.egress import Permit
from fedcausal_clients.run_state import RunState, load_run, request_digest, run_id_of, save_run
from fedcausal_clients.state_store import StateStore
from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.messages import Message

ASKED = Message(kind="query.upload", header={"run_id": "r1"}, blobs={"w": b"1"})


def test_state_and_reply_come_back_together(tmp_path):
    store = StateStore.open(tmp_path / "state")
    assert load_run(store, "r1") is None
    permit = Permit(statistic="s", kind="toy", length=1, run_id="r1", round_number=2)
    run = RunState(
        run_id="r1",
        secure_sum=b"\x00secret",
        study_toml="[study]",
        request=request_digest(ASKED),
        reply=Message(kind="query.upload", header={"a": 1}, blobs={"ciphertext/s": b"x"}),
        permits={"s": permit},
    )
    save_run(store, run)
    assert load_run(store, "r1") == run
    assert run.answered(ASKED) == run.reply


def test_another_message_was_not_answered():
    run = RunState(run_id="r1", secure_sum=b"", request=request_digest(ASKED), reply=ASKED)
    other = Message(kind=ASKED.kind, header=ASKED.header, blobs={"w": b"2"})
    assert run.answered(other) is None


@pytest.mark.parametrize("run_id", [None, 3, "", "../x", "a/b", "a" * 65])
def test_a_message_without_a_usable_run(run_id):
    with pytest.raises(ProtocolError, match="names no run"):
        run_id_of(Message(kind="query.hello", header={"run_id": run_id}))
