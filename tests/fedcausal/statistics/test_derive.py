import pytest

from fedcausal.errors import ProtocolError
from fedcausal.statistics import registry
from fedcausal.statistics.derive import derive_spec, kind_of
from fedcausal.statistics.kind import Request
from fedcausal.study import Study
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


OPEN = Study.model_validate(
    {"variables": {"x": {"kind": "continuous"}, "y": {"kind": "continuous", "bounds": [0, 3.3]}}}
)


class Wide(Toy):
    def spec(self, study, request, num_sites):
        return StatisticSpec(name="toy", length=1, bound=1)


@pytest.mark.parametrize("ends", [[-1.0, 1.25], [-(2.0**-40), 1792.0], [2.0**-40, 2.0**40]])
def test_ranges_are_those_that_a_release_can_have(monkeypatch, ends):
    monkeypatch.setattr(registry, "KINDS", {"toy": Wide()})
    derive_spec(OPEN, Request(kind="toy", parameters={"ranges": {"x": ends}}), 3)
    declared = {"x": ends, "y": [0.0, 3.3]}
    derive_spec(OPEN, Request(kind="toy", parameters={"ranges": declared}), 3)


@pytest.mark.parametrize(
    "ends",
    [
        [0.0, 1.0],
        [-1.0, 1.1],
        [1.0, 1.3750001],
        [-1.0, 2.0**41],
        [-1.0, float("inf")],
        [float("nan"), 1.0],
    ],
)
def test_a_range_cannot_ask_where_a_sites_largest_value_lies(monkeypatch, ends):
    """A site refuses rows outside a range: finer and finer ends would find its extremes."""
    monkeypatch.setattr(registry, "KINDS", {"toy": Wide()})
    with pytest.raises(ProtocolError, match="no range of x"):
        derive_spec(OPEN, Request(kind="toy", parameters={"ranges": {"x": ends}}), 3)


def test_an_unknown_kind():
    with pytest.raises(ProtocolError, match="'gone' is unknown; this version has toy"):
        kind_of(Request(kind="gone"))
