"""Steps of an attack on the protocol: play a run up to a message, hand one party another."""

from dataclasses import replace

import pytest

from fedcausal_privacy.envelopes import open_envelope
from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.secure_sum import (
    aggregator,
    second_steward,
    site,
    steward,
)
from fedcausal_privacy.secure_sum.in_process import SECOND_STEWARD, STEWARD


def play(pool, posts, given, *, stop, silent=()):
    """Go on until a message of kind `stop` is to be sent: (states, that message, all replies)."""
    queue, replies = list(posts), []
    while True:
        if not queue:
            state, more = aggregator.expire(pool.aggregator)
        elif queue[0].message.kind == stop:
            return pool, queue[0].message, replies
        else:
            post = queue.pop(0)
            if post.recipient in silent:
                continue
            pool, reply = pool.deliver(post, given)
            replies.append((post.recipient, reply))
            state, more = aggregator.receive(pool.aggregator, post.recipient, reply)
        pool = replace(pool, aggregator=state)
        queue += more


def play_round(pool, given, spec, *, stop, silent=()):
    state, posts = aggregator.ask(pool.aggregator, specs=[spec])
    return play(replace(pool, aggregator=state), posts, given, stop=stop, silent=silent)


def refused(step, reason):
    """The attack is refused with the one outward error; the audit knows why."""
    reasons = []
    with pytest.raises(ProtocolError):
        step(reasons.append)
    assert any(reason in said for said in reasons), reasons


def at_steward(pool, message):
    return lambda note=lambda _: None: steward.step(
        pool.steward, message, identity=pool.identities[STEWARD], on_refusal=note
    )


def at_second(pool, message):
    return lambda note=lambda _: None: second_steward.step(
        pool.second_steward, message, identity=pool.identities[SECOND_STEWARD], on_refusal=note
    )


def at_site(pool, name, message, contributions=None):
    return lambda note=lambda _: None: site.step(
        pool.sites[name],
        message,
        identity=pool.identities[name],
        contributions=contributions,
        on_refusal=note,
    )


def trusting_header(envelope, payload=b"", *, signer, expected, on_refusal):
    """`open_envelope` without its comparison of headers: any signature of the party will do."""
    return open_envelope(
        envelope, payload, signer=signer, expected=envelope.header, on_refusal=on_refusal
    )
