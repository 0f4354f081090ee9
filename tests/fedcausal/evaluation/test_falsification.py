"""Falsification: a true graph is rejected at its level, a wrong one is not spared."""

import numpy as np
import pytest

from fedcausal.errors import GraphError
from fedcausal.evaluation.falsification import falsify, held_out_covariance
from fedcausal.graph import Graph
from fedcausal.schema import Kind, Schema, Variable

NAMES = tuple("abcdef")
EDGES = [("a", "b"), ("b", "c"), ("a", "d"), ("c", "e"), ("d", "e"), ("e", "f")]
TRUE = Graph.dag(NAMES, EDGES)
SCHEMA = Schema(tuple(Variable(name=n, kind=Kind.CONTINUOUS) for n in NAMES))


def columns(seed, size=1500):
    rng = np.random.default_rng(seed)
    found = {}
    for name in TRUE.topological_order():
        found[name] = sum((found[p] for p in TRUE.parents(name)), rng.normal(size=size))
    return found


def result(graph, seed=0, **options):
    statistics = held_out_covariance(SCHEMA, columns(seed))
    return falsify(graph, statistics, rng=np.random.default_rng(0), **options)


def test_the_true_graph_is_rejected_at_the_level_of_its_tests():
    found = [result(TRUE, seed, permutations=0) for seed in range(40)]
    share = sum(f.num_rejected for f in found) / sum(f.num_tests for f in found)
    assert share == pytest.approx(0.05, abs=0.025)


def test_the_true_graph_beats_exchanged_variables():
    found = result(TRUE)
    assert found.p_value < 0.05
    assert np.median(found.permuted) > 0.3
    assert found.to_json()["permuted_median"] == np.median(found.permuted)


def test_a_wrong_graph_is_found_out():
    wrong = Graph.dag(NAMES, [("f", "a"), ("d", "c"), ("b", "f")])
    found = result(wrong)
    assert found.rejected > 0.4
    assert found.p_value > 0.1


def test_a_complete_graph_implies_nothing():
    complete = Graph.dag(NAMES, [(a, b) for i, a in enumerate(NAMES) for b in NAMES[i + 1 :]])
    found = result(complete)
    assert (found.num_tests, found.rejected, found.p_value) == (0, 0.0, 1.0)


def test_only_a_dag_has_parents_to_test_on():
    with pytest.raises(GraphError, match="needs a dag, got a cpdag"):
        result(Graph.cpdag(NAMES, [], EDGES))


def test_sites_are_centred_apart():
    rng = np.random.default_rng(0)
    groups = np.repeat([0.0, 1.0, 2.0], 500)
    mixed = {n: rng.normal(size=1500) + 5 * groups for n in NAMES}
    empty = Graph.dag(NAMES, [])
    pooled = falsify(empty, held_out_covariance(SCHEMA, mixed), rng=rng)
    apart = falsify(empty, held_out_covariance(SCHEMA, mixed, groups), rng=rng)
    assert pooled.rejected == 1.0
    assert apart.rejected < 0.3


def test_levels_missing_values_and_constants():
    schema = Schema(
        (
            Variable(name="a", kind=Kind.CONTINUOUS),
            Variable(name="b", kind=Kind.CATEGORICAL, categories=("p", "q", "r")),
            Variable(name="c", kind=Kind.CONTINUOUS),
        )
    )
    rng = np.random.default_rng(0)
    a = rng.normal(size=900)
    a[:100] = np.nan
    b = np.where(np.nan_to_num(a) > 0.3, 2.0, rng.integers(0, 2, 900))
    statistics = held_out_covariance(schema, {"a": a, "b": b, "c": np.ones(900)})
    assert statistics.names == ("a", "b")
    assert len(statistics.blocks["b"]) == 2
    assert statistics.num_records[0].tolist() == [799.0, 799.0]
    found = falsify(Graph.dag("abc", []), statistics, rng=rng)
    assert (found.num_tests, found.num_rejected) == (1, 1)
    with pytest.raises(GraphError, match="no variable of the held-out records varies"):
        held_out_covariance(schema, {"c": np.ones(9)})
