"""One small simulated run that every command asks."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from fedcausal.cli import main
from fedcausal.study import Study
from fedcausal_simulations import simulate

STUDY = {
    "study": {"name": "toy"},
    "variables": {
        "age": {"kind": "continuous", "bounds": [0, 120], "unit": "years"},
        "dose": {"kind": "continuous", "bounds": [0, 20]},
        "sex": {"kind": "binary", "categories": ["f", "m"]},
        "sick": {"kind": "binary", "categories": ["no", "yes"]},
    },
    "knowledge": {
        "tiers": [["age", "sex"], ["dose"], ["sick"]],
        "required": [["age", "dose"], ["dose", "sick"]],
    },
    "discovery": {"bootstrap": 2, "vote_bootstraps": 2},
    "model": {"family": "gram"},
    "effects": {
        "queries": [{"treatment": "age", "outcome": "dose", "values": [30, 60]}],
        "draws": 20,
        "samples": 500,
    },
}


def make_rows():
    rng = np.random.default_rng(0)
    age = rng.uniform(20, 90, 180).round(1)
    dose = (age / 10 + rng.normal(4, 1, 180)).clip(0, 20).round(2)
    return pd.DataFrame(
        {
            "age": age,
            "dose": dose,
            "sex": rng.choice(["f", "m"], 180),
            "sick": np.where(rng.random(180) < dose / 20, "yes", "no"),
            "site": np.repeat(["north", "south", "west"], 60),
        }
    )


@pytest.fixture(scope="package")
def rows():
    return make_rows()


@pytest.fixture(scope="package")
def run(tmp_path_factory, rows):
    """A finished run with a model and an effect, under a folder `runs`."""
    tables = dict(list(rows.groupby("site")))
    out = tmp_path_factory.mktemp("commands") / "runs" / "toy-1"
    return simulate(Study.model_validate(STUDY), tables, out=out)


@pytest.fixture(scope="package")
def calibrated_run(tmp_path_factory, rows):
    """A run that held a third of the records out; the sites' rules see the others."""
    tables = dict(list(rows.groupby("site")))
    out = tmp_path_factory.mktemp("commands") / "calibrated"
    study = STUDY | {"model": {"family": "gram", "calibration": 0.35}}
    return simulate(Study.model_validate(study), tables, out=out)


@pytest.fixture(scope="package")
def bare_run(tmp_path_factory, rows):
    """A run that stopped at discovery."""
    tables = dict(list(rows.groupby("site")))
    out = tmp_path_factory.mktemp("commands") / "bare"
    return simulate(Study.model_validate(STUDY), tables, out=out, steps=["discovery"])


def edited(run, folder, change):
    """A copy of a run whose result was changed."""
    shutil.copytree(run.path, folder)
    path = folder / "result.json"
    content = json.loads(path.read_text())
    change(content["exact"])
    path.write_text(json.dumps(content))
    return folder


@pytest.fixture(scope="package")
def class_run(tmp_path_factory, run):
    """The run, as if the data left the direction of age -> dose open."""

    def open_edge(exact):
        for edge in exact["graph"]["edges"]:
            if {edge["source"], edge["target"]} == {"age", "dose"}:
                edge["target_mark"] = "tail"

    return edited(run, tmp_path_factory.mktemp("class") / "run", open_edge)


@pytest.fixture(scope="package")
def pag_run(tmp_path_factory, run):
    """The run, as if a PAG had been learnt: age o-> dose -> sick <-o sex, and no model."""

    def as_pag(exact):
        ends = [("age", "dose", "circle"), ("dose", "sick", "tail"), ("sex", "dose", "circle")]
        exact["graph"] = {
            "kind": "pag",
            "nodes": ["age", "dose", "sex", "sick"],
            "edges": [
                {"source": a, "target": b, "source_mark": mark, "target_mark": "arrow"}
                for a, b, mark in ends
            ],
        }
        exact["dag"], exact["steps"] = None, ["discovery"]

    folder = edited(run, tmp_path_factory.mktemp("pag") / "run", as_pag)
    shutil.rmtree(folder / "model")
    return folder


@pytest.fixture
def ask(capsys):
    """Run a command; its code, its lines and, with `--format json`, its answer."""

    def asked(*arguments):
        capsys.readouterr()
        code, said = main([str(a) for a in arguments]), capsys.readouterr()
        answer = json.loads(said.out) if "json" in arguments else None
        assert "Traceback" not in said.err
        return SimpleNamespace(
            code=code, out=said.out, lines=said.out.splitlines(), err=said.err, answer=answer
        )

    return asked
