"""Held-out records where values are missing: bounds of single answers, from complete ones."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from fedcausal.study import Study
from fedcausal_simulations.simulation import simulate

STUDY = Study.model_validate(
    {
        "variables": {
            "x": {"kind": "continuous", "bounds": [-6, 6]},
            "y": {"kind": "continuous", "bounds": [-12, 12]},
            "w": {"kind": "continuous", "bounds": [-6, 6]},
        },
        "knowledge": {"tiers": [["x", "w"], ["y"]]},
        "model": {"calibration": 0.3, "family": "gram"},
        "discovery": {"bootstrap": 0, "votes": False},
    }
)


def rows(seed):
    rng = np.random.default_rng(seed)
    x, w = rng.standard_normal((2, 500))
    y = 1.5 * x - w + rng.standard_normal(500)
    w[rng.random(500) < 0.012] = np.nan
    return pd.DataFrame({"x": x, "y": y, "w": w})


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    sites = {name: rows(k) for k, name in enumerate(("north", "south", "west"))}
    return simulate(STUDY, sites, seed=0, out=tmp_path_factory.mktemp("runs") / "held")


def test_bounds_come_from_complete_held_out_records(run):
    """A handful of held-out records lack w: no pattern of theirs could be vouched for."""
    fresh = rows(9).dropna()
    would = run.model.counterfactual(fresh, do={"x": 1.0}, level=0.9)
    truth = fresh["y"] + 1.5 * (1.0 - fresh["x"])
    inside = (would["y:low"] <= truth) & (truth <= would["y:high"])
    assert inside.mean() > 0.85
    calibration = run.model.load().calibrations["y"]
    withheld = 1.0 - calibration.at_most[-1] / calibration.num_records
    assert withheld < 0.1
    # Records in withheld bins count as far away; the noise is standard normal, bins are coarse.
    narrow, wide = (norm.ppf(0.5 + (0.9 + share) / 2) for share in (0.0, withheld))
    assert 0.8 * narrow < (would["y:high"] - would["y:low"]).mean() / 2 < 1.25 * wide
