"""One agreed run of three sites, shared: its states are frozen, so no test can spoil it."""

from dataclasses import replace

import numpy as np
import pytest

from fedcausal_privacy.bfv import BfvScheme
from fedcausal_privacy.secure_sum import aggregator
from fedcausal_privacy.secure_sum.in_process import SecureSum
from fedcausal_privacy.statistic_spec import StatisticSpec

SPEC = StatisticSpec(name="gram", length=4, bound=1000, min_cell=5, counts=(0,))
VECTORS = {
    "a": np.array([1, 1000, -7, 0]),
    "b": np.array([2, -1000, 5, 0]),
    "c": np.array([9, 30, -1, 0]),
}


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
def request_message(agreed):
    return aggregator.upload(agreed.aggregator, round=1, specs=[SPEC])


@pytest.fixture(scope="session")
def uploaded(agreed, request_message, contributions):
    """(run after the uploads, the sites' replies)"""
    return agreed.ask(request_message, contributions)


@pytest.fixture(scope="session")
def decrypt(uploaded):
    pool, replies = uploaded
    return aggregator.combine(pool.aggregator, round=1, specs=[SPEC], replies=replies)


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
