"""PC on covariances against causal-learn's PC on the rows."""

import numpy as np
import pytest
from causallearn.search.ConstraintBased.PC import pc as pc_on_rows

from fedcausal.discovery.knowledge import Knowledge
from fedcausal.discovery.options import DiscoveryOptions
from fedcausal.discovery.pc import pc
from fedcausal.equivalence import cpdag_of, is_d_separated
from fedcausal.moments.covariance import BlockCovariance
from fedcausal.scores.independence import BlockTest

OPTIONS = DiscoveryOptions(algorithm="pc")


def marks_of(causal_graph):
    """causal-learn: entry [i, j] is the mark at i, -1 tail and 1 arrow."""
    at_column = causal_graph.G.graph.T
    return np.where(at_column == -1, 1, np.where(at_column == 1, 2, 0))


@pytest.mark.parametrize("size", [4, 6, 9])
@pytest.mark.parametrize("seed", range(20))
def test_marks_are_those_of_causal_learn_unless_its_tests_contradict_each_other(
    simulate, size, seed
):
    study = simulate(size, seed=seed, degree=2.5)
    found = pc(study.statistics, Knowledge(nodes=study.statistics.names), OPTIONS)
    expected = pc_on_rows(study.rows, OPTIONS.alpha, "fisherz", show_progress=False)
    if not found.notes:
        np.testing.assert_array_equal(found.graph.marks(), marks_of(expected))
    else:
        np.testing.assert_array_equal(found.graph.marks() > 0, marks_of(expected) > 0)


def test_contradictions_are_rare_in_this_battery(simulate):
    notes = [
        pc(study.statistics, Knowledge(nodes=study.statistics.names), OPTIONS).notes
        for study in (simulate(6, seed=seed, degree=2.5) for seed in range(8))
    ]
    assert sum(map(bool, notes)) <= 4


@pytest.mark.parametrize("seed", range(6))
def test_the_truth_is_found_with_population_covariances(simulate, seed):
    study = simulate(7, seed=seed, num_rows=200_000, degree=2.0)
    strict = DiscoveryOptions(algorithm="pc", alpha=1e-4)
    found = pc(study.statistics, Knowledge(nodes=study.statistics.names), strict)
    assert found.graph == cpdag_of(study.dag)
    for (first, second), given in found.separating_sets.items():
        assert is_d_separated(study.dag, [first], [second], given)


def test_forbidden_pairs_are_never_tested_nor_evidence_for_a_collider(simulate, monkeypatch):
    study = simulate(6, seed=2, degree=4)
    pairs = [("x00", "x03"), ("x03", "x00"), ("x01", "x02"), ("x02", "x01")]
    knowledge = Knowledge(nodes=study.statistics.names, forbidden=tuple(pairs))
    asked = []
    answer = BlockTest.p_value

    def spy(self, first, second, given=()):
        asked.append((self.names[first], self.names[second]))
        return answer(self, first, second, given)

    monkeypatch.setattr(BlockTest, "p_value", spy)
    found = pc(study.statistics, knowledge, OPTIONS)
    assert asked
    assert not set(asked) & set(pairs)
    assert not set(found.separating_sets) & set(pairs)
    assert not found.graph.adjacent("x00", "x03")


def test_a_pair_parted_by_knowledge_alone_orients_nothing():
    # A chain x - y - z in truth, and x, z forbidden: without a test there is no collider at y.
    rng = np.random.default_rng(0)
    x = rng.standard_normal(5000)
    y = x + rng.standard_normal(5000)
    z = y + rng.standard_normal(5000)
    statistics = BlockCovariance(
        names=("x", "y", "z"),
        blocks={"x": (0,), "y": (1,), "z": (2,)},
        covariance=np.corrcoef([x, y, z]),
        num_records=np.full((3, 3), 4999.0),
    )
    knowledge = Knowledge(nodes=("x", "y", "z"), forbidden=(("x", "z"), ("z", "x")))
    assert pc(statistics, knowledge, OPTIONS).graph.undirected_edges == (("x", "y"), ("y", "z"))


def test_required_edges_survive_independence(simulate):
    study = simulate(5, seed=0, degree=0.0)
    knowledge = Knowledge(nodes=study.statistics.names, required=(("x03", "x01"),))
    assert pc(study.statistics, knowledge, OPTIONS).graph.directed_edges == (("x03", "x01"),)


def test_forbidden_directions_that_leave_only_a_cycle_cost_an_edge():
    rng = np.random.default_rng(0)
    x, noise, more = rng.standard_normal((3, 2000))
    y = x + noise
    z = 2.0 * x + y + more
    statistics = BlockCovariance(
        names=("x", "y", "z"),
        blocks={"x": (0,), "y": (1,), "z": (2,)},
        covariance=np.corrcoef([x, y, z]),
        num_records=np.full((3, 3), 1999.0),
    )
    knowledge = Knowledge(nodes=("x", "y", "z"), forbidden=(("y", "x"), ("z", "y"), ("x", "z")))
    found = pc(statistics, knowledge, OPTIONS)
    assert knowledge.violations(found.graph) == []
    assert len(found.graph.edges) == 2
    assert "knowledge" in found.notes[0]
