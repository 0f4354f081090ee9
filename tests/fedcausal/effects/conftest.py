"""Random graphs with hidden causes, and models over them whose effects are known exactly."""

import random
from itertools import combinations, permutations, product

import numpy as np
import pytest

from fedcausal.effects.mixed_graph import MixedGraph
from fedcausal.graph import Graph


def subsets(names):
    return [set(c) for k in range(len(names) + 1) for c in combinations(names, k)]


def mixed_graph(seed, size=5, causes=0.45, hidden=0.2):
    """Nodes end in x, y; every order of causes is as likely."""
    rng = random.Random(seed)
    nodes = (*"abcdef"[: size - 2], "x", "y")
    order = rng.sample(nodes, size)
    return MixedGraph(
        nodes=nodes,
        directed=frozenset(e for e in combinations(order, 2) if rng.random() < causes),
        bidirected=frozenset(
            frozenset(e) for e in combinations(nodes, 2) if rng.random() < hidden
        ),
    )


def with_hidden_nodes(graph):
    """The DAG that has a variable in the place of every bidirected edge."""
    pairs = [sorted(pair) for pair in sorted(graph.bidirected, key=sorted)]
    edges = [(f"u{i}", name) for i, pair in enumerate(pairs) for name in pair]
    nodes = [*graph.nodes, *(f"u{i}" for i in range(len(pairs)))]
    return Graph.dag(nodes, [*graph.directed, *edges])


class LinearModel:
    """Random coefficients over a graph: its exact covariance and total effects."""

    def __init__(self, graph, seed):
        dag, rng = with_hidden_nodes(graph), np.random.default_rng(seed)
        self.names = dag.nodes
        size = len(dag.nodes)
        weights = np.zeros((size, size))
        for a, b in dag.directed_edges:
            weights[dag.index(b), dag.index(a)] = rng.uniform(0.4, 1.2) * rng.choice([-1, 1])
        self.total = np.linalg.inv(np.eye(size) - weights)
        self.covariance = self.total @ np.diag(rng.uniform(0.5, 1.5, size)) @ self.total.T

    def effect(self, treatment, outcome):
        return self.total[self.names.index(outcome), self.names.index(treatment)]

    def adjusted(self, treatment, outcome, given):
        """The regression coefficient, and its asymptotic variance times the sample size."""
        held = [self.names.index(n) for n in (treatment, *sorted(given))]
        y = self.names.index(outcome)
        within = self.covariance[np.ix_(held, held)]
        slopes = np.linalg.solve(within, self.covariance[held, y])
        residual = self.covariance[y, y] - slopes @ self.covariance[held, y]
        return slopes[0], residual * np.linalg.inv(within)[0, 0]


class BinaryModel:
    """Random tables over a graph of binary variables, with binary hidden causes."""

    def __init__(self, graph, seed):
        rng = np.random.default_rng(seed)
        self.graph, self.dag = graph, with_hidden_nodes(graph)
        self.tables = {
            n: rng.uniform(0.1, 0.9, size=(2,) * len(self.dag.parents(n))) for n in self.dag.nodes
        }

    def law(self, free=()):
        """The joint law (2, 2, ...) of the visible nodes; `free` ones are set, not drawn."""
        joint = np.ones((2,) * len(self.dag.nodes))
        for name in set(self.dag.nodes) - set(free):
            joint = joint * self._shares(name)
        return joint.sum(axis=tuple(range(len(self.graph.nodes), joint.ndim)))

    def _shares(self, name):
        """P(name | parents) with an axis per node, of length 1 where it does not matter."""
        axes = [self.dag.index(p) for p in (*self.dag.parents(name), name)]
        table = np.stack([1.0 - self.tables[name], self.tables[name]], axis=-1)
        shape = [2 if axis in axes else 1 for axis in range(len(self.dag.nodes))]
        return table.transpose(np.argsort(axes)).reshape(shape)


@pytest.fixture(scope="session")
def make_mixed():
    return mixed_graph


@pytest.fixture(scope="session")
def make_linear():
    return LinearModel


@pytest.fixture(scope="session")
def make_binary():
    return BinaryModel


@pytest.fixture(scope="session")
def all_subsets():
    return subsets


@pytest.fixture(scope="session")
def expand_hidden():
    return with_hidden_nodes


@pytest.fixture(scope="session")
def all_orientations():
    """All DAGs with the skeleton and arrowheads of a partially directed graph."""

    def dags(cpdag):
        for turned in product((False, True), repeat=len(cpdag.undirected_edges)):
            chosen = zip(cpdag.undirected_edges, turned, strict=True)
            edges = [pair[::-1] if is_turned else pair for pair, is_turned in chosen]
            pairs = {*edges, *cpdag.directed_edges}
            order = next((o for o in permutations(cpdag.nodes) if _fits(o, pairs)), None)
            if order is not None:
                yield Graph.dag(cpdag.nodes, pairs)

    return dags


def _fits(order, pairs):
    return all(order.index(a) < order.index(b) for a, b in pairs)
