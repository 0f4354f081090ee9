"""GES on covariances against causal-learn's GES on the rows, and repaired by knowledge."""

import numpy as np
import pytest
from causallearn.search.ScoreBased.GES import ges as ges_on_rows

from fedcausal.discovery.ges import ges
from fedcausal.discovery.knowledge import Knowledge
from fedcausal.discovery.options import DiscoveryOptions
from fedcausal.equivalence import cpdag_of
from fedcausal.errors import InputError

OPTIONS = DiscoveryOptions(algorithm="ges")


@pytest.mark.parametrize("seed", range(20))
def test_marks_are_those_of_causal_learn_on_the_rows(simulate, seed):
    study = simulate(4 + seed % 5, seed=seed, degree=2.5, num_rows=1000)
    found = ges(study.statistics, Knowledge(nodes=study.statistics.names), OPTIONS)
    at_column = ges_on_rows(study.rows)["G"].graph.T
    np.testing.assert_array_equal(
        found.graph.marks(), np.select([at_column == -1, at_column == 1], [1, 2])
    )
    assert found.notes == ()


def test_the_truth_is_found_with_many_rows(simulate):
    study = simulate(7, seed=1, num_rows=200_000)
    found = ges(study.statistics, Knowledge(nodes=study.statistics.names), OPTIONS)
    assert found.graph == cpdag_of(study.dag)


def test_knowledge_of_the_truth_only_orients(simulate):
    study = simulate(7, seed=1, num_rows=200_000)
    order = study.dag.topological_order()
    knowledge = Knowledge(nodes=study.statistics.names, tiers=tuple((name,) for name in order))
    found = ges(study.statistics, knowledge, OPTIONS)
    assert found.dag == study.dag
    assert found.notes == ()


def test_knowledge_against_the_data_is_honoured_and_noted(simulate):
    study = simulate(6, seed=2, degree=3)
    parent, child = study.dag.directed_edges[0]
    knowledge = Knowledge(
        nodes=study.statistics.names, forbidden=((parent, child), (child, parent))
    )
    found = ges(study.statistics, knowledge, OPTIONS)
    assert not found.graph.adjacent(parent, child)
    assert "contradicts the knowledge" in found.notes[0]


def test_levels_are_refused(simulate):
    statistics = simulate(3, seed=0, widths=[1, 2, 1]).statistics
    with pytest.raises(InputError, match=r'discovery.algorithm: "ges".*"boss"'):
        ges(statistics, Knowledge(nodes=statistics.names), OPTIONS)
