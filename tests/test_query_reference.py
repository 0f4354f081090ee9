"""The examples of `docs/queries.md` run: those in Python against a small run, all lines parse."""

import re
import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fedcausal.study import Study
from fedcausal_simulations import simulate

PAGE = Path(__file__).resolve().parent.parent / "docs" / "queries.md"
STUDY = {
    "variables": {
        "age": {"kind": "continuous", "bounds": [0, 120]},
        "dose": {"kind": "continuous", "bounds": [0, 20]},
        "response": {"kind": "continuous", "bounds": [0, 40]},
        "sex": {"kind": "binary", "categories": ["f", "m"]},
    },
    "knowledge": {"graph": "dag { age -> dose age -> response dose -> response sex -> response }"},
    "model": {"family": "gram", "degree": 1},
}


@pytest.fixture
def first(tmp_path, monkeypatch):
    """A folder with `runs/first` and `patients.csv`."""
    rng = np.random.default_rng(0)
    age = rng.uniform(20, 90, 600)
    dose = age / 10 + rng.normal(size=600)
    sex = rng.choice(["f", "m"], 600)
    dose = dose.clip(0, 20)
    response = 5 + dose + age / 20 + (sex == "m") + rng.normal(size=600)
    rows = pd.DataFrame({"age": age, "dose": dose, "response": response, "sex": sex})
    monkeypatch.chdir(tmp_path)
    rows.head(5).to_csv("patients.csv", index=False)
    tables = {name: rows.iloc[k::3] for k, name in enumerate(("north", "south", "west"))}
    simulate(Study.model_validate(STUDY), tables, out=tmp_path / "runs" / "first")
    return tmp_path


def test_the_python_examples_run(first):
    (block,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    (first / "example.py").write_text(block)
    found = runpy.run_path(str(first / "example.py"))
    assert found["law"].mean == pytest.approx(5 + 6 + 3, abs=0.5)
    assert len(found["halved"].sample(3)) == 3


def test_the_page_is_named_where_people_look():
    assert "docs/queries.md" in (PAGE.parent.parent / "README.md").read_text(encoding="utf-8")
