"""The analyst with all rows, against numpy's own covariances."""

import numpy as np
import pandas as pd
import pytest

from fedcausal.data.sources import read_source, read_table
from fedcausal.errors import InputError
from fedcausal.graph import Graph
from fedcausal.study import Study
from fedcausal_simulations.reference import analyst_covariance, analyst_graph, same_edges


def study_of(effects):
    kinds = {name: {"kind": "continuous", "bounds": [-50, 50]} for name in "xyz"}
    group = {"kind": "categorical", "categories": ["a", "b", "c"]}
    return Study.model_validate(
        {
            "variables": {**kinds, "group": group},
            "discovery": {"site_effects": effects, "bootstrap": 0, "vote_bootstraps": 2},
        }
    )


@pytest.fixture
def frames():
    rng = np.random.default_rng(5)
    found = {}
    for k, name in enumerate(("north", "south", "west")):
        x = rng.normal(size=400) + 5 * k
        y = x + rng.normal(size=400)
        found[name] = pd.DataFrame(
            {
                "x": x,
                "y": y,
                "z": y + rng.normal(size=400) - 9 * k,
                "group": np.array(["a", "b", "c"])[rng.integers(0, 3, 400)],
            }
        )
    return found


def tables(study, frames):
    return {n: read_table(read_source(f, study.schema(), site=n)) for n, f in frames.items()}


@pytest.mark.parametrize("effects", ["center", "pool"])
def test_complete_rows_give_the_correlation_of_what_is_left_of_the_means(frames, effects):
    study = study_of(effects)
    found = analyst_covariance(study, tables(study, frames))
    parts = []
    for frame in frames.values():
        columns = {name: frame[name] for name in "xyz"}
        columns |= {f"group={level}": (frame["group"] == level) * 1.0 for level in "bc"}
        part = pd.DataFrame(columns)
        parts.append(part - part.mean() if effects == "center" else part)
    rows = pd.concat(parts)[["group=b", "group=c", "x", "y", "z"]]
    assert found.names == ("group", "x", "y", "z")
    assert found.blocks["group"] == (0, 1)
    assert found.covariance == pytest.approx(np.corrcoef(rows.T.to_numpy()), abs=1e-12)
    assert set(found.num_records.ravel()) == {1200 - (3 if effects == "center" else 1)}


def test_a_pair_uses_the_records_that_have_both(frames):
    study = study_of("pool")
    frames["north"].loc[:99, "x"] = np.nan
    frames["south"].loc[50:, "y"] = np.nan
    found = analyst_covariance(study, tables(study, frames))
    both = pd.concat(frames.values())[["x", "y"]].dropna()
    index = {name: found.blocks[name][0] for name in "xy"}
    expected = np.corrcoef(both.T.to_numpy())[0, 1]
    assert found.covariance[index["x"], index["y"]] == pytest.approx(expected, abs=1e-12)
    i, j = (found.names.index(name) for name in "xy")
    assert found.num_records[i, j] == len(both) - 1


def test_the_graph_needs_no_names_that_may_stand_in_files(frames):
    labelled = dict(zip(("Süd Ost", "Nord/1", "West (neu)"), frames.values(), strict=True))
    found = analyst_graph(study_of("center"), labelled, seed=0)
    assert {frozenset((e.source, e.target)) for e in found.graph.edges} == {
        frozenset("xy"),
        frozenset("yz"),
    }


def test_the_analyst_knows_no_standardised_sites(frames):
    with pytest.raises(InputError, match="center and pool only"):
        analyst_graph(study_of("standardize"), frames, seed=0)


def test_edges_are_the_same_whatever_their_probability():
    graph = Graph.dag("abc", [("a", "b")])
    assert same_edges(graph, graph.with_probabilities(lambda _: 0.5))
    assert not same_edges(graph, Graph.dag("abc", [("b", "a")]))
    assert not same_edges(graph, Graph.dag("ab", [("a", "b")]))
