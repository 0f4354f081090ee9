from contextlib import closing

import numpy as np
import pytest

from fedcausal.errors import ProtocolError
from fedcausal.statistics.kind import Request
from fedcausal_privacy.statistic_spec import Released
from fedcausal_server.store.journal import Journal
from fedcausal_server.store.study_store import MemoryStore, SqliteStore

REQUESTS = (Request(kind="gram"), Request(kind="votes", parameters={"b": 20}))


def some_release():
    totals = np.array([0, -(2**62), 2**62, 7], dtype=np.int64)
    return Released(totals=totals, withheld=np.array([True, False, False, False]))


@pytest.fixture
def store(tmp_path):
    with closing(SqliteStore(tmp_path / "study.db")) as opened:
        yield opened


def opened(store, **change):
    identity = {"study_hash": "a" * 64, "seed": 1, "sites": ["b", "a"], **change}
    return Journal.open(store, **identity)


def test_a_recorded_round_comes_back_exactly(store):
    released = {request.id(): some_release() for request in REQUESTS}
    opened(store).record(1, REQUESTS, released, sites=["b", "a"])
    again = opened(store, sites=["a", "b"])
    back, sites = again.replay(1, REQUESTS)
    assert sites == ("a", "b")
    assert set(back) == set(released)
    for value in back.values():
        assert value.totals.tolist() == some_release().totals.tolist()
        assert value.withheld.tolist() == [True, False, False, False]
    assert again.replay(2, REQUESTS) is None
    assert again.num_rounds == 1


@pytest.mark.parametrize("change", [{"seed": 2}, {"study_hash": "b" * 64}, {"sites": ["a"]}])
def test_a_journal_of_another_study_is_refused(store, change):
    opened(store)
    with pytest.raises(ProtocolError, match="another study, seed or roster"):
        opened(store, **change)


def test_a_round_that_asked_for_something_else(store):
    journal = opened(store)
    journal.record(1, REQUESTS, {}, sites=["a"])
    with pytest.raises(ProtocolError, match="asked for other statistics"):
        journal.replay(1, REQUESTS[:1])


def test_a_checkpoint_is_written_with_its_round_or_not_at_all(store):
    journal = opened(store)
    journal.record(1, REQUESTS, {}, sites=["a"], checkpoint={"session/state": b"s"})
    assert store.read("session/state") == b"s"

    class Full(MemoryStore):
        def commit(self, changes):
            assert set(changes) == {"round/0001", "session/state"}

    Journal(store=Full()).record(1, REQUESTS, {}, sites=["a"], checkpoint={"session/state": b"s"})
