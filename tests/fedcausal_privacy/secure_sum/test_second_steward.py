"""The second steward: one sum of pads per statistic, and every refusal says why inside."""

from dataclasses import replace

import numpy as np
import pytest

from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.keys.identity import Identity
from fedcausal_privacy.messages import Message
from fedcausal_privacy.secure_sum import second_steward, steward
from fedcausal_privacy.secure_sum.fixed_point import join_limbs

NAME = "second-steward"


@pytest.fixture
def asked(recorded_pads):
    """(states, message) before the pads are added."""
    return recorded_pads.before["query.pads", NAME], recorded_pads.messages["query.pads", NAME]


def answer(pool, message, **change):
    state = replace(pool.second_steward, **change)
    return second_steward.step(state, message, identity=pool.identities[NAME])


def test_the_pads_are_one_more_summand_under_the_stewards_key(asked, recorded_pads):
    pool, message = asked
    state, reply = answer(pool, message)
    assert state.spent == ((1, "gram"),)
    scheme, secret = steward.BfvScheme(), pool.steward.secret_context
    pads = scheme.decrypt(secret, reply.blobs["pads/gram"], length=8)
    padded = sum(
        join_limbs(scheme.decrypt(secret, b, length=8), 2)
        for name, b in recorded_pads.decrypt.blobs.items()
        if name.startswith("ciphertext/")
    )
    assert (padded + join_limbs(pads, 2)).tolist() == [12, 30, -3, 0]
    assert np.unique(pads).size == 8


@pytest.mark.parametrize(
    "change",
    [
        {"manifest": None},
        {"sites": ["a", "b"]},
        {"sites": ["c", "b", "a"]},
        {"sites": ["a", "b", "c", "z"]},
        {"sites": ["a", "a", "b", "c"]},
        {"round": 2},
        {"kind": "train.upload"},
        {"kind": "query.hello"},
        {"specs": []},
        {"seeds": {}},
    ],
)
def test_any_changed_entry_is_refused(asked, with_entries, change):
    pool, message = asked
    with pytest.raises(ProtocolError):
        answer(pool, with_entries(message, **change))


def test_another_context_manifest_or_key_is_refused(asked, with_entries):
    pool, message = asked
    manifest = pool.aggregator.manifest
    for other in (
        replace(manifest, run_id="other"),
        replace(manifest, pad_key="1" * 64),
        replace(manifest, study_hash="1" * 64),
        replace(manifest, second_steward=replace(manifest.second_steward, name="x")),
    ):
        with pytest.raises(ProtocolError):
            answer(pool, with_entries(message, manifest=other.to_json()))
    foreign, _ = steward.BfvScheme().generate_keys()
    with pytest.raises(ProtocolError):
        answer(pool, with_entries(message, {"context": foreign}))
    for change in ({"manifest_digest": "1" * 64}, {"trusted": {}}, {"pad_key": b""}):
        with pytest.raises(ProtocolError):
            answer(pool, message, **change)


def test_one_state_serves_one_run_with_one_key():
    identity, greeting = Identity.generate(), Message(kind="query.hello", header={"run_id": "r"})
    state, reply = second_steward.step(
        second_steward.begin(name=NAME), greeting, identity=identity
    )
    assert second_steward.step(state, greeting, identity=identity) == (state, reply)
    assert state.pad_key.hex() not in repr(state)
    assert state.pad_key not in reply.blobs.values()
    other = Message(kind="query.hello", header={"run_id": "s"})
    for bad in (other, Message(kind="query.decrypt")):
        with pytest.raises(ProtocolError):
            second_steward.step(state, bad, identity=identity)
    closed = second_steward.close(state)
    assert closed.pad_key == b""
    with pytest.raises(ProtocolError):
        second_steward.step(closed, greeting, identity=identity)


def test_no_memory_is_taken_before_the_sites_signatures_are_checked(
    asked, with_entries, spec, monkeypatch
):
    """A length is what the sites signed, not what a coordinator says: 2^50 words are 8 PB."""
    pool, message = asked
    huge = replace(spec, length=2**50)

    def refuse(*_, **__):
        raise AssertionError("memory was taken for an unsigned length")

    monkeypatch.setattr(second_steward, "to_words", refuse)
    with pytest.raises(ProtocolError):
        answer(pool, with_entries(message, specs=[huge.to_json()]))
