"""Distances between graphs."""

from itertools import combinations, permutations

import numpy as np
import pytest

from fedcausal.equivalence import cpdag_of, extension, is_d_separated
from fedcausal.errors import GraphError
from fedcausal.evaluation.graph_distance import (
    adjustment_distance,
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


def identifies(truth, treatment, outcome, given):
    """The adjustment criterion (Shpitser, VanderWeele and Robins 2010) for a single treatment."""
    below = truth.descendants(treatment)
    causal = below & (truth.ancestors(outcome) | {outcome})
    forbidden = causal.union(*(truth.descendants(name) for name in causal))
    if forbidden & set(given):
        return False
    edges = [e for e in truth.directed_edges if not (e[0] == treatment and e[1] in causal)]
    return is_d_separated(Graph.dag(truth.nodes, edges), [treatment], [outcome], given)


def mistakes_of_parents(estimate, truth):
    wrong = 0
    for treatment, outcome in permutations(truth.nodes, 2):
        parents = estimate.parents(treatment)
        if outcome in parents:
            wrong += outcome in truth.descendants(treatment)
        else:
            wrong += not identifies(truth, treatment, outcome, parents)
    return wrong


@pytest.mark.parametrize("seed", range(40))
def test_adjusting_for_parents_is_judged_as_by_the_criterion(seed):
    rng = np.random.default_rng(seed)
    estimate, truth = random_dag(rng), random_dag(rng)
    found = adjustment_distance(estimate, truth, strategy="parent")
    assert found.mistakes == mistakes_of_parents(estimate, truth)
    assert found.share == pytest.approx(found.mistakes / 20)


@pytest.mark.parametrize("strategy", ["ancestor", "parent", "oset"])
def test_a_graph_is_at_no_distance_from_itself_and_a_class_holds_its_members(strategy):
    for seed in range(20):
        dag = random_dag(np.random.default_rng(seed))
        names = dag.nodes[::-1]
        again = Graph.dag(names, dag.directed_edges)
        assert adjustment_distance(again, dag, strategy=strategy).mistakes == 0
        graph = cpdag_of(dag)
        assert adjustment_distance(graph, graph, strategy=strategy).mistakes == 0


def test_what_cannot_be_judged_is_refused():
    dag = Graph.dag("ab", [("a", "b")])
    with pytest.raises(GraphError, match="pag"):
        adjustment_distance(Graph(kind="pag", nodes=("a", "b")), dag)
    with pytest.raises(GraphError, match="knowledge has oriented"):
        adjustment_distance(Graph.cpdag("ab", [("a", "b")]), dag)
    with pytest.raises(GraphError, match="same variables"):
        adjustment_distance(Graph.dag("ac", []), dag)
    with pytest.raises(GraphError, match="strategy"):
        adjustment_distance(dag, dag, strategy="luck")
