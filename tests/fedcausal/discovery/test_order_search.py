"""The order search against exhaustive search and the truth."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest

from fedcausal.covariance import BlockCovariance
from fedcausal.discovery.knowledge import Knowledge
from fedcausal.discovery.options import DiscoveryOptions
from fedcausal.discovery.order_search import FamilySearch, order_search
from fedcausal.equivalence import cpdag_of
from fedcausal.score import BlockScore


@pytest.mark.parametrize("widths", [None, [1, 2, 1, 3, 1]])
@pytest.mark.parametrize("seed", range(10))
def test_restarts_reach_the_best_of_all_orders(simulate, seed, widths):
    statistics = simulate(5, seed=seed, degree=2.5, widths=widths).statistics
    knowledge = Knowledge(nodes=statistics.names)
    found = order_search(statistics, knowledge, DiscoveryOptions(restarts=20))
    search = FamilySearch(BlockScore.from_covariance(statistics), knowledge)
    oracle = max(search.total(order) for order in permutations(range(5)))
    assert found.score >= oracle - 1e-9


@pytest.mark.parametrize("seed", range(8))
def test_the_truth_is_found_with_many_rows(simulate, seed):
    study = simulate(8, seed=seed, num_rows=50_000, degree=1.5)
    knowledge = Knowledge(nodes=study.statistics.names)
    found = order_search(study.statistics, knowledge, DiscoveryOptions())
    assert found.graph == cpdag_of(study.dag)


def test_the_score_is_that_of_the_dag(simulate):
    statistics = simulate(7, seed=3, widths=[1, 1, 2, 1, 1, 3, 1]).statistics
    found = order_search(statistics, Knowledge(nodes=statistics.names), DiscoveryOptions())
    score = BlockScore.from_covariance(statistics)
    place = statistics.names.index
    families = [
        score.local(place(c), [place(p) for p in found.dag.parents(c)]) for c in found.dag.nodes
    ]
    assert found.score == pytest.approx(sum(families), rel=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_columns_does_not_matter(simulate, seed):
    study = simulate(8, seed=seed, degree=3)
    statistics = study.statistics
    order = study.rng.permutation(8)
    permuted = BlockCovariance(
        names=tuple(statistics.names[i] for i in order),
        blocks={statistics.names[i]: (position,) for position, i in enumerate(order)},
        covariance=statistics.covariance[np.ix_(order, order)],
        num_records=statistics.num_records,
    )
    first = order_search(statistics, Knowledge(nodes=statistics.names), DiscoveryOptions())
    second = order_search(permuted, Knowledge(nodes=permuted.names), DiscoveryOptions())
    assert set(first.graph.directed_edges) == set(second.graph.directed_edges)
    assert first.graph.skeleton() == {tuple(sorted(pair)) for pair in second.graph.skeleton()}
    assert first.score == second.score


def test_the_same_seed_gives_the_same_discovery(simulate):
    statistics = simulate(10, seed=5, degree=4).statistics
    knowledge = Knowledge(nodes=statistics.names)
    runs = [order_search(statistics, knowledge, DiscoveryOptions(seed=7)) for _ in range(2)]
    assert runs[0] == runs[1]


def test_an_edge_prior_adds_and_removes_edges(simulate):
    statistics = simulate(5, seed=1).statistics
    knowledge = Knowledge(nodes=statistics.names)
    against = np.full((5, 5), -1e6)
    none = order_search(statistics, knowledge, DiscoveryOptions(), against)
    assert none.graph.edges == ()
    complete = order_search(statistics, knowledge, DiscoveryOptions(), -against)
    assert len(complete.graph.edges) == 10


def test_a_time_limit_is_noted(simulate):
    statistics = simulate(10, seed=5, degree=4).statistics
    options = DiscoveryOptions(time_limit_seconds=1e-9)
    found = order_search(statistics, Knowledge(nodes=statistics.names), options)
    assert "time limit" in found.notes[0]


def test_one_variable_has_an_empty_graph(simulate):
    statistics = simulate(2, seed=0).statistics
    one = replace(
        statistics,
        names=statistics.names[:1],
        blocks={statistics.names[0]: (0,)},
        covariance=np.eye(1),
        num_records=np.full((1, 1), 99.0),
    )
    found = order_search(one, Knowledge(nodes=one.names), DiscoveryOptions())
    assert found.graph.edges == ()
