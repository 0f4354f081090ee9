import pytest

from fedcausal.study import Study
from fedcausal_clients.policy.planned_releases import cost_with, planned_releases

VARIABLES = {
    "age": {"kind": "continuous", "bounds": [0, 120]},
    "dose": {"kind": "binary"},
    "pain": {"kind": "categorical", "categories": ["no", "some", "much"]},
}
LEVELS = {name: VARIABLES[name] for name in ("dose", "pain")}
QUERY = {"treatment": "dose", "outcome": "pain", "values": ["0", "1"]}
EVERYTHING = {"graph": {"epsilon": 1.0}, "model": {"epsilon": 1.0}, "effects": {"epsilon": 1.0}}


def study_of(privacy, variables=VARIABLES, **sections):
    return Study.model_validate({"variables": variables, "privacy": privacy, **sections})


@pytest.mark.parametrize(
    ("privacy", "sections"),
    [
        ({"graph": {"epsilon": 2.0}}, {}),
        (
            {"graph": {"epsilon": 2.0}},
            {"variables": LEVELS, "discovery": {"tests": "tables", "algorithm": "pc"}},
        ),
        ({"model": {"epsilon": 2.0}}, {"model": {"family": "gram"}}),
        ({"model": {"epsilon": 2.0}}, {"model": {"family": "nodeflow", "rounds": 3}}),
        ({"model": {"epsilon": 2.0}}, {"model": {"family": "nodeflow", "patience": 1}}),
        ({"effects": {"epsilon": 2.0}}, {"effects": {"queries": [QUERY]}}),
    ],
    ids=["gram", "tables", "closed form", "flow", "early stopping", "effects"],
)
def test_one_part_costs_its_own_epsilon(privacy, sections):
    study = study_of(privacy, **sections)
    assert 1.8 < cost_with((), planned_releases(study), study.privacy.delta) <= 2.0


def test_parts_compose_to_less_than_their_sum_and_more_than_one():
    study = study_of(EVERYTHING, model={"family": "gram"}, effects={"queries": [QUERY]})
    assert 1.5 < cost_with((), planned_releases(study), 1e-5) < 3.0


def test_what_is_not_asked_for_costs_nothing():
    assert planned_releases(study_of({})) == ()
    known = {"graph": "digraph {age -> pain}"}
    given = study_of({"graph": {"epsilon": 1.0}}, knowledge=known)
    assert planned_releases(given) == ()
    names = {e.name for e in planned_releases(study_of({"effects": {"epsilon": 1.0}}))}
    assert names == {"scales", "families", "residuals"}
