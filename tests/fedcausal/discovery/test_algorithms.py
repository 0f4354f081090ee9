"""Every algorithm honours every knowledge."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedcausal.discovery import Discovery, DiscoveryOptions, Knowledge, discover
from fedcausal.discovery.fci import contradictions
from fedcausal.equivalence import cpdag_of, extension
from fedcausal.errors import InputError, KnowledgeError
from fedcausal.scores.independence import BlockTest

WITH_KNOWLEDGE = ("order-search", "pc", "ges", "boss", "fci")
TAKES_LEVELS = ("order-search", "pc", "boss", "fci")


@pytest.mark.parametrize("algorithm", WITH_KNOWLEDGE)
@given(seed=st.integers(0, 2**32 - 1), size=st.integers(2, 6), degree=st.floats(0.0, 4.0))
@settings(
    max_examples=30,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_knowledge_is_honoured(simulate, random_knowledge, algorithm, seed, size, degree):
    rng = np.random.default_rng(seed)
    widths = rng.integers(1, 4, size).tolist() if algorithm in TAKES_LEVELS else None
    study = simulate(size, seed=seed, degree=min(degree, size - 1), widths=widths, num_rows=300)
    knowledge = random_knowledge(study.dag, rng)
    found = discover(
        study.statistics, knowledge, DiscoveryOptions(algorithm=algorithm, restarts=1)
    )
    assert knowledge.violations(found.graph) == []
    for first, second in found.graph.skeleton():
        assert knowledge.allows_pair(first, second)
    if found.graph.kind == "pag":
        assert found.dag is None
        assert contradictions(found.graph, knowledge) == []
    else:
        assert knowledge.violations(found.dag) == []
        assert found.dag == extension(found.graph, knowledge)
        assert found.graph == cpdag_of(found.dag, knowledge)


@pytest.mark.parametrize("algorithm", ["pc", "fci"])
@pytest.mark.parametrize("seed", range(6))
def test_what_is_forbidden_is_never_tested(
    simulate, random_knowledge, monkeypatch, algorithm, seed
):
    study = simulate(6, seed=seed, degree=4)
    names = study.statistics.names
    apart = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :] if (i + seed) % 3 == 0]
    knowledge = Knowledge(nodes=names, forbidden=tuple(apart + [pair[::-1] for pair in apart]))
    asked, answer = set(), BlockTest.p_value

    def spy(self, first, second, given=()):
        asked.add(frozenset((self.names[first], self.names[second])))
        return answer(self, first, second, given)

    monkeypatch.setattr(BlockTest, "p_value", spy)
    found = discover(study.statistics, knowledge, DiscoveryOptions(algorithm=algorithm))
    assert asked
    assert not asked & {frozenset(pair) for pair in apart}
    assert not any(found.graph.adjacent(*pair) for pair in apart)


@pytest.mark.parametrize("algorithm", ["order-search", "pc", "ges", "boss", "flop"])
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


@pytest.mark.parametrize("algorithm", ["pc", "flop", "fci", "ges", "boss"])
def test_only_the_order_search_takes_a_prior(simulate, algorithm):
    study = simulate(3, seed=0)
    knowledge = Knowledge(nodes=study.statistics.names)
    options = DiscoveryOptions(algorithm=algorithm)
    with pytest.raises(InputError, match="order-search"):
        discover(study.statistics, knowledge, options, np.zeros((3, 3)))


@pytest.mark.parametrize("algorithm", ["flop", "pc", "fci", "ges"])
def test_an_algorithm_that_cannot_be_stopped_says_so(simulate, algorithm):
    statistics = simulate(4, seed=0).statistics
    nothing = Knowledge(nodes=statistics.names)
    options = DiscoveryOptions(algorithm=algorithm, time_limit_seconds=60.0)
    assert "no time limit" in discover(statistics, nothing, options).notes[-1]
