"""One finished run over a small known model."""

import numpy as np
import pandas as pd
import pytest

from fedcausal.study import Study
from fedcausal_simulations import simulate


def make_records(seed, size):
    rng = np.random.default_rng(seed)
    age = rng.uniform(20, 90, size)
    dose = age / 10 + rng.normal(0, 1, size)
    sick = rng.random(size) < 1 / (1 + np.exp(6 - dose))
    return pd.DataFrame({"age": age, "dose": dose, "sick": np.where(sick, "yes", "no")})


@pytest.fixture(scope="package")
def records():
    return make_records


@pytest.fixture(scope="package")
def run(tmp_path_factory):
    study = Study.model_validate(
        {
            "variables": {
                "age": {"kind": "continuous", "bounds": [0, 120]},
                "dose": {"kind": "continuous", "bounds": [-5, 20]},
                "sick": {"kind": "binary", "categories": ["no", "yes"]},
            },
            "knowledge": {"tiers": [["age"], ["dose"], ["sick"]]},
            "discovery": {"bootstrap": 0, "votes": False},
            "model": {"family": "gram"},
        }
    )
    tables = {name: make_records(seed, 300) for seed, name in enumerate(("n", "s", "w"))}
    out = tmp_path_factory.mktemp("evaluation") / "run"
    return simulate(study, tables, seed=0, out=out)
