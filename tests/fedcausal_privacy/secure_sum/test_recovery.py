"""An aggregator that crashed goes on from a quiet state and the events since: the same sum."""

from dataclasses import replace

import numpy as np
import pytest

from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.messages import Message
from fedcausal_privacy.secure_sum import aggregator, passing_on
from fedcausal_privacy.secure_sum.aggregator_state import Post
from fedcausal_privacy.secure_sum.in_process import STEWARD, SecureSum
from fedcausal_privacy.secure_sum.recovery import Event, advance, awaited
from fedcausal_privacy.statistic_spec import StatisticSpec

NAMES = ("a", "b", "c", "d")
SPEC = StatisticSpec(name="g", length=3, bound=10**6)
GIVEN = {name: {"g": (SPEC, np.array([10**i, -i, 7]))} for i, name in enumerate(NAMES)}
TOTAL = [1111, -6, 28]


def test_events_come_back_from_their_bytes():
    reply = Message(kind="k", header={"a": 1}, blobs={"b": b"\n\n"})
    for event in (Event(), Event(party="north", reply=reply)):
        assert Event.from_bytes(event.to_bytes()) == event
    for wrong in (b"", b"north", b"north\n", b"\nreply"):
        with pytest.raises(ProtocolError):
            Event.from_bytes(wrong)


def recovered(quiet, start, events):
    """The state and the messages of a process that finds these on the disk."""
    state, posts = start(quiet)
    for event in events:
        state, more = advance(state, Event.from_bytes(event.to_bytes()))
        posts += more
    return state, awaited(state, posts)


def crash_at_every_step(pool, start, contributions):
    """Deliver one message at a time; before each the aggregator is rebuilt from its disk."""
    quiet, events = pool.aggregator, []
    pool = replace(pool, aggregator=start(quiet)[0])
    while True:
        state, posts = recovered(quiet, start, events)
        assert state.to_bytes() == pool.aggregator.to_bytes()
        if not aggregator.is_waiting(state):
            return pool
        assert posts
        post = posts[-1]
        pool, reply = pool.deliver(post, contributions)
        event = Event(party=post.recipient, reply=reply)
        pool = replace(pool, aggregator=advance(pool.aggregator, event)[0])
        events.append(event)


@pytest.mark.parametrize("mode", ["masked", "two-steward"])
def test_a_crash_at_every_step_gives_the_same_sum(mode, monkeypatch):
    # Every upload is a batch of its own, which the steward has to confirm.
    monkeypatch.setattr(passing_on.pending_module, "BATCH_BYTES", 1)
    pool = SecureSum.begin(NAMES, mode=mode)
    pool = crash_at_every_step(pool, aggregator.open, {})
    for _ in range(2):
        pool = crash_at_every_step(pool, lambda s: aggregator.ask(s, specs=[SPEC]), GIVEN)
        assert pool.aggregator.totals["g"].totals.tolist() == TOTAL


def test_a_batch_that_the_steward_has_is_confirmed_again(monkeypatch):
    monkeypatch.setattr(passing_on.pending_module, "BATCH_BYTES", 1)
    pool = SecureSum.open(NAMES)
    state, asked = aggregator.ask(pool.aggregator, specs=[SPEC])
    batches = []
    for post in asked[:2]:
        pool, reply = pool.deliver(post, GIVEN)
        state, posts = aggregator.receive(state, post.recipient, reply)
        batches += posts
    assert [post.recipient for post in batches] == [STEWARD, STEWARD]
    for post in batches:
        pool, _ = pool.deliver(post, GIVEN)
    held = pool.steward
    for post in batches:
        pool, reply = pool.deliver(post, GIVEN)
        state, _ = aggregator.receive(state, STEWARD, reply)
    assert pool.steward == held
    assert state.outstanding == ()


def test_of_messages_to_one_party_the_last_is_awaited():
    state = aggregator.begin(run_id="r", study_hash="h", sites=NAMES, steward=STEWARD)
    state = replace(state, phase="upload", waiting=("a",), outstanding=(2,))

    def post(recipient, kind, **header):
        return Post(recipient=recipient, message=Message(kind=kind, header=header))

    posts = [
        post("a", "query.freeze"),
        post("b", "query.upload"),
        post("a", "query.upload"),
        post(STEWARD, "query.collect", batch=1),
        post(STEWARD, "query.collect", batch=2),
    ]
    assert awaited(state, posts) == (posts[2], posts[4])
