import json

import numpy as np
import pandas as pd
import pytest

from fedcausal.study import Study
from fedcausal_clients.policy.planned_statistics import planned_statistics
from fedcausal_simulations import simulate

VARIABLES = {
    "age": {"kind": "continuous", "bounds": [0, 120]},
    "dose": {"kind": "continuous"},
    "sex": {"kind": "binary"},
}
BOUNDED = {**VARIABLES, "dose": {"kind": "continuous", "bounds": [-10, 10]}}
LEVELS = {name: {"kind": "binary"} for name in "abc"}


def make_study(variables=BOUNDED, **sections):
    return Study.model_validate({"variables": variables, **sections})


def kinds(study):
    return [one.kind for one in planned_statistics(study)]


def test_the_kinds_of_every_road():
    plain = ["gram", "votes", "gram", "margins", "families", "residuals"]
    assert kinds(make_study()) == ["patterns", *plain]
    assert kinds(make_study(privacy={"incomplete": "drop"})) == plain
    assert kinds(make_study(VARIABLES)) == ["patterns", "range", *plain]
    assert kinds(make_study(discovery={"votes": False, "site_effects": "pool"})) == [
        "patterns",
        "gram",
        "margins",
        "families",
        "residuals",
    ]
    private = {"graph": {"epsilon": 1.0}, "model": {"epsilon": 2.0}}
    assert kinds(make_study(privacy=private, discovery={"votes": False})) == [
        "scale",
        "noisy_gram",
        "noisy_families",
    ]
    exact = {"family": "nodeflow", "knots": 0}
    assert kinds(make_study(model=exact))[-3:] == ["families", "residuals", "update"]
    assert kinds(TABLES)[:2] == ["patterns", "tables"]
    given = make_study(knowledge={"graph": "dag { age -> dose }"})
    assert kinds(given) == ["effect_patterns", "margins", "families", "residuals"]
    plain = make_study(knowledge={"graph": "dag { age -> dose }"}, model={"knots": 0})
    assert kinds(plain) == ["effect_patterns", "families", "residuals"]
    assert planned_statistics(plain)[0].is_exact
    more = {"variance": "by-parents", "calibration": 0.1}
    assert kinds(make_study(model=more))[-4:] == [
        "families",
        "spreads",
        "residuals",
        "calibration",
    ]
    chosen = {"mechanism": "auto", "family": "nodeflow"}
    assert kinds(make_study(model=chosen))[-4:] == [
        "residuals",
        "likelihoods",
        "update",
        "flow_likelihoods",
    ]


QUERY = {"treatment": "sex", "outcome": "dose", "values": ["0", "1"]}


@pytest.mark.parametrize(
    ("privacy", "expected"),
    [
        ({}, ["effect_patterns", "margins", "families", "residuals", "aipw"]),
        (
            {"effects": {"epsilon": 2.0}},
            ["effect_scale", "effect_families", "noisy_residuals", "noisy_aipw"],
        ),
        ({"model": {"epsilon": 2.0}}, ["model_scale", "noisy_families"]),
        (
            {"model": {"epsilon": 2.0}, "effects": {"epsilon": 2.0}},
            ["model_scale", "noisy_families", "noisy_aipw"],
        ),
    ],
)
def test_effects_are_planned_under_the_epsilon_that_pays(privacy, expected):
    knowledge = {"graph": "dag { age -> dose sex -> dose }"}
    study = make_study(privacy=privacy, knowledge=knowledge, effects={"queries": [QUERY]})
    assert kinds(study) == expected


def test_shapes_thresholds_and_noise():
    private = {"model": {"epsilon": 2.0}, "min_cell": 7}
    model = {"family": "nodeflow", "knots": 0}
    study = make_study(privacy=private, model=model)
    found = {one.kind: one for one in planned_statistics(study)}
    assert found["gram"].is_exact
    assert found["gram"].min_cell == 7
    assert found["gram"].epsilon is None
    assert (found["update"].epsilon, found["update"].delta) == (2.0, 1e-5)
    assert found["update"].rounds == 5
    assert found["update"].shape == "by graph"
    assert found["families"].shape.startswith("<= ")
    assert json.dumps([one.to_json() for one in found.values()])


NOISY_MODEL = make_study(
    privacy={"model": {"epsilon": 3.0}},
    discovery={"votes": False, "bootstrap": 2},
    model={"family": "gram"},
)
TABLES = make_study(LEVELS, discovery={"tests": "tables", "votes": False, "algorithm": "pc"})
VOTES = make_study(VARIABLES, discovery={"vote_bootstraps": 2, "bootstrap": 2})


@pytest.mark.parametrize(
    "study",
    [
        make_study(VARIABLES, discovery={"votes": False, "bootstrap": 2}),
        pytest.param(VOTES, marks=pytest.mark.slow),
        pytest.param(NOISY_MODEL, marks=pytest.mark.slow),
        pytest.param(TABLES, marks=pytest.mark.slow),
    ],
    ids=["ranges", "votes", "noisy model", "tables"],
)
def test_a_run_asks_for_what_was_planned_in_the_shape_that_was_planned(tmp_path, study):
    rng = np.random.default_rng(0)
    names = study.schema().names
    frames = {}
    for site in ("a", "b", "c"):
        first = rng.normal(50, 10, 300).clip(1, 119)
        data = {
            "age": first,
            "dose": (first / 20 + rng.normal(0, 1, 300)).clip(-9, 9),
            "sex": rng.integers(0, 2, 300),
            **{name: rng.integers(0, 2, 300) for name in "abc"},
        }
        frames[site] = pd.DataFrame({name: data[name] for name in names})
    run = simulate(study, frames, out=tmp_path / "run", seed=0)
    planned = planned_statistics(study)
    exact = {(one.kind, one.length) for one in planned if one.is_exact and one.length}
    most = {one.kind: one.length for one in planned if one.length}
    asked = {
        (s["statistic"].rpartition("-")[0], s["length"])
        for line in map(json.loads, (run.path / "audit.jsonl").read_text().splitlines())
        for s in line["details"].get("statistics", [])
    }
    assert exact <= asked
    for kind, length in asked:
        assert kind in kinds(study)
        assert length <= most.get(kind, length)
