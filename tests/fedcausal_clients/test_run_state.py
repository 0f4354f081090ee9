from dataclasses import replace

import numpy as np
import pytest

from fedcausal_clients.egress import Permit
from fedcausal_clients.run_state import RunState, load_run, request_digest, run_id_of, save_run
from fedcausal_clients.state_store import StateStore
from fedcausal_privacy.canonical import canonical_json
from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.messages import Message, pack, unpack

ASKED = Message(kind="query.upload", header={"run_id": "r1"}, blobs={"w": b"1"})


def test_state_and_reply_come_back_together(tmp_path):
    store = replace(StateStore.open(tmp_path / "state"), key=bytes(32))
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


def stored(folder, run_id, context, key=bytes(32)):
    store = replace(StateStore.open(folder), key=key)
    state = canonical_json({"public_context": context, "secret": "the secret key"})
    save_run(store, RunState(run_id=run_id, secure_sum=state))
    return store


def test_keys_rest_encrypted_and_open_for_their_own_run_key_and_context_only(tmp_path):
    store = stored(tmp_path, "r1", "one")
    content = (tmp_path / "run-r1").read_bytes()
    assert b"the secret key" not in content
    assert b"the secret key" in load_run(store, "r1").secure_sum
    assert (tmp_path / "run-r1").stat().st_mode & 0o777 == 0o600
    assert tmp_path.stat().st_mode & 0o777 == 0o700
    with pytest.raises(ProtocolError, match="another identity"):
        load_run(replace(store, key=bytes(31) + b"1"), "r1")
    (tmp_path / "run-r2").write_bytes(content)
    with pytest.raises(ProtocolError):
        load_run(store, "r2")
    other = unpack(stored(tmp_path, "r3", "two").read("run-r3"))
    mixed = replace(unpack(content), header=other.header)
    (tmp_path / "run-r1").write_bytes(pack(mixed))
    with pytest.raises(ProtocolError):
        load_run(store, "r1")


def test_vectors_rest_encrypted_too(tmp_path):
    store = replace(StateStore.open(tmp_path), key=bytes(32))
    vector = np.array([7**20, -(7**21)])
    save_run(store, RunState(run_id="r1", secure_sum=b"state", vectors={"s": vector}))
    assert (load_run(store, "r1").vectors["s"] == vector).all()
    content = (tmp_path / "run-r1").read_bytes()
    assert vector[:1].astype("<i8").tobytes() not in content


def test_a_run_of_an_earlier_version_is_refused_in_words(tmp_path):
    store = stored(tmp_path, "r1", "one")
    old = unpack(store.read("run-r1"))
    store.write("run-r1", pack(replace(old, blobs={"secure_sum": old.blobs["sealed"]})))
    with pytest.raises(ProtocolError, match="earlier version"):
        load_run(store, "r1")


def test_a_state_is_not_written_without_a_key(tmp_path):
    with pytest.raises(ProtocolError, match="identity key"):
        stored(tmp_path, "r1", "one", key=b"")
    assert list(tmp_path.glob("run-*")) == []
