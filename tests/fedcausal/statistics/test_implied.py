import pytest

from fedcausal.statistics.implied import is_implied, trains_flow
from fedcausal.statistics.kind import Request
from fedcausal.study import Study

VARIABLES = {"x": {"kind": "continuous", "bounds": [0, 1]}, "y": {"kind": "continuous"}}
BOUNDED = {"x": VARIABLES["x"], "z": VARIABLES["x"]}
GRAPH = "digraph {\n  x -> y;\n}\n"


PRIVATE = {
    "variables": BOUNDED,
    "model": {"family": "gram"},
    "privacy": {"model": {"epsilon": 3.0}},
}
BOTH = {"model": {"epsilon": 3.0}, "graph": {"epsilon": 3.0}}


def study(**sections):
    return Study.model_validate({"variables": VARIABLES, **sections})


@pytest.mark.parametrize(
    ("sections", "kind", "parameters", "expected"),
    [
        ({}, "gram", {}, True),
        ({"knowledge": {"graph": GRAPH}}, "gram", {}, False),
        ({"knowledge": {"graph": GRAPH}}, "votes", {}, False),
        ({}, "votes", {}, True),
        ({"discovery": {"votes": False}}, "votes", {}, False),
        ({}, "heterogeneity", {}, False),
        ({"discovery": {"heterogeneity": True}}, "heterogeneity", {}, True),
        ({}, "range", {"variables": ["y"]}, True),
        ({}, "range", {"variables": ["x", "y"]}, False),
        ({}, "range", {"variables": "y"}, False),
        ({}, "range", {}, False),
        ({}, "range", {"variables": [["y"], {}]}, False),
        ({}, "update", {}, False),
        ({"model": {"family": "nodeflow"}}, "update", {}, True),
        ({"privacy": {"model": {"epsilon": 3.0}}}, "update", {}, True),
        ({}, "families", {}, True),
        ({}, "noisy_families", {}, False),
        (PRIVATE, "families", {}, False),
        (PRIVATE, "residuals", {}, False),
        (PRIVATE, "noisy_families", {}, True),
        ({}, "model_scale", {}, False),
        (PRIVATE, "model_scale", {}, True),
        ({**PRIVATE, "privacy": BOTH}, "model_scale", {}, False),
        ({**PRIVATE, "model": {"family": "auto"}}, "noisy_families", {}, True),
        ({**PRIVATE, "model": {"family": "auto"}}, "update", {}, False),
    ],
)
def test_a_statistic_follows_from_the_study(sections, kind, parameters, expected):
    assert is_implied(study(**sections), Request(kind=kind, parameters=parameters)) is expected


def test_the_closed_form_alone_trains_nothing():
    assert not trains_flow(study(**PRIVATE))
