"""Every algorithm honours every knowledge."""

import numpy as np
import pytest

from fedcausal.discovery import Discovery, DiscoveryOptions, Knowledge, discover
from fedcausal.equivalence import cpdag_of, extension
from fedcausal.errors import InputError, KnowledgeError

WITH_KNOWLEDGE = ("order-search", "pc")


@pytest.mark.parametrize("algorithm", WITH_KNOWLEDGE)
@pytest.mark.parametrize("seed", range(25))
def test_knowledge_is_honoured(simulate, random_knowledge, algorithm, seed):
    study = simulate(6, seed=seed, degree=3, widths=[1, 2, 1, 1, 3, 1] if seed % 2 else None)
    knowledge = random_knowledge(study.dag, study.rng)
    found = discover(study.statistics, knowledge, DiscoveryOptions(algorithm=algorithm))
    assert knowledge.violations(found.graph) == []
    assert knowledge.violations(found.dag) == []
    assert found.dag == extension(found.graph, knowledge)
    assert found.graph == cpdag_of(found.dag, knowledge)


@pytest.mark.parametrize("algorithm", [*WITH_KNOWLEDGE, "flop"])
def test_every_algorithm_returns_a_class_and_a_member(simulate, algorithm):
    study = simulate(6, seed=1)
    knowledge = Knowledge(nodes=study.statistics.names)
    found = discover(study.statistics, knowledge, DiscoveryOptions(algorithm=algorithm))
    assert isinstance(found, Discovery)
    assert found.algorithm == algorithm
    assert found.graph == cpdag_of(found.dag)
    assert found.graph.nodes == study.statistics.names


def test_a_required_edge_that_lost_its_data_stops_the_run(simulate):
    study = simulate(3, seed=0)
    nodes = (*study.statistics.names, "constant")
    knowledge = Knowledge(nodes=nodes, required=(("constant", "x00"),))
    with pytest.raises(KnowledgeError, match="constant"):
        discover(study.statistics, knowledge, DiscoveryOptions())


@pytest.mark.parametrize("algorithm", ["pc", "flop"])
def test_only_the_order_search_takes_a_prior(simulate, algorithm):
    study = simulate(3, seed=0)
    knowledge = Knowledge(nodes=study.statistics.names)
    options = DiscoveryOptions(algorithm=algorithm)
    with pytest.raises(InputError, match="order-search"):
        discover(study.statistics, knowledge, options, np.zeros((3, 3)))
