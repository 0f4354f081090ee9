"""The order search against exhaustive search and the truth."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from fedcausal.discovery.knowledge import Knowledge
from fedcausal.discovery.options import DiscoveryOptions
from fedcausal.discovery.order_search import order_search
from fedcausal.equivalence import cpdag_of
from fedcausal.moments.covariance import BlockCovariance
from fedcausal.pdag import bits
from fedcausal.scores.score import BlockScore


def best_of_all_dags(score):
    """Exhaustive search by dynamic programming over sets (Silander and Myllymaki, 2006)."""
    size = len(score.names)
    best = {}
    for child in range(size):
        for mask in (m for m in range(1 << size) if not m >> child & 1):
            smaller = [best[child, mask ^ 1 << k] for k in bits(mask)]
            best[child, mask] = max([score.local(child, list(bits(mask))), *smaller])
    total = [0.0]
    for mask in range(1, 1 << size):
        total.append(max(total[mask ^ 1 << c] + best[c, mask ^ 1 << c] for c in bits(mask)))
    return total[-1]


@pytest.mark.parametrize("widths", [None, [1, 2, 1, 3, 1, 2]])
@pytest.mark.parametrize("size", [5, 6])
def test_defaults_reach_the_best_of_all_dags(simulate, size, widths):
    reached = 0
    for seed in range(40):
        widths_here = None if widths is None else widths[:size]
        statistics = simulate(size, seed=seed, degree=2.5, widths=widths_here).statistics
        found = order_search(statistics, Knowledge(nodes=statistics.names), DiscoveryOptions())
        oracle = best_of_all_dags(BlockScore.from_covariance(statistics))
        assert found.score <= oracle + 1e-7
        reached += found.score >= oracle - 1e-9
    assert reached >= 0.95 * 40


@pytest.mark.parametrize("size", [8, 14])
@pytest.mark.parametrize("seed", range(5))
def test_the_truth_is_found_with_many_rows(simulate, seed, size):
    study = simulate(size, seed=seed, num_rows=50_000, degree=1.5)
    knowledge = Knowledge(nodes=study.statistics.names)
    found = order_search(study.statistics, knowledge, DiscoveryOptions(penalty=2.0))
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


@pytest.mark.parametrize("size", [8, 20])
@pytest.mark.parametrize("seed", range(4))
def test_the_order_of_columns_does_not_matter(simulate, seed, size):
    study = simulate(size, seed=seed, degree=3)
    statistics = study.statistics
    order = study.rng.permutation(size)
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


@pytest.mark.parametrize("size", [8, 20])
def test_units_do_not_matter(simulate, covariance_of, size):
    for seed in range(4):
        study = simulate(size, seed=seed, degree=3)
        scale = study.rng.choice([-1.0, 1.0], size) * 10.0 ** study.rng.uniform(-3, 3, size)
        names = study.statistics.names
        scaled = covariance_of(names, study.rows * scale + 7.0, [1] * size)
        graphs = [
            order_search(statistics, Knowledge(nodes=names), DiscoveryOptions()).graph
            for statistics in (study.statistics, scaled)
        ]
        assert graphs[0] == graphs[1]


@pytest.mark.parametrize("size", [9, 18])
def test_true_tiers_make_the_graph_no_worse(simulate, size):
    errors = np.zeros(2, dtype=int)
    for seed in range(6):
        study = simulate(size, seed=seed, degree=3, num_rows=2000)
        names = study.dag.nodes
        tiers = (names[: size // 2], names[size // 2 :])
        nothing, known = Knowledge(nodes=names), Knowledge(nodes=names, tiers=tiers)
        for k, knowledge in enumerate((nothing, known)):
            found = order_search(study.statistics, knowledge, DiscoveryOptions(penalty=2.0))
            assert not knowledge.violations(found.graph)
            truth = set(cpdag_of(study.dag, knowledge).edges)
            errors[k] += len(truth ^ set(found.graph.edges))
    assert errors[1] <= errors[0]


def test_progress_is_told_and_never_falls(simulate):
    statistics, told = simulate(14, seed=1, degree=3).statistics, []
    found = order_search(
        statistics,
        Knowledge(nodes=statistics.names),
        DiscoveryOptions(),
        progress=lambda climbs, score: told.append((climbs, score)),
    )
    assert [climbs for climbs, _ in told] == list(range(1, len(told) + 1))
    assert all(a <= b for (_, a), (_, b) in pairwise(told))
    assert told[-1][1] == pytest.approx(found.score, abs=1e-6)


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


@pytest.mark.parametrize("size", [10, 30])
def test_a_time_limit_is_noted(simulate, size):
    statistics = simulate(size, seed=5, degree=4).statistics
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
