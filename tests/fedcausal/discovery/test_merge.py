"""The merged objective: the pooled score, tilted by votes."""

import numpy as np
import pytest

from fedcausal.discovery.algorithms import discover
from fedcausal.discovery.knowledge import Knowledge
from fedcausal.discovery.merge import merge, vote_prior
from fedcausal.discovery.options import DiscoveryOptions
from fedcausal.discovery.votes import Votes, pair_votes
from fedcausal.equivalence import cpdag_of, pdag_of
from fedcausal.graph import Graph


def unanimous(graph, num_ballots=40):
    counts = pair_votes(pdag_of(graph), list(range(len(graph.nodes))), len(graph.nodes))
    return Votes(names=graph.nodes, counts=num_ballots * counts, num_ballots=num_ballots)


def test_the_prior_is_the_clipped_log_odds():
    votes = unanimous(Graph.dag("abc", [("a", "b")]), num_ballots=2)
    prior = vote_prior(votes, ("a", "b", "c"))
    odds, tilt = np.log(2.5 / 0.5), 0.5 * np.log(2.5 / 0.5)
    assert prior[0, 1] == pytest.approx(odds + tilt)
    assert prior[1, 0] == pytest.approx(odds - tilt)
    assert prior[1, 2] == prior[2, 1] == pytest.approx(-odds)
    many = vote_prior(unanimous(votes_graph := Graph.dag("abc", [("a", "b")])), votes_graph.nodes)
    assert many[0, 1] == pytest.approx(3.0)
    assert many[0, 2] == pytest.approx(-2.0)
    assert vote_prior(votes, ("c", "b"))[0, 1] == pytest.approx(-odds)


@pytest.mark.parametrize("algorithm", ["order-search", "pc"])
def test_without_weight_the_merge_is_the_pooled_graph(simulate, algorithm):
    study = simulate(6, seed=3, degree=3, num_rows=200)
    knowledge = Knowledge(nodes=study.statistics.names)
    options = DiscoveryOptions(vote_weight=0.0, algorithm=algorithm)
    votes = unanimous(Graph.dag(study.statistics.names, []))
    merged = merge(study.statistics, votes, knowledge, options)
    assert merged.graph == discover(study.statistics, knowledge, options).graph


def test_votes_for_the_truth_do_no_harm_and_leave_no_disagreement(simulate):
    study = simulate(6, seed=3, num_rows=20_000, degree=2)
    knowledge = Knowledge(nodes=study.statistics.names)
    truth = cpdag_of(study.dag)
    merged = merge(study.statistics, unanimous(truth), knowledge, DiscoveryOptions())
    assert merged.graph == truth
    assert merged.disagreements == ()


def test_a_heavy_weight_lets_the_votes_decide(simulate):
    study = simulate(4, seed=1)
    voted = Graph.dag(study.statistics.names, [("x00", "x03"), ("x01", "x03")])
    knowledge = Knowledge(nodes=study.statistics.names)
    options = DiscoveryOptions(vote_weight=1e6)
    merged = merge(study.statistics, unanimous(voted), knowledge, options)
    assert merged.graph == cpdag_of(voted)


@pytest.mark.parametrize("seed", range(5))
def test_knowledge_outranks_votes(simulate, random_knowledge, seed):
    study = simulate(6, seed=seed, degree=3)
    knowledge = random_knowledge(study.dag, study.rng)
    options = DiscoveryOptions(vote_weight=100.0, algorithm="pc")
    merged = merge(study.statistics, unanimous(cpdag_of(study.dag)), knowledge, options)
    assert knowledge.violations(merged.graph) == []
    assert knowledge.violations(merged.dag) == []
    assert merged.pooled.algorithm == "pc"


def test_disagreements_name_the_pair_and_the_shares(simulate):
    study = simulate(3, seed=0, degree=0.0)
    voted = Graph.dag(study.statistics.names, [("x02", "x01")])
    knowledge = Knowledge(nodes=study.statistics.names)
    merged = merge(study.statistics, unanimous(voted), knowledge, DiscoveryOptions())
    (found,) = merged.disagreements
    assert (found.first, found.second, found.pooled) == ("x01", "x02", "none")
    assert (found.adjacent, found.forward, found.backward) == (1.0, 0.0, 1.0)
