"""A user's own mechanism through a whole study: every message, gate and sum."""

import numpy as np
import pandas as pd
import pytest

from fedcausal import load_run
from fedcausal.cli import main
from fedcausal.errors import DisclosureError, InputError, ProtocolError
from fedcausal.model.artifact import load
from fedcausal.model.own_node import OwnNode
from fedcausal.study import Study
from fedcausal_clients.policy.planned_statistics import planned_statistics
from fedcausal_simulations import simulate
from tests.own_package import install

POLICY = {"mechanisms": ["log-linear", "raising-at-the-site", "raising"]}


@pytest.fixture(autouse=True)
def package(tmp_path, monkeypatch):
    return install(tmp_path / "installed", monkeypatch)


def study_of(name="log-linear", version="1"):
    return Study.model_validate(
        {
            "study": {"name": "own"},
            "variables": {
                "arm": {"kind": "binary"},
                "age": {"kind": "continuous", "bounds": [20, 90]},
                "cost": {"kind": "continuous", "bounds": [1, 1e5]},
            },
            "knowledge": {"graph": "dag { age -> arm age -> cost arm -> cost }"},
            "model": {
                "knots": 0,
                "degree": 1,
                "mechanisms": {"cost": {"name": name, "version": version}},
            },
            "effects": {
                "queries": [{"treatment": "arm", "outcome": "cost", "values": ["0", "1"]}],
                "draws": 20,
                "samples": 500,
            },
        }
    )


def frames(size=400):
    rng, found = np.random.default_rng(0), {}
    for name in ("east", "north", "west"):
        age = rng.uniform(20, 90, size)
        arm = (rng.random(size) < 1 / (1 + np.exp((55 - age) / 20))) * 1
        cost = np.exp(3 + 0.03 * age - 0.5 * arm + 0.4 * rng.normal(size=size)).clip(1, 1e5)
        found[name] = pd.DataFrame({"age": age, "arm": arm, "cost": cost})
    return found


def test_the_federated_mechanism_is_the_pooled_one(tmp_path):
    tables = frames()
    simulate(study_of(), tables, policy=POLICY, out=tmp_path / "run")
    run = load_run(tmp_path / "run")
    node = load(tmp_path / "run" / "model").engine.mechanisms["cost"]
    assert isinstance(node, OwnNode)
    pooled = pd.concat(tables.values())
    design = np.column_stack([np.ones(1200), (2 * pooled["age"] - 110) / 70, pooled["arm"]])
    half = np.log(1e5) / 2
    slopes, *_ = np.linalg.lstsq(design, np.log(pooled["cost"]) / half - 1, rcond=None)
    assert node.arrays["slopes"] == pytest.approx(slopes, abs=1e-6)
    # E[cost | do(arm)] of the truth, by the log-normal's mean
    ages = np.random.default_rng(1).uniform(20, 90, 200_000)
    means = [np.exp(3 + 0.03 * ages - 0.5 * arm + 0.08).mean() for arm in (0, 1)]
    (effect,) = run.effects
    low, high = effect["interval"]
    assert low < means[1] - means[0] < high
    text = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "a mechanism of a user" in text


def test_a_site_that_has_not_approved_it_runs_nothing(tmp_path):
    with pytest.raises(DisclosureError, match=r"mechanism-not-approved: .*policy\.mechanisms"):
        simulate(study_of(), frames(), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_a_package_says_at_a_site_stays_there(tmp_path):
    with pytest.raises(ProtocolError, match="refused the message") as told:
        simulate(study_of("raising-at-the-site"), frames(60), policy=POLICY, out=tmp_path / "run")
    assert "a value" not in str(told.value)


@pytest.mark.parametrize(
    ("name", "version", "words"),
    [
        ("unknown", "1", "model.mechanisms.cost: no mechanism 'unknown' is installed here"),
        ("log-linear", "9", "version '9' of the mechanism 'log-linear' is wanted, and '1' is"),
    ],
)
def test_what_is_not_installed_is_said_before_anything_runs(
    name, version, words, tmp_path, capsys
):
    with pytest.raises(InputError, match=words.replace(".", r"\.")):
        simulate(study_of(name, version), frames(), policy=POLICY, out=tmp_path / "run")
    study, data = tmp_path / "study.toml", tmp_path / "rows.csv"
    study.write_text(study_of(name, version).to_toml(), encoding="utf-8")
    pd.concat(f.assign(site=n) for n, f in frames().items()).to_csv(data, index=False)
    line = ["simulate", str(study), "--data", str(data), "--site-column", "site"]
    assert main([*line, "--out", str(tmp_path / "run")]) == 4
    told = " ".join(capsys.readouterr().err.split())
    assert words in told
    assert "log-linear" in told


def test_the_plan_names_the_sums():
    kinds = [one.kind for one in planned_statistics(study_of())]
    assert kinds == ["effect_patterns", "families", "residuals", "own_sums", "aipw"]
