"""One family, grown and shrunk by a compiled kernel, against every neighbour of it."""

import numpy as np
import pytest

from fedcausal.discovery.compiled_search import CompiledSearch
from fedcausal.discovery.family_kernels import insert, remove
from fedcausal.discovery.knowledge import Knowledge
from fedcausal.discovery.order_kernels import climb_some
from fedcausal.discovery.search_state import NOW
from fedcausal.pdag import bits
from fedcausal.scores.score import BlockScore


@pytest.mark.parametrize("widths", [None, [1, 2, 1, 3, 1, 2]])
def test_gains_are_differences_of_scores(simulate, widths):
    statistics = simulate(6, seed=4, degree=3, widths=widths).statistics
    score = BlockScore.from_covariance(statistics)
    search = CompiledSearch(score, Knowledge(nodes=statistics.names))
    problem, state = search.problem, search.state
    state.order[:] = state.rank[:] = np.arange(6)
    climb_some(problem, state, 0, 0)
    seen = 0
    for child in range(6):
        parents = state.parents[NOW, child, : state.size[NOW, child]].tolist()
        here = score.local(child, parents)
        assert state.score[NOW, child] == pytest.approx(here, abs=1e-6)
        for other in set(range(6)) - {child, *parents}:
            gained = score.local(child, [*parents, other]) - here
            shown = state.gain[NOW, child, other]
            assert shown == pytest.approx(gained, abs=1e-6) if gained > 1e-6 else shown <= 1e-6
            seen += gained > 1e-6
    assert seen > 2


def test_parents_are_inserted_and_removed(simulate):
    statistics = simulate(4, seed=0).statistics
    search = CompiledSearch(
        BlockScore.from_covariance(statistics), Knowledge(nodes=statistics.names)
    )
    state = search.state
    for parent in (3, 1, 2):
        insert.py_func(state, 0, parent)
    remove.py_func(state, 0, 1)
    assert state.parents[NOW, 0, : state.size[NOW, 0]].tolist() == [2, 3]
    assert list(bits(0b1100)) == [2, 3]
