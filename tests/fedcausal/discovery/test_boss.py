"""BOSS with block scores."""

import numpy as np
import pytest

from fedcausal.discovery.boss import boss, known_score, order_within
from fedcausal.discovery.knowledge import Knowledge
from fedcausal.discovery.options import DiscoveryOptions
from fedcausal.equivalence import cpdag_of
from fedcausal.scores.score import BlockScore

OPTIONS = DiscoveryOptions(algorithm="boss", restarts=2)


@pytest.mark.parametrize("seed", range(5))
def test_the_truth_is_found_with_many_rows(simulate, seed):
    study = simulate(8, seed=seed, num_rows=100_000)
    found = boss(study.statistics, Knowledge(nodes=study.statistics.names), OPTIONS)
    assert found.graph == cpdag_of(study.dag)


def test_its_score_is_that_of_its_dag_and_no_worse_than_the_truth(simulate):
    study = simulate(7, seed=3, widths=[1, 2, 1, 1, 3, 1, 1])
    names = study.statistics.names
    score = BlockScore.from_covariance(study.statistics)

    def total(dag):
        return sum(score.local(names.index(c), [*map(names.index, dag.parents(c))]) for c in names)

    found = boss(study.statistics, Knowledge(nodes=names), OPTIONS)
    assert found.score == pytest.approx(total(found.dag))
    assert found.score >= total(study.dag) - 1e-6


def test_the_same_seed_gives_the_same_graph(simulate):
    study = simulate(7, seed=5, degree=4)
    knowledge = Knowledge(nodes=study.statistics.names)
    assert boss(study.statistics, knowledge, OPTIONS) == boss(study.statistics, knowledge, OPTIONS)


def test_families_that_knowledge_forbids_are_never_scored(simulate, random_knowledge, monkeypatch):
    scored, local = set(), BlockScore.local

    def spy(self, child, parents):
        scored.update((self.names[p], self.names[child]) for p in parents)
        return local(self, child, parents)

    for seed in range(5):
        study = simulate(6, seed=seed, degree=3)
        knowledge = random_knowledge(study.dag, np.random.default_rng(seed))
        scored.clear()
        with monkeypatch.context() as patch:
            patch.setattr(BlockScore, "local", spy)
            boss(study.statistics, knowledge, OPTIONS)
        assert scored
        assert all(knowledge.allows(parent, child) for parent, child in scored)


def test_a_missing_required_parent_costs_more_than_any_family_gains(simulate):
    study = simulate(4, seed=0, degree=3)
    names = study.statistics.names
    knowledge = Knowledge(nodes=names, required=((names[3], names[0]),))
    score = known_score(BlockScore.from_covariance(study.statistics), knowledge)
    assert score(0, (1, 2)) < score(0, (3,)) - 1e4
    assert score(3, (0,)) == -np.inf


def test_a_time_limit_is_told(simulate):
    statistics = simulate(5, seed=0).statistics
    options = DiscoveryOptions(algorithm="boss", time_limit_seconds=1e-9)
    found = boss(statistics, Knowledge(nodes=statistics.names), options)
    assert "time limit" in found.notes[0]


def test_orders_are_changed_as_little_as_knowledge_asks():
    assert order_within([0, 1, 2], [0, 0, 0]) == [0, 1, 2]
    assert order_within([0, 1, 2], [0b100, 0, 0]) == [1, 2, 0]
