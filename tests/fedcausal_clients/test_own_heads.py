"""`fedcausal site head`: a site's own copy of a model, whose answers say whose they are."""

import json
import stat

import numpy as np
import pandas as pd
import pytest

from fedcausal.cli import main
from fedcausal.errors import InputError
from fedcausal.results.run import load_run
from fedcausal.study import Study
from fedcausal_clients.own_heads import write_own_model
from fedcausal_simulations import simulate

STUDY = {
    "study": {"name": "toy"},
    "variables": {
        "age": {"kind": "continuous", "bounds": [0, 120]},
        "dose": {"kind": "continuous", "bounds": [-20, 40]},
        "sick": {"kind": "binary", "categories": ["no", "yes"]},
    },
    "knowledge": {"tiers": [["age"], ["dose"], ["sick"]], "required": [["age", "dose"]]},
    "discovery": {"bootstrap": 2, "votes": False},
    "model": {"family": "gram", "degree": 1, "knots": 0},
}


def rows_of(seed, slope):
    rng = np.random.default_rng(seed)
    age = rng.uniform(20, 90, 120)
    dose = 8 + slope * age + rng.normal(0, 1, 120)
    sick = np.where(rng.random(120) < 0.3, "yes", "no")
    return pd.DataFrame({"age": age.round(1), "dose": dose.round(2), "sick": sick})


@pytest.fixture(scope="module")
def tables():
    """The west goes the other way."""
    return {"north": rows_of(0, 0.1), "south": rows_of(1, 0.1), "west": rows_of(2, -0.1)}


@pytest.fixture(scope="module")
def run(tmp_path_factory, tables):
    out = tmp_path_factory.mktemp("heads") / "toy-1"
    return simulate(Study.model_validate(STUDY), tables, out=out)


@pytest.fixture
def home(tmp_path, tables):
    folder = tmp_path / "west"
    folder.mkdir()
    tables["west"].to_csv(folder / "rows.csv", index=False)
    data = '[data]\nsource = "csv"\npath = "rows.csv"\n'
    site = '[site]\nname = "west"\n[simulation]\nseed = 0\n'
    (folder / "site.toml").write_text(site + data)
    return folder


def ask(capsys, *arguments):
    capsys.readouterr()
    code, said = main([str(a) for a in arguments]), capsys.readouterr()
    assert "Traceback" not in said.err
    return code, said


def test_the_own_model_answers_for_the_site_and_says_so(run, home, capsys):
    code, said = ask(capsys, "site", "head", run.path, "--home", home, "--node", "dose")
    assert code == 0
    assert "do not send it" in said.out
    copy = home / "heads" / "toy-1"
    question = ("--treatment", "age", "--outcome", "dose", "--values", "40", "--values", "50")
    code, said = ask(capsys, "model", "effect", copy, *question, "--format", "json")
    answer = json.loads(said.out)["data"]
    assert answer["estimate"] == pytest.approx(-1.0, abs=0.15)
    assert "The mechanism of dose is west's own" in answer["sentence"]
    assert not any("same at all sites" in text for text in answer["assumptions"])
    shared = run.model.effect("age", "dose", (40, 50))
    assert shared.estimate > -0.5
    assert "west" not in shared.sentence


def test_only_its_owner_can_read_it_and_the_run_stays_as_it_was(run, home):
    before = {p: p.read_bytes() for p in run.path.rglob("*") if p.is_file()}
    folder, nodes = write_own_model(str(run.path), home, nodes=("dose",))
    assert nodes == ("dose",)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {p: p.read_bytes() for p in run.path.rglob("*") if p.is_file()} == before
    frame = rows_of(2, -0.1).head(3)
    changed = load_run(folder).model.counterfactual(frame, {"age": 50.0})
    assert any("west's own" in text for text in changed.attrs["assumptions"])


def test_mechanisms_that_differ_are_the_default(run, home, tmp_path, capsys):
    with pytest.raises(InputError, match="no mechanism was found to differ"):
        write_own_model(str(run.path), home)
    code, said = ask(capsys, "site", "head", run.path, "--home", home, "--node", "doze")
    assert code == 4
    assert "expected some of age, dose, sick, got doze" in said.err
