import pytest

from fedcausal.errors import ProtocolError
from fedcausal.statistics import registry
from fedcausal.statistics.derive import derive_spec, kind_of
from fedcausal.statistics.kind import Request
from fedcausal_privacy.statistic_spec import StatisticSpec


class Toy:
    name, part = "toy", "graph"

    def spec(self, study, request, num_sites):
        return StatisticSpec(name="toy", length=1, bound=2**61)


@pytest.fixture(autouse=True)
def only_toy(monkeypatch):
    monkeypatch.setattr(registry, "KINDS", {"toy": Toy()})


def test_the_spec_has_the_name_of_its_request():
    request = Request(kind="toy", parameters={"a": 1})
    assert derive_spec(None, request, 3).name == request.id()


def test_a_total_that_could_leave_its_range_is_refused():
    with pytest.raises(ProtocolError, match="leaves 63 bits"):
        derive_spec(None, Request(kind="toy"), 4)


def test_an_unknown_kind():
    with pytest.raises(ProtocolError, match="'gone' is unknown; this version has toy"):
        kind_of(Request(kind="gone"))
