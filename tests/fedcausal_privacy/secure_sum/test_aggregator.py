"""The aggregator: one verified answer per site, stale ones ignored, and never a key."""

from dataclasses import replace

import numpy as np
import pytest

from fedcausal_privacy.envelopes import Envelope, seal
from fedcausal_privacy.errors import DeadlineError, ProtocolError
from fedcausal_privacy.keys.identity import Identity
from fedcausal_privacy.messages import Message
from fedcausal_privacy.secure_sum import aggregator, headers
from fedcausal_privacy.secure_sum.in_process import SecureSum


def before_uploads(recorded):
    return recorded.before["query.upload", "a"].aggregator


def upload_of(recorded, site):
    return recorded.replies["query.upload", site]


def take(state, recorded, order):
    for site in order:
        state, posts = aggregator.receive(state, site, upload_of(recorded, site))
    return state, posts


def test_the_order_of_arrival_does_not_matter(recorded):
    for order in ("abc", "cab", "bca"):
        _, (post,) = take(before_uploads(recorded), recorded, order)
        assert post.recipient == "steward"
        assert post.message.header["sums"] == recorded.decrypt.header["sums"]


def test_nobody_is_counted_twice_and_strangers_not_at_all(recorded):
    state, posts = take(before_uploads(recorded), recorded, "ab")
    assert posts == ()
    for sender in ("a", "z", "steward"):
        assert aggregator.receive(state, sender, upload_of(recorded, "a")) == (state, ())
    with pytest.raises(ProtocolError):
        aggregator.receive(state, "c", upload_of(recorded, "a"))


def test_a_changed_or_exchanged_ciphertext_is_refused(recorded, with_entries):
    state, first, second = (
        before_uploads(recorded),
        upload_of(recorded, "a"),
        upload_of(recorded, "b"),
    )
    content = bytearray(first.blobs["ciphertext/gram"])
    content[5000] ^= 1
    changed = with_entries(first, {"ciphertext/gram": bytes(content)})
    exchanged = with_entries(first, {"ciphertext/gram": second.blobs["ciphertext/gram"]})
    forged = {"gram": seal(Identity.generate(), envelope_header(first)).to_json()}
    for bad in (
        changed,
        exchanged,
        replace(first, blobs={}),
        with_entries(first, envelopes=forged),
    ):
        with pytest.raises(ProtocolError):
            aggregator.receive(state, "a", bad)


def envelope_header(reply):
    return Envelope.from_json(reply.header["envelopes"]["gram"]).header


def test_late_answers_of_another_round_or_attempt_change_nothing(recorded, contributions, spec):
    pool = recorded.before["end", ""]
    state, _ = aggregator.ask(pool.aggregator, specs=[spec])
    for site in "abc":
        assert aggregator.receive(state, site, upload_of(recorded, site)) == (state, ())
    release = recorded.replies["query.decrypt", "steward"]
    assert aggregator.receive(state, "steward", release) == (state, ())
    later = replace(before_uploads(recorded), attempt=2)
    reasons = []
    reply = upload_of(recorded, "a")
    assert aggregator.receive(later, "a", reply, on_refusal=reasons.append) == (later, ())
    assert reasons == ["ignored a query.upload of 'a' that nobody waits for"]


def test_a_greeting_must_be_signed_for_this_run(opening):
    other, _ = aggregator.open(
        aggregator.begin(run_id="another", study_hash="0" * 64, sites="abc", steward="steward")
    )
    with pytest.raises(ProtocolError):
        aggregator.receive(other, "a", opening.replies["query.hello", "a"])
    state = opening.before["query.hello", "a"].aggregator
    with pytest.raises(ProtocolError):
        aggregator.receive(state, "b", opening.replies["query.hello", "a"])


def test_the_release_must_be_the_stewards_for_this_round(recorded, spec, with_entries):
    reply = recorded.replies["query.decrypt", "steward"]
    state = asked_for_total(recorded)
    done, _ = aggregator.receive(state, "steward", reply)
    assert done.totals["gram"].totals.tolist() == [12, 30, -3, 0]
    assert (done.summed, done.phase) == (("a", "b", "c"), "ready")
    payload = bytearray(reply.blobs["release/gram"])
    payload[0] ^= 1
    bad = [
        with_entries(reply, {"release/gram": bytes(payload)}),
        replace(reply, blobs={}),
        with_entries(reply, roster=reply.header["envelopes"]["gram"]),
        with_entries(reply, envelopes={}),
    ]
    for other in bad:
        with pytest.raises(ProtocolError):
            aggregator.receive(state, "steward", other)


def asked_for_total(recorded):
    return take(before_uploads(recorded), recorded, "abc")[0]


def test_steps_out_of_order_are_refused(spec, agreed):
    young = aggregator.begin(run_id="run", study_hash="0" * 64, sites="abc", steward="s")
    with pytest.raises(ProtocolError, match="agreed roster"):
        aggregator.ask(young, specs=[spec])
    with pytest.raises(ProtocolError, match="at least one statistic"):
        aggregator.ask(agreed.aggregator, specs=[])
    assert aggregator.expire(agreed.aggregator) == (agreed.aggregator, ())
    assert not aggregator.is_waiting(agreed.aggregator)
    assert aggregator.receive(young, "a", Message(kind="query.hello")) == (young, ())


def test_at_the_greeting_and_among_the_stewards_nobody_may_be_missing(recorded):
    young = aggregator.begin(run_id="run", study_hash="0" * 64, sites="abc", steward="s")
    state, _ = aggregator.open(young)
    with pytest.raises(DeadlineError, match=r"query.hello: no answer of a, b, c, s"):
        aggregator.expire(state)
    with pytest.raises(DeadlineError, match=r"query.decrypt: no answer of steward"):
        aggregator.expire(asked_for_total(recorded))


@pytest.mark.parametrize("mode", ["masked", "two-steward"])
def test_uploads_are_passed_on_and_dropped_as_they_come(mode, spec, monkeypatch, recording):
    """What is kept of the sites that have answered does not grow with their number."""
    monkeypatch.setattr("fedcausal_privacy.secure_sum.pending.BATCH_BYTES", 150_000)
    sizes = {}
    for num_sites in (6, 24):
        names = [f"s{i:02d}" for i in range(num_sites)]
        pool = SecureSum.open(names, mode=mode)
        given = {n: {"gram": (spec, np.full(4, i))} for i, n in enumerate(names)}
        recorded = recording(pool, given)
        sizes[num_sites] = max(kept_bytes(p.aggregator) for p in recorded.before.values())
        assert ("query.collect", "steward") in recorded.messages
        total = recorded.before["end", ""].aggregator.totals["gram"].totals
        assert total.tolist() == [sum(range(num_sites))] * 4
    assert sizes[24] == sizes[6] < 4 * 65_800


def kept_bytes(state):
    batch = sum(len(blob) for kept in state.batch for blob in kept.blobs.values())
    return batch + (0 if state.pending is None else sum(map(len, state.pending.sums.values())))


def test_a_batch_counts_once_and_for_its_attempt_only(recorded):
    state = replace(asked_for_total(recorded), outstanding=(1, 2), phase="freeze", waiting=("a",))
    ack = Message(kind=headers.COLLECT, header={"batch": 1, "attempt": 1})
    after, _ = aggregator.receive(state, "steward", ack)
    assert after.outstanding == (2,)
    assert aggregator.receive(after, "steward", ack) == (after, ())
    late = Message(kind=headers.COLLECT, header={"batch": 2, "attempt": 2})
    assert aggregator.receive(after, "steward", late) == (after, ())
