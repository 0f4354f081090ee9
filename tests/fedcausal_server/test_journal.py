import numpy as np
import pytest

from fedcausal.errors import ProtocolError
from fedcausal.statistics.kind import Request
from fedcausal_privacy.statistic_spec import Released
from fedcausal_server.journal import Journal

REQUESTS = (Request(kind="gram"), Request(kind="votes", parameters={"b": 20}))


def some_release():
    totals = np.array([0, -(2**62), 2**62, 7], dtype=np.int64)
    return Released(totals=totals, withheld=np.array([True, False, False, False]))


def opened(folder, **change):
    identity = {"study_hash": "a" * 64, "seed": 1, "sites": ["b", "a"], **change}
    return Journal.open(folder, **identity)


def test_a_recorded_round_comes_back_exactly(tmp_path):
    released = {request.id(): some_release() for request in REQUESTS}
    opened(tmp_path).record(1, REQUESTS, released, sites=["b", "a"])
    again = opened(tmp_path, sites=["a", "b"])
    back, sites = again.replay(1, REQUESTS)
    assert sites == ("a", "b")
    assert set(back) == set(released)
    for value in back.values():
        assert value.totals.tolist() == some_release().totals.tolist()
        assert value.withheld.tolist() == [True, False, False, False]
    assert again.replay(2, REQUESTS) is None


@pytest.mark.parametrize("change", [{"seed": 2}, {"study_hash": "b" * 64}, {"sites": ["a"]}])
def test_a_journal_of_another_study_is_refused(tmp_path, change):
    opened(tmp_path)
    with pytest.raises(ProtocolError, match="another study, seed or roster"):
        opened(tmp_path, **change)


def test_a_round_that_asked_for_something_else(tmp_path):
    journal = opened(tmp_path)
    journal.record(1, REQUESTS, {}, sites=["a"])
    with pytest.raises(ProtocolError, match="asked for other statistics"):
        journal.replay(1, REQUESTS[:1])
