"""Distances between graphs."""

from itertools import combinations

import numpy as np
import pytest

from fedcausal.equivalence import cpdag_of, extension
from fedcausal.errors import GraphError
from fedcausal.evaluation.graph_distance import (
    arrowhead_agreement,
    skeleton_agreement,
    structural_hamming_distance,
)
from fedcausal.graph import Graph


def random_dag(rng, names="abcde"):
    order = rng.permutation(len(names))
    pairs = combinations(range(len(names)), 2)
    edges = [(names[order[i]], names[order[j]]) for i, j in pairs if rng.random() < 0.5]
    return Graph.dag(names, edges)


@pytest.mark.parametrize("seed", range(20))
def test_distance_is_a_metric_on_classes(seed):
    rng = np.random.default_rng(seed)
    a, b, c = (random_dag(rng) for _ in range(3))
    distance = structural_hamming_distance
    assert distance(a, b) == distance(b, a)
    assert distance(a, c) <= distance(a, b) + distance(b, c)
    assert distance(a, extension(cpdag_of(a))) == 0
    assert (distance(a, b) == 0) == (cpdag_of(a) == cpdag_of(b))
    assert skeleton_agreement(a, a).f1 == arrowhead_agreement(a, cpdag_of(a)).f1 == 1.0


def test_agreements_by_hand():
    truth = Graph.dag("abcd", [("a", "c"), ("b", "c"), ("c", "d")])
    estimate = Graph.dag("abcd", [("a", "c"), ("b", "c"), ("a", "b")])
    assert structural_hamming_distance(estimate, truth) == 4
    found = skeleton_agreement(estimate, truth)
    assert (found.precision, found.recall) == (2 / 3, 2 / 3)
    assert arrowhead_agreement(estimate, truth).recall == 0.0
    assert arrowhead_agreement(estimate, truth).f1 == 0.0


def test_the_order_of_nodes_does_not_matter():
    first = Graph.dag("abc", [("a", "c"), ("b", "c")])
    second = Graph.dag("cba", [("a", "c"), ("b", "c")])
    assert structural_hamming_distance(first, second) == 0
    with pytest.raises(GraphError, match="same variables"):
        structural_hamming_distance(first, Graph.dag("abd", []))
