"""Which directions an answer rests on: compared with every DAG of a class."""

import random
from itertools import product

import numpy as np
import pytest

from fedcausal.equivalence import cpdag_of
from fedcausal.errors import GraphError
from fedcausal.graph import Graph
from fedcausal.model.open_edges import (
    class_of,
    open_above,
    open_at,
    open_below,
    open_between,
    open_sentence,
    possibly_above,
    possibly_below,
)

CHAIN = Graph.dag("abcy", [("a", "b"), ("b", "c"), ("b", "y"), ("c", "y")])
CLASS = Graph.cpdag("abcy", directed=[("b", "y"), ("c", "y")], undirected=[("a", "b"), ("b", "c")])


def members(cpdag):
    """All DAGs of a class."""
    for turned in product((False, True), repeat=len(cpdag.undirected_edges)):
        chosen = zip(cpdag.undirected_edges, turned, strict=True)
        edges = [pair[::-1] if is_turned else pair for pair, is_turned in chosen]
        try:
            dag = Graph.dag(cpdag.nodes, [*edges, *cpdag.directed_edges])
        except GraphError:
            continue
        if cpdag_of(dag) == cpdag:
            yield dag


def law_under(dag, covariance, names):
    """Mean shifts and covariance of a Gaussian law under do() of some of its variables to 1."""
    size = len(dag.nodes)
    weights, noise, shift = np.zeros((size, size)), np.zeros(size), np.zeros(size)
    for i, name in enumerate(dag.nodes):
        if name in names:
            shift[i] = 1.0
            continue
        parents = [dag.index(p) for p in dag.parents(name)]
        slopes = np.linalg.solve(covariance[np.ix_(parents, parents)], covariance[parents, i])
        weights[i, parents] = slopes
        noise[i] = covariance[i, i] - slopes @ covariance[parents, i]
    total = np.linalg.inv(np.eye(size) - weights)
    return np.concatenate([total @ shift, (total * noise @ total.T).ravel()])


@pytest.mark.parametrize("seed", range(12))
def test_the_law_under_do_is_the_same_in_all_dags_where_no_edge_is_named(seed):
    rng, chance = np.random.default_rng(seed), random.Random(seed)
    nodes = "abcde"
    order = chance.sample(nodes, len(nodes))
    edges = [(a, b) for i, a in enumerate(order) for b in order[i + 1 :] if chance.random() < 0.4]
    dag = Graph.dag(nodes, edges)
    weights = np.zeros((5, 5))
    for a, b in edges:
        weights[dag.index(b), dag.index(a)] = rng.uniform(0.4, 1.2) * rng.choice([-1, 1])
    total = np.linalg.inv(np.eye(5) - weights)
    covariance = total @ np.diag(rng.uniform(0.5, 1.5, 5)) @ total.T
    learnt = cpdag_of(dag)
    for names in ("a", "b", "c", "ad", "bce"):
        laws = [law_under(member, covariance, names) for member in members(learnt)]
        is_one = all(np.allclose(law, laws[0], atol=1e-9) for law in laws)
        assert is_one == (open_at(dag, learnt, names) == ())


def test_edges_are_named_as_the_model_directs_them():
    assert open_at(CHAIN, CLASS, "a") == (("a", "b"),)
    assert open_at(CHAIN, CLASS, "b") == (("a", "b"), ("b", "c"))
    assert open_at(CHAIN, CLASS, "y") == open_below(CHAIN, CLASS, "y") == ()
    assert open_below(CHAIN, CLASS, "a") == (("a", "b"), ("b", "c"))
    assert open_above(CHAIN, CLASS, "y") == (("a", "b"), ("b", "c"))
    assert open_between(CHAIN, CLASS, "c", "y") == (("a", "b"), ("b", "c"))
    assert open_between(CHAIN, CLASS, "y", "a") == ()


def test_what_may_lie_below_and_above():
    assert possibly_below(CLASS, "c") == set("abcy")
    assert possibly_below(CLASS, "y") == {"y"}
    assert possibly_above(CLASS, "a") == set("abc")


def test_a_graph_without_open_edges_is_no_class():
    assert class_of(CHAIN, CLASS) == CLASS
    others = (
        None,
        Graph.cpdag(CHAIN.nodes, directed=CHAIN.directed_edges),
        Graph.cpdag("ab", undirected=[("a", "b")]),
        Graph(kind="pag", nodes=CHAIN.nodes),
    )
    for learnt in others:
        assert class_of(CHAIN, learnt) == CHAIN
        assert open_below(CHAIN, learnt, CHAIN.nodes) == ()


def test_the_sentence_counts():
    assert open_sentence(()) == ()
    (one,), (two,) = open_sentence([("a", "b")]), open_sentence([("a", "b"), ("b", "c")])
    assert one.startswith("a -> b: the data leave this direction open, and it was chosen")
    assert two.startswith("a -> b, b -> c: the data leave these directions open, and they were")
