"""A study that allows latent confounders: a PAG all the way to the report, and no model."""

import numpy as np
import pandas as pd
import pytest

from fedcausal.errors import StudyError
from fedcausal.formats.dagitty import read_dagitty
from fedcausal.protocol import start
from fedcausal.report.story import report_content
from fedcausal.results.summary import summary_lines
from fedcausal.study import Study
from fedcausal_simulations import simulate


def study_of(**sections):
    variables = {name: {"kind": "continuous", "bounds": [-30, 30]} for name in "abcd"}
    discovery = {"algorithm": "fci", "bootstrap": 10, "vote_bootstraps": 2}
    return Study.model_validate({"variables": variables, "discovery": discovery, **sections})


def rows_of(rng, num_rows=1500):
    """a -> b <- hidden -> c <- d."""
    hidden, *noise = rng.standard_normal((5, num_rows))
    a, d = noise[0], noise[1]
    b = a + hidden + 0.6 * noise[2]
    return pd.DataFrame({"a": a, "b": b, "c": d + hidden + 0.6 * noise[3], "d": d})


@pytest.fixture(scope="module")
def tables():
    rng = np.random.default_rng(0)
    return {name: rows_of(rng) for name in ("east", "north", "south")}


def test_a_pag_reaches_result_report_and_graph_files(tables, tmp_path):
    run = simulate(study_of(), tables, steps=["discovery"], out=tmp_path / "run")
    found = {(edge.source, edge.sign, edge.target) for edge in run.graph.edges}
    assert run.graph.kind == "pag"
    assert found == {("a", "o->", "b"), ("b", "<->", "c"), ("d", "o->", "c")}
    assert all(edge.target_mark_probability is not None for edge in run.graph.edges)
    assert run.result["exact"]["dag"] is None
    text = (run.path / "graph.dagitty.txt").read_text()
    assert read_dagitty(text).graph.skeleton() == run.graph.skeleton()
    assert '"a" @-> "b"' in text
    assert "<circle" in (run.path / "graph.svg").read_text()
    kinds = {(edge.source, edge.target): edge.kind for edge in report_content(run).edges}
    assert "hidden common cause" in kinds["b", "c"]
    assert "o->" in kinds["a", "b"]
    assert "<circle" in (run.path / "report.html").read_text()
    assert any("b <-> c" in line for line in summary_lines(run))


@pytest.mark.parametrize("steps", [["model"], ["effects"]])
def test_a_model_is_refused_before_anything_runs(tables, tmp_path, steps):
    with pytest.raises(StudyError, match=r"no single model DAG.*--steps discovery"):
        simulate(study_of(), tables, steps=steps, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(StudyError, match="order-search"):
        start(study_of(), 3, 0)


def test_a_given_graph_needs_no_algorithm(tables):
    study = study_of(knowledge={"graph": "dag { a -> b  c  d }"})
    assert start(study, 3, 0).discovery.model_dag().directed_edges == (("a", "b"),)


@pytest.mark.parametrize("algorithm", ["ges", "boss"])
def test_scores_give_a_class_and_a_model(tables, tmp_path, algorithm):
    study = study_of(discovery={"algorithm": algorithm, "bootstrap": 5, "vote_bootstraps": 2})
    run = simulate(study, tables, steps=["model"], out=tmp_path / algorithm)
    assert run.graph.kind == "cpdag"
    assert run.model is not None
    assert run.dag.skeleton() == run.graph.skeleton()
