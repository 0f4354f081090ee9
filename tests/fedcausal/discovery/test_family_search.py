"""Families remembered per child and predecessors."""

from itertools import permutations

import numpy as np
import pytest

from fedcausal.discovery.family_search import FamilySearch
from fedcausal.discovery.knowledge import Knowledge
from fedcausal.pdag import bits
from fedcausal.scores.score import BlockScore


def never():
    return False


@pytest.mark.parametrize("widths", [None, [1, 2, 1, 3, 1]])
@pytest.mark.parametrize("seed", range(3))
def test_a_climb_ends_where_no_insertion_helps(simulate, seed, widths):
    statistics = simulate(5, seed=seed, degree=2.5, widths=widths).statistics
    search = FamilySearch(
        BlockScore.from_covariance(statistics), Knowledge(nodes=statistics.names)
    )
    end = search.climb([4, 2, 0, 1, 3], np.random.default_rng(seed), never)
    for variable in end.order:
        rest = [i for i in end.order if i != variable]
        for place in range(5):
            assert search.total([*rest[:place], variable, *rest[place:]]) <= end.score + 1e-7


def test_the_score_is_the_sum_over_the_families(simulate):
    statistics = simulate(5, seed=1, degree=3).statistics
    score = BlockScore.from_covariance(statistics)
    search = FamilySearch(score, Knowledge(nodes=statistics.names))
    for order in list(permutations(range(5)))[::17]:
        families = [score.local(c, list(bits(m))) for c, m in enumerate(search.parents(order))]
        assert search.total(order) == pytest.approx(sum(families), abs=1e-7)


def test_required_parents_stay_and_forbidden_ones_stay_out(simulate, random_knowledge):
    for seed in range(10):
        study = simulate(6, seed=seed, degree=3)
        knowledge = random_knowledge(study.dag, study.rng)
        score = BlockScore.from_covariance(study.statistics)
        search = FamilySearch(score, knowledge)
        end = search.climb(search.orders.random(study.rng), study.rng, never)
        for child, mask in enumerate(end.parents):
            assert not mask & ~search.allowed[child]
            assert mask & search.required[child] == search.required[child]
