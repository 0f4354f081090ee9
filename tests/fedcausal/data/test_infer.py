"""A study proposed from data: kinds, bounds, levels, notes, and the columns left out."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedcausal.data.comparison import compare_sites
from fedcausal.data.infer import infer, infer_study, nice_bounds
from fedcausal.data.sources import split_by_site
from fedcausal.errors import DataError
from fedcausal.schema import Kind
from fedcausal.study import Study

N = 120


@pytest.fixture
def frame():
    rng = np.random.default_rng(1)
    site = np.repeat(["Basel", "Ulm", "Wien"], N // 3)
    return pd.DataFrame(
        {
            "patient id": np.arange(N) + 1000,
            "record": [f"r{i}" for i in range(N)],
            "age": rng.integers(29, 78, N),
            "sex": rng.choice(["f", "m"], N),
            "pain": rng.choice(["none at all", "mild", "strong"], N),
            "stage": rng.integers(0, 5, N),
            "chol": np.where(site == "Ulm", 0, rng.integers(120, 400, N)),
            "lab": np.where(
                rng.random(N) < 0.2, "?", np.round(rng.normal(5, 1, N), 2).astype(str)
            ),
            "sick": rng.choice([True, False], N),
            "one": 1,
            "note": [f"text {i % 40}" for i in range(N)],
            "site": site,
        }
    )


def test_kinds_bounds_levels_and_reasons(frame):
    proposal = infer(frame, "site")
    schema = proposal.study.schema()
    kinds = {v.name: v.kind for v in schema}
    assert kinds == {
        "age": Kind.CONTINUOUS,
        "chol": Kind.CONTINUOUS,
        "lab": Kind.CONTINUOUS,
        "pain": Kind.CATEGORICAL,
        "sex": Kind.BINARY,
        "sick": Kind.BINARY,
        "stage": Kind.ORDINAL,
    }
    assert schema["age"].bounds == (25.0, 80.0)
    assert schema["pain"].categories == ("mild", "none at all", "strong")
    assert schema["lab"].missing == ("?",)
    assert set(proposal.skipped) == {"patient id", "record", "one", "note"}
    assert "identifier" in proposal.skipped["patient id"]
    assert "free text" in proposal.skipped["note"]
    zeros = "0 for 100% of rows at Ulm; if that means missing, write missing = [0]"
    assert proposal.notes["chol"] == (zeros, "constant at Ulm")


def test_the_proposal_is_a_study_that_fits_its_own_data(frame, tmp_path):
    path = tmp_path / "all.csv"
    frame.to_csv(path, index=False)
    proposal = infer(path, "site", name="trial")
    text = proposal.to_toml()
    study = Study.model_validate(Study.parse(text))
    assert study == proposal.study == infer(frame, "site", name="trial").study
    assert "# 0 for 100% of rows at Ulm" in text
    assert "# left out: record: " in text
    compare_sites(study.schema(), split_by_site(path, "site")).raise_for_errors()


def test_odd_names_survive(frame):
    renamed = frame[["age", "chol", "site"]].rename(columns={"age": "Größe [cm]"})
    proposal = infer(renamed, "site")
    assert Study.model_validate(Study.parse(proposal.to_toml())) == proposal.study


def test_too_little_data_is_explained(frame):
    with pytest.raises(DataError, match=r"two usable columns or more, got 1 .*identifier"):
        infer(frame[["age", "record", "site"]], "site")
    with pytest.raises(DataError, match="no site column 'centre'"):
        infer_study(frame, "centre")


@given(st.floats(-1e9, 1e9), st.floats(1e-3, 1e9))
def test_bounds_are_rounded_outward_by_at_most_a_fifth(lo, width):
    hi = lo + width
    low, high = nice_bounds(lo, hi)
    assert low <= lo < hi <= high
    assert high - low <= (hi - lo) * 1.5
