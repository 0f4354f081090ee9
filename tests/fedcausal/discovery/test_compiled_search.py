"""The compiled climb against the block score and the climb without compilation."""

from dataclasses import replace

import numpy as np
import pytest

from fedcausal.discovery.compiled_search import CompiledSearch
from fedcausal.discovery.family_search import FamilySearch
from fedcausal.discovery.knowledge import Knowledge
from fedcausal.discovery.permitted_orders import PermittedOrders
from fedcausal.pdag import bits
from fedcausal.scores.score import BlockScore


def never():
    return False


def total(score, parents):
    return sum(score.local(child, list(bits(mask))) for child, mask in enumerate(parents))


def with_missing(statistics, rng):
    counts = rng.integers(200, 500, statistics.num_records.shape).astype(float)
    return replace(statistics, num_records=np.minimum(counts, counts.T))


@pytest.mark.parametrize("widths", [None, [1, 2, 1, 3, 1, 1, 2, 1]])
@pytest.mark.parametrize("seed", range(4))
def test_the_score_is_that_of_the_families(simulate, seed, widths):
    study = simulate(8, seed=seed, degree=3, widths=widths)
    statistics = with_missing(study.statistics, study.rng) if seed % 2 else study.statistics
    prior = study.rng.normal(0.0, 2.0, (8, 8))
    score = BlockScore.from_covariance(statistics, penalty=1.4, edge_prior=prior)
    search = CompiledSearch(score, Knowledge(nodes=statistics.names))
    end = search.climb(study.rng.permutation(8).tolist(), study.rng, never)
    assert end.score == pytest.approx(total(score, end.parents), abs=1e-6)
    assert sorted(end.order) == list(range(8))
    before = 0
    for child in end.order:
        assert not end.parents[child] & ~before
        before |= 1 << child


@pytest.mark.parametrize("widths", [None, [1, 2, 1, 3, 1, 1, 2, 1]])
@pytest.mark.parametrize("seed", range(4))
def test_no_single_parent_more_or_less_helps(simulate, seed, widths):
    study = simulate(8, seed=seed, degree=3, widths=widths)
    statistics = with_missing(study.statistics, study.rng) if seed % 2 else study.statistics
    score = BlockScore.from_covariance(statistics)
    search = CompiledSearch(score, Knowledge(nodes=statistics.names))
    end = search.climb(list(range(8)), study.rng, never)
    before = 0
    for child in end.order:
        here = score.local(child, list(bits(end.parents[child])))
        for other in bits(before):
            changed = end.parents[child] ^ 1 << other
            assert score.local(child, list(bits(changed))) <= here + 1e-5
        before |= 1 << child


def test_it_finds_what_the_table_of_families_finds(simulate):
    worse = 0
    for seed in range(20):
        statistics = simulate(6, seed=seed, degree=2.5).statistics
        score = BlockScore.from_covariance(statistics)
        knowledge = Knowledge(nodes=statistics.names)
        ends = [
            search.climb([5, 3, 1, 0, 2, 4], np.random.default_rng(seed), never).score
            for search in (CompiledSearch(score, knowledge), FamilySearch(score, knowledge))
        ]
        worse += ends[0] < ends[1] - 1e-6
    assert worse <= 4


def test_knowledge_holds_on_every_climb(simulate, random_knowledge):
    for seed in range(15):
        study = simulate(9, seed=seed, degree=3)
        knowledge = random_knowledge(study.dag, study.rng)
        score = BlockScore.from_covariance(study.statistics)
        search = CompiledSearch(score, knowledge)
        orders = PermittedOrders(knowledge.predecessors(score.names))
        allowed = knowledge.allowed_parents(score.names)
        required = knowledge.required_parents(score.names)
        end = search.climb(orders.random(study.rng), study.rng, never)
        assert orders.arrange(end.order) == list(end.order)
        for child, mask in enumerate(end.parents):
            assert not mask & ~allowed[child]
            assert mask & required[child] == required[child]


def test_a_climb_does_not_depend_on_the_one_before(simulate):
    study = simulate(15, seed=2, degree=3)
    score = BlockScore.from_covariance(study.statistics)
    knowledge = Knowledge(nodes=study.statistics.names)
    used, fresh = (CompiledSearch(score, knowledge) for _ in range(2))
    order = study.rng.permutation(15).tolist()
    used.climb(list(range(15)), study.rng, never)
    ends = [search.climb(order, np.random.default_rng(1), never) for search in (used, fresh)]
    assert ends[0] == ends[1]
    assert used.num_scores > fresh.num_scores > 0
