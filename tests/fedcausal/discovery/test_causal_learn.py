"""The adapter to causal-learn: knowledge answers first, marks come back in our codes."""

import numpy as np

from fedcausal.discovery.causal_learn import (
    KnownTest,
    best_order,
    fci_marks,
    ges_marks,
    parents_along,
    pc_skeleton,
)


class Counted:
    """Everything is dependent; counts what it is asked."""

    names = ("a", "b", "c")

    def __init__(self):
        self.asked = []

    def p_value(self, first, second, given=()):
        self.asked.append((first, second, tuple(given)))
        return 0.0


def known(required=(0, 0, 0), allowed=(0b110, 0b101, 0b011)):
    return KnownTest(test=Counted(), allowed=allowed, required=required)


def test_knowledge_answers_first_and_a_test_runs_once():
    test = known(allowed=(0b100, 0b100, 0b011), required=(0, 0, 0b001))
    assert test(0, 1, ()) == 1.0
    assert test(2, 0, (1,)) == 0.0
    assert test.test.asked == []
    assert test(2, 1, (0,)) == test(1, 2, [np.int64(0)]) == 0.0
    assert test.test.asked == [(1, 2, (0,))]


def test_a_forbidden_pair_is_evidence_for_nothing_once_the_skeleton_is_known():
    test = known(allowed=(0b100, 0b100, 0b011))
    assert test(0, 1, ()) == 1.0
    test.is_evidence = False
    assert np.isnan(test(0, 1, ()))


def test_a_complete_skeleton_has_no_separating_sets():
    assert pc_skeleton(known(), 3, 0.05) == ([(0, 1), (0, 2), (1, 2)], {})
    marks, separating = fci_marks(known(), 3, 0.05)
    assert separating == {}
    np.testing.assert_array_equal(marks, 3 * (1 - np.eye(3)))


def test_knowledge_is_a_mark_from_the_start():
    marks, _ = fci_marks(known(required=(0, 0b001, 0), allowed=(0b100, 0b101, 0b011)), 3, 0.05)
    assert (marks[0, 1], marks[1, 0]) == (2, 1)


def test_ges_reads_a_covariance():
    covariance = np.array([[1.0, 0.0, 0.6], [0.0, 1.0, 0.6], [0.6, 0.6, 1.0]])
    marks = ges_marks(covariance, 1000.0, 1.0)
    np.testing.assert_array_equal(marks, [[0, 0, 2], [0, 0, 2], [1, 1, 0]])


def score(child, parents):
    """Best with the chain 2 -> 1 -> 0."""
    wanted = {0: {1}, 1: {2}, 2: set()}[child]
    return -float(len(wanted ^ set(parents)))


def test_orders_and_parents_follow_the_score():
    order, total, late = best_order(score, [0, 1, 2], seed=0)
    assert (total, late) == (0.0, False)
    assert parents_along(score, order) == [0b010, 0b100, 0]
    assert best_order(score, [0, 1, 2], seed=0)[0] == order


def test_a_deadline_in_the_past_stops_after_one_move():
    assert best_order(score, [0, 1, 2], seed=0, deadline=0.0)[2]
