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
ASKED = {
    "variables": {**BOUNDED, "drug": {"kind": "binary"}},
    "effects": {"queries": [{"treatment": "drug", "outcome": "x", "values": ["0", "1"]}]},
}
BOTH_NOISY = {"effects": {"epsilon": 3.0}, "graph": {"epsilon": 3.0}}
OF_EFFECTS = {"variables": ASKED["variables"], "privacy": {"effects": {"epsilon": 3.0}}}


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
        ({}, "aipw", {}, False),
        (ASKED, "aipw", {}, True),
        ({**PRIVATE, **ASKED}, "aipw", {}, False),
        (ASKED, "aipw_sites", {}, False),
        ({**ASKED, "discovery": {"heterogeneity": True}}, "aipw_sites", {}, True),
        (ASKED, "noisy_aipw", {}, False),
        ({**ASKED, **OF_EFFECTS}, "noisy_aipw", {}, True),
        ({**ASKED, **OF_EFFECTS}, "aipw", {}, False),
        (OF_EFFECTS, "families", {}, False),
        (OF_EFFECTS, "effect_families", {}, True),
        (OF_EFFECTS, "effect_scale", {}, True),
        ({**OF_EFFECTS, "privacy": BOTH_NOISY}, "effect_scale", {}, False),
        ({**OF_EFFECTS, "privacy": BOTH_NOISY}, "effect_families", {}, True),
        (PRIVATE, "effect_scale", {}, False),
        (OF_EFFECTS, "margins", {}, False),
        (PRIVATE, "margins", {}, False),
        ({}, "margins", {}, True),
        (OF_EFFECTS, "noisy_residuals", {}, True),
        ({}, "effect_families", {}, False),
    ],
)
def test_a_statistic_follows_from_the_study(sections, kind, parameters, expected):
    assert is_implied(study(**sections), Request(kind=kind, parameters=parameters)) is expected


def test_the_closed_form_alone_trains_nothing():
    assert not trains_flow(study(**PRIVATE))
