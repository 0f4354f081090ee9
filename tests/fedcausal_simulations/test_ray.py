import gc
import json
import os

import numpy as np
import pandas as pd
import pytest

from fedcausal.errors import DisclosureError
from fedcausal.study import Study
from fedcausal_clients.app import app as client_app
from fedcausal_server.app import app as server_app
from fedcausal_simulations import simulate
from fedcausal_simulations.heart import load_hospitals, load_study
from fedcausal_simulations.inprocess import run_inprocess
from fedcausal_simulations.ray import OFFLINE, run_ray
from fedcausal_simulations.workspace import prepare_workspace

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    # Ray leaves files open until they are collected, which `collected` does while it is allowed.
    pytest.mark.filterwarnings("ignore"),
]


@pytest.fixture(autouse=True)
def collected():
    yield
    gc.collect()


@pytest.fixture
def real_study():
    kinds = {name: {"kind": "continuous", "bounds": [-10, 10]} for name in "xyz"}
    return Study.model_validate(
        {"variables": kinds, "discovery": {"bootstrap": 5, "vote_bootstraps": 2}}
    )


@pytest.fixture
def real_tables():
    rng = np.random.default_rng(0)
    tables = {}
    for site in ("a", "b", "c"):
        x = rng.normal(size=200)
        y = x + rng.normal(size=200) / 2
        tables[site] = pd.DataFrame({"x": x, "y": y, "z": y + rng.normal(size=200) / 2})
    return tables


def test_ray_gives_the_exact_part_of_the_in_process_engine(tmp_path, real_study, real_tables):
    workspace = prepare_workspace(real_study, real_tables, tmp_path / "work", seed=1)
    options = {"steps": "discovery"}
    run_inprocess(server_app, client_app, workspace, tmp_path / "a", 1, options=options)
    before = dict(os.environ)
    run_ray(server_app, client_app, workspace, tmp_path / "b", 1, options=options, num_cpus=2)
    assert {name: os.environ.get(name) for name in OFFLINE} == {
        name: before.get(name) for name in OFFLINE
    }
    first, second = (
        json.loads((tmp_path / name / "result.json").read_text())["exact"] for name in "ab"
    )
    assert first == second


def test_a_refusal_comes_out_of_ray_as_it_is(tmp_path, real_study, real_tables):
    workspace = prepare_workspace(
        real_study, real_tables, tmp_path / "work", seed=1, policy={"min_rows": 500}
    )
    with pytest.raises(DisclosureError, match="a: too-few-rows"):
        run_ray(server_app, client_app, workspace, tmp_path / "out", 1, num_cpus=2)


def test_the_heart_study_is_the_same_on_ray(tmp_path):
    content = load_study().to_json()
    content["model"]["family"] = "gram"
    content["privacy"]["model"] = None
    content["discovery"]["bootstrap"] = 10
    study, hospitals = Study.model_validate(content), load_hospitals()
    first, second = (
        simulate(
            study,
            hospitals,
            seed=2,
            steps=["discovery", "model"],
            engine=engine,
            out=tmp_path / engine,
        )
        for engine in ("inprocess", "ray")
    )
    assert first.result == second.result
    assert first.result["noised"] == {}
    for name in ("gram.safetensors", "manifest.json"):
        files = [run.path / "model" / name for run in (first, second)]
        assert files[0].read_bytes() == files[1].read_bytes()
    for run in (first, second):
        lines = (run.path / "audit.jsonl").read_text().splitlines()
        parties = {json.loads(line)["party"] for line in lines}
        assert parties == {*run.card["sites"], "steward"}
