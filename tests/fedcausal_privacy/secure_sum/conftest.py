"""Agreed runs of both modes, shared: their states are frozen, so no test can spoil them."""

from collections import deque
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from fedcausal_privacy.secure_sum import aggregator
from fedcausal_privacy.secure_sum.bfv import BfvScheme
from fedcausal_privacy.secure_sum.in_process import SecureSum
from fedcausal_privacy.statistic_spec import StatisticSpec
from tests.fedcausal_privacy.secure_sum.attack_steps import play_round

SPEC = StatisticSpec(name="gram", length=4, bound=1000, min_cell=5, counts=(0,))
VECTORS = {
    "a": np.array([1, 1000, -7, 0]),
    "b": np.array([2, -1000, 5, 0]),
    "c": np.array([9, 30, -1, 0]),
}


@dataclass(frozen=True)
class Recorded:
    """One round: all messages by kind and recipient, all replies, the states before each."""

    messages: dict = field(default_factory=dict)
    replies: dict = field(default_factory=dict)
    before: dict = field(default_factory=dict)

    @property
    def pool(self):
        """The states before the steward is asked to decrypt."""
        return self.before["query.decrypt", "steward"]

    @property
    def decrypt(self):
        return self.messages["query.decrypt", "steward"]


def record_round(pool, contributions, specs=(SPEC,), silent=()):
    """Run one round to its end and keep everything that was said."""
    state, posts = aggregator.ask(pool.aggregator, specs=specs)
    return record(replace(pool, aggregator=state), posts, contributions, silent)


def record(pool, posts, contributions, silent=()):
    recorded, queue = Recorded(), deque(posts)
    while queue or aggregator.is_waiting(pool.aggregator):
        if not queue:
            state, more = aggregator.expire(pool.aggregator)
        else:
            post = queue.popleft()
            if post.recipient in silent:
                continue
            key = (post.message.kind, post.recipient)
            recorded.messages[key], recorded.before[key] = post.message, pool
            pool, recorded.replies[key] = pool.deliver(post, contributions)
            state, more = aggregator.receive(
                pool.aggregator, post.recipient, recorded.replies[key]
            )
        pool = replace(pool, aggregator=state)
        queue.extend(more)
    recorded.before["end", ""] = pool
    return recorded


@pytest.fixture(scope="session")
def spec():
    return SPEC


@pytest.fixture(scope="session")
def contributions():
    return {name: {"gram": (SPEC, vector)} for name, vector in VECTORS.items()}


@pytest.fixture(scope="session")
def agreed():
    return SecureSum.open(tuple(VECTORS), run_id="run")


@pytest.fixture(scope="session")
def padded():
    return SecureSum.open(tuple(VECTORS), run_id="run", mode="two-steward")


@pytest.fixture(scope="session")
def recorded(agreed, contributions):
    """A whole round in masked mode."""
    return record_round(agreed, contributions)


@pytest.fixture(scope="session")
def recorded_pads(padded, contributions):
    """A whole round in two-steward mode."""
    return record_round(padded, contributions)


@pytest.fixture(scope="session")
def recording():
    """`record_round`, for other rounds."""
    return record_round


@pytest.fixture(scope="session")
def retried(contributions, spec):
    """A round whose first attempt lost site d: (states before the total, request, replies)."""
    given = {**contributions, "d": contributions["a"]}
    pool = SecureSum.open(tuple(given), run_id="retried")
    return play_round(pool, given, spec, stop="query.decrypt", silent={"d"})


@pytest.fixture(scope="session")
def opening():
    """The opening of a run, recorded: (pool at the end, messages and replies)."""
    pool = SecureSum.begin(tuple(VECTORS), run_id="run")
    state, posts = aggregator.open(pool.aggregator)
    return record(replace(pool, aggregator=state), posts, {})


@pytest.fixture(scope="session")
def request_message(recorded):
    return recorded.messages["query.upload", "a"]


@pytest.fixture(scope="session")
def uploaded(recorded):
    """(run after the uploads, the sites' replies)"""
    return recorded.pool, [recorded.replies["query.upload", name] for name in VECTORS]


@pytest.fixture(scope="session")
def decrypt(recorded):
    return recorded.decrypt


@pytest.fixture
def no_decryption(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a refused message reached the decryption")

    monkeypatch.setattr(BfvScheme, "decrypt", refuse)


@pytest.fixture(scope="session")
def with_entries():
    """A message with some header entries and blobs exchanged."""

    def change(message, blobs=None, **entries):
        return replace(
            message,
            header={**message.header, **entries},
            blobs={**message.blobs, **(blobs or {})},
        )

    return change
