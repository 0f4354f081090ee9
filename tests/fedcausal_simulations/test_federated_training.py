"""Training through the secure sum, end to end: strategies, early stopping, ensembles, heads."""

import numpy as np
import pandas as pd
import pytest

from fedcausal.study import Study
from fedcausal_simulations import simulate

LENIENT = {
    "min_rows": 2,
    "max_parameters_per_row": 100,
    "max_numbers_per_value": 1000,
    "max_requests": 20,
}


def study_of(privacy=None, **model):
    return Study.model_validate(
        {
            "study": {"name": "toy"},
            "variables": {
                "age": {"kind": "continuous", "bounds": [0, 120]},
                "dose": {"kind": "continuous", "bounds": [0, 20]},
            },
            "knowledge": {"graph": "dag { age -> dose }"},
            "privacy": privacy or {},
            "model": {
                "family": "nodeflow",
                "hidden": 2,
                "bins": 2,
                "rounds": 3,
                "local_epochs": 1,
                "sample_rate": 0.5,
                "knots": 0,
                "device": "cpu",
                **model,
            },
            "effects": {
                "queries": [{"treatment": "age", "outcome": "dose", "values": [40, 60]}],
                "draws": 20,
                "samples": 300,
            },
        }
    )


@pytest.fixture(scope="module")
def tables():
    found = {}
    for k, name in enumerate(("north", "south", "west")):
        rng = np.random.default_rng(k)
        age = rng.uniform(20, 90, 60 + 30 * k)
        dose = (age / 10 + rng.normal(4, 1, len(age))).clip(0, 20)
        found[name] = pd.DataFrame({"age": age.round(1), "dose": dose.round(2)})
    return found


def test_a_strategy_early_stopping_and_members_in_one_study(tables, tmp_path):
    study = study_of(strategy="fedavgm", patience=1, held_out=0.3, members=2)
    run = simulate(study, tables, out=tmp_path / "run", policy=LENIENT)
    flow = run.result["noised"]["nodeflow"]
    assert flow["strategy"] == "fedavgm"
    assert 1 <= len(flow["losses"]) <= 3
    assert all(-8 <= loss <= 8 for loss in flow["losses"])
    assert flow["stopped_early"] or flow["rounds"] == 3
    found = run.model.of_family("nodeflow").effect("age", "dose", (40, 60))
    assert found.interval_kind == "ensemble"
    assert found.interval[0] < found.estimate < found.interval[1]


def test_under_an_epsilon_the_losses_are_paid_for(tables, tmp_path):
    study = study_of(privacy={"model": {"epsilon": 8.0}}, rounds=2, patience=1, held_out=0.3)
    run = simulate(study, tables, out=tmp_path / "run", policy=LENIENT)
    for entries in run.ledger.values():
        kinds = [e["event"]["event"] for e in entries if e["part"] == "model"]
        assert "gaussian-release" in kinds
        assert "poisson-sampled-gaussian" in kinds
