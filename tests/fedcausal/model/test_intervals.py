"""Bounds of single records: around the fitted mean, and only where it is known."""

import numpy as np
import pandas as pd
import pytest

from fedcausal.errors import InputError
from fedcausal.model.artifact import load, save
from fedcausal.model.calibration import Calibration
from fedcausal.model.fitting import assemble


@pytest.fixture(scope="module")
def model(mixed_fit):
    own = Calibration(
        radii=np.array([0.01, 0.05, 0.1]), at_most=np.array([50.0, 95.0, 99.0]), num_records=99
    )
    return assemble(
        mixed_fit.model.graph, mixed_fit.model.schema, mixed_fit.mechanisms, {"pressure": own}
    )


@pytest.fixture(scope="module")
def frame(model):
    return model.sample(20, seed=1)


@pytest.mark.parametrize("size", [3, 20])
def test_bounds_lie_around_the_fitted_mean(model, frame, size):
    answer = model.counterfactual(frame.head(size), do={"drug": "1"}, level=0.9)
    # pressure is scaled by (-40, 40): a radius of 0.05 is 2 mmHg
    np.testing.assert_allclose(answer["pressure:high"] - answer["pressure:low"], 4.0)
    middle = 0.5 * (answer["pressure:high"] + answer["pressure:low"])
    assert (abs(middle - answer["pressure"]) < 5).all()
    assert middle.std() > 0.5
    assert "within each site" in answer.attrs["assumptions"][-1]
    plain = model.counterfactual(frame.head(size), do={"drug": "1"})
    pd.testing.assert_frame_equal(answer[plain.columns], plain, check_like=False)
    wide = model.counterfactual(frame.head(size), do={"drug": "1"}, level=0.99)
    np.testing.assert_allclose(wide["pressure:high"] - wide["pressure:low"], 8.0)


def test_the_end_of_a_chain_has_no_bounds(model, frame):
    answer = model.counterfactual(frame, do={"group": "a"}, level=0.9)
    assert answer[["pressure:low", "pressure:high"]].isna().all(axis=None)
    held = model.counterfactual(frame, do={"group": "a", "drug": "1"}, level=0.9)
    assert held[["pressure:low", "pressure:high"]].notna().all(axis=None)


def test_too_few_held_out_records_have_infinite_bounds(model, frame):
    answer = model.counterfactual(frame, do={"drug": "1"}, level=0.999)
    assert np.isinf(answer["pressure:high"]).all()


def test_a_model_without_calibration_says_what_to_do(mixed_fit, frame):
    with pytest.raises(InputError, match=r"calibration = 0\.2 under \[model\]"):
        mixed_fit.model.counterfactual(frame, do={"drug": "1"}, level=0.9)


def test_the_artifact_holds_the_calibration(model, frame, tmp_path):
    save([model], tmp_path)
    found = load(tmp_path)
    pd.testing.assert_frame_equal(
        found.counterfactual(frame, do={"drug": "1"}, level=0.9),
        model.counterfactual(frame, do={"drug": "1"}, level=0.9),
    )
