"""A study of levels alone: tables through the real secure sum, to graph, model and report."""

import numpy as np
import pandas as pd
import pytest

from fedcausal.study import Study
from fedcausal_simulations import simulate

LEVELS = {"smoke": ("no", "yes"), "tar": ("low", "mid", "high"), "ill": ("no", "yes")}


def study_of(**discovery):
    variables = {
        name: {"kind": "categorical", "categories": list(levels)}
        for name, levels in {**LEVELS, "coin": ("heads", "tails")}.items()
    }
    return Study.model_validate(
        {"variables": variables, "discovery": {"tests": "tables", "alpha": 0.01, **discovery}}
    )


def rows_of(seed, num_rows=700):
    """smoke -> tar -> ill, and a coin."""
    rng = np.random.default_rng(seed)
    smoke = rng.random(num_rows) < 0.4
    tar = (rng.random(num_rows) < 0.2 + 0.6 * smoke).astype(int)
    tar += (rng.random(num_rows) < 0.3) & (tar > 0)
    ill = rng.random(num_rows) < 0.05 + 0.3 * tar
    codes = {"smoke": smoke, "tar": tar, "ill": ill}
    frame = {n: np.array(LEVELS[n])[np.asarray(c, dtype=int)] for n, c in codes.items()}
    return pd.DataFrame({**frame, "coin": rng.choice(["heads", "tails"], num_rows)})


@pytest.fixture(scope="module")
def tables():
    return {name: rows_of(seed) for seed, name in enumerate(("east", "north", "south"))}


@pytest.mark.parametrize("options", [{"algorithm": "pc"}, {"score": "bdeu"}, {"score": "bic"}])
def test_every_search_on_tables_finds_the_chain(tables, tmp_path, options):
    run = simulate(study_of(**options), tables, steps=["model"], seed=0, out=tmp_path / "run")
    assert run.graph.skeleton() == {("smoke", "tar"), ("ill", "tar")}
    assert run.model is not None
    report = (run.path / "report.html").read_text()
    wanted = "PC on contingency tables" if "algorithm" in options else "of contingency tables"
    assert wanted in report


def test_a_site_that_allows_one_request_refuses_the_second_round(tables, tmp_path):
    with pytest.raises(Exception, match=r"policy\.max_requests") as caught:
        simulate(
            study_of(),
            tables,
            steps=["discovery"],
            seed=0,
            policy={"max_requests": 1},
            out=tmp_path / "run",
        )
    assert "tables" in str(caught.value)
