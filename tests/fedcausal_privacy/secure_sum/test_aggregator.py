"""The aggregator: one verified answer per site, and never a key."""

from dataclasses import replace

import pytest

from fedcausal_privacy.envelopes import seal
from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.identity import Identity
from fedcausal_privacy.messages import Message
from fedcausal_privacy.secure_sum import aggregator, headers, steward


def combine(pool, spec, replies, round=1, kind="query.upload"):
    return aggregator.combine(
        pool.aggregator, round=round, specs=[spec], replies=replies, kind=kind
    )


def test_the_order_of_arrival_does_not_matter(uploaded, spec, decrypt):
    pool, replies = uploaded
    assert combine(pool, spec, replies[::-1]) == decrypt


def test_a_missing_site_ends_the_round_with_nothing_revealed(uploaded, spec):
    pool, replies = uploaded
    with pytest.raises(ProtocolError, match=r"none came from c.*nothing was revealed"):
        combine(pool, spec, replies[:2])


def test_duplicates_strangers_and_other_rounds_or_kinds_are_refused(uploaded, spec):
    pool, replies = uploaded
    stranger = headers.hello_header(run_id="run", sender="z", identity="")
    foreign = Message(
        kind="query.upload",
        header={"envelopes": {"gram": seal(Identity.generate(), stranger).to_json()}},
    )
    for bad in ([*replies, replies[0]], [*replies, foreign]):
        with pytest.raises(ProtocolError):
            combine(pool, spec, bad)
    with pytest.raises(ProtocolError):
        combine(pool, spec, replies, round=2)
    with pytest.raises(ProtocolError):
        combine(pool, spec, replies, kind="train.upload")
    with pytest.raises(ProtocolError):
        combine(pool, replace(spec, bound=999), replies)


def test_a_changed_or_exchanged_ciphertext_is_refused(uploaded, spec, with_entries):
    pool, (first, second, third) = uploaded
    content = bytearray(first.blobs["ciphertext/gram"])
    content[5000] ^= 1
    changed = with_entries(first, {"ciphertext/gram": bytes(content)})
    exchanged = with_entries(first, {"ciphertext/gram": second.blobs["ciphertext/gram"]})
    absent = replace(first, blobs={})
    for bad in (changed, exchanged, absent):
        with pytest.raises(ProtocolError):
            combine(pool, spec, [bad, second, third])


def test_a_hello_must_be_signed_for_this_run(agreed):
    state = aggregator.begin(run_id="another", study_hash="0" * 64)
    pool, replies = agreed.ask(aggregator.hello(agreed.aggregator))
    _, introduction = steward.step(
        pool.steward, aggregator.hello(agreed.aggregator), identity=pool.steward_identity
    )
    with pytest.raises(ProtocolError):
        aggregator.advertise(state, sites=replies, steward=introduction)
    state, _ = aggregator.advertise(agreed.aggregator, sites=replies, steward=introduction)
    assert state.manifest == agreed.aggregator.manifest
    with pytest.raises(ProtocolError):
        aggregator.advertise(agreed.aggregator, sites=replies[:2], steward=introduction)


def test_the_release_must_be_the_stewards_for_this_round(uploaded, spec, decrypt, with_entries):
    pool, _ = uploaded
    _, reply = steward.step(pool.steward, decrypt, identity=pool.steward_identity)

    def read(reply, round=1, spec=spec):
        return aggregator.released(pool.aggregator, round=round, specs=[spec], reply=reply)

    assert read(reply)["gram"].totals.tolist() == [12, 30, -3, 0]
    payload = bytearray(reply.blobs["release/gram"])
    payload[0] ^= 1
    for bad in (with_entries(reply, {"release/gram": bytes(payload)}), replace(reply, blobs={})):
        with pytest.raises(ProtocolError):
            read(bad)
    with pytest.raises(ProtocolError):
        read(reply, round=2)
    with pytest.raises(ProtocolError):
        read(reply, spec=replace(spec, length=5))


def test_steps_out_of_order_are_refused(spec, uploaded):
    young = aggregator.begin(run_id="run", study_hash="0" * 64)
    with pytest.raises(ProtocolError, match="advertise first"):
        aggregator.freeze(young, [])
    with pytest.raises(ProtocolError, match="confirmed roster"):
        aggregator.upload(young, round=1, specs=[spec])
    with pytest.raises(ProtocolError, match="at least one statistic"):
        aggregator.upload(uploaded[0].aggregator, round=1, specs=[])


def test_the_sender_is_read_from_single_and_many_envelopes(agreed, uploaded):
    assert [aggregator.sender(reply) for reply in uploaded[1]] == ["a", "b", "c"]
    _, replies = agreed.ask(aggregator.hello(agreed.aggregator))
    assert [aggregator.sender(reply) for reply in replies] == ["a", "b", "c"]
    with pytest.raises(ProtocolError):
        aggregator.sender(Message(kind="query.hello"))
