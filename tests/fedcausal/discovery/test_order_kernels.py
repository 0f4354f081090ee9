"""Moves of one variable: what a walk leaves behind."""

import numpy as np

from fedcausal.discovery.compiled_search import CompiledSearch
from fedcausal.discovery.knowledge import Knowledge
from fedcausal.discovery.order_kernels import climb_some
from fedcausal.discovery.search_state import NOW
from fedcausal.scores.score import BlockScore


def begun(simulate, seed):
    statistics = simulate(10, seed=seed, degree=3).statistics
    search = CompiledSearch(
        BlockScore.from_covariance(statistics), Knowledge(nodes=statistics.names)
    )
    order = np.random.default_rng(seed).permutation(10)
    search.state.order[:] = order
    search.state.rank[order] = np.arange(10)
    climb_some(search.problem, search.state, 0, 0)
    return search.problem, search.state


def test_no_move_lowers_the_score_and_none_is_left_at_the_end(simulate):
    for seed in range(5):
        problem, state = begun(simulate, seed)
        score, unmoved, variable = state.score[NOW].sum(), 0, 0
        while unmoved < 10:
            moved = climb_some(problem, state, variable, variable + 1)
            assert state.score[NOW].sum() >= score + (1e-8 if moved else -1e-9)
            score, unmoved = state.score[NOW].sum(), 0 if moved else unmoved + 1
            variable = (variable + 1) % 10


def test_equals_are_left_alone_without_luck_and_taken_with_it(simulate):
    """Turning an edge that the class leaves open gains nothing and changes the order."""
    problem, state = begun(simulate, 1)
    while climb_some(problem, state, 0, 10):
        pass
    order, score = state.order.copy(), state.score[NOW].sum()
    assert climb_some(problem, state, 0, 10) == 0
    np.testing.assert_array_equal(state.order, order)
    state.luck[:] = np.random.default_rng(0).random((10, 10))
    climb_some(problem, state, 0, 10)
    assert not np.array_equal(state.order, order)
    assert state.score[NOW].sum() >= score - 1e-6
    np.testing.assert_array_equal(state.order[state.rank], np.arange(10))


def test_a_variable_that_stays_leaves_everything_as_it_was(simulate):
    problem, state = begun(simulate, 3)
    while climb_some(problem, state, 0, 10):
        pass
    kept = [np.array(part) for part in (state.order, state.rank, state.size[NOW])]
    families, gains = state.parents[NOW].copy(), state.gain[NOW].copy()
    assert climb_some(problem, state, 0, 10) == 0
    for old, new in zip(kept, (state.order, state.rank, state.size[NOW]), strict=True):
        np.testing.assert_array_equal(old, new)
    np.testing.assert_array_equal(gains, state.gain[NOW])
    for child, size in enumerate(kept[2]):
        np.testing.assert_array_equal(families[child, :size], state.parents[NOW, child, :size])
    assert not state.touched.any()
