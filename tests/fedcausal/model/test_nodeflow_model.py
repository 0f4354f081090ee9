import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from fedcausal.model.nodeflow_model import from_nodeflow, nodeflow_starts
from fedcausal.model.nodeflow_spec import NodeFlowSpec


@pytest.fixture(scope="module")
def neural(mixed_fit, mixed_edges):
    from fedcausal.model.nodeflow import build

    schema = mixed_fit.model.schema
    spec = NodeFlowSpec.from_schema(schema, mixed_edges, hidden=4, bins=3)
    flow = build(spec, 0, start=nodeflow_starts(mixed_fit.grams))
    return from_nodeflow(flow, mixed_fit.model.graph, schema)


def test_importing_the_module_does_not_import_torch():
    code = "import sys, fedcausal.model.artifact; sys.exit('torch' in sys.modules)"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    answer = subprocess.run([sys.executable, "-c", code], check=False, env=environment)
    assert answer.returncode == 0


def test_the_start_is_the_linear_part_of_the_closed_form(mixed_fit, neural):
    closed = mixed_fit.model.sample(20_000, seed=1)["pressure"]
    started = neural.sample(20_000, seed=1)["pressure"]
    assert started.mean() == pytest.approx(closed.mean(), abs=0.5)
    assert started.std() == pytest.approx(closed.std(), rel=0.2)
    starts = nodeflow_starts(mixed_fit.grams)
    assert starts["pressure"].slopes["drug"][1] == pytest.approx(3.0, abs=0.4)
    assert starts["pressure"].slopes["age"] == pytest.approx((2.0,), abs=0.4)
    assert sum(starts["group"].probabilities) == pytest.approx(1.0)


def test_questions_keep_their_laws(neural):
    frame = neural.sample(100, seed=2)
    acted = neural.sample(100, do={"drug": "1"}, seed=2)
    assert (acted["drug"] == "1").all()
    answer = neural.counterfactual(frame, do={"drug": "1"}, probabilities=True, draws=8)
    pd.testing.assert_series_equal(answer["age"], frame["age"])
    np.testing.assert_allclose(answer[["status=alive", "status=dead"]].sum(axis=1), 1.0)
    treated = frame[frame["drug"] == "1"]
    same = neural.counterfactual(treated, do={"drug": "1"})
    np.testing.assert_allclose(same["pressure"], treated["pressure"], atol=1e-6)
    assert np.isfinite(neural.log_prob(frame).to_numpy()).all()
