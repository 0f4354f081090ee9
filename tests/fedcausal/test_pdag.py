"""Bit masks of partially directed graphs; the class laws are in test_equivalence."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcausal.pdag import Pdag, bits, class_of, close, extend


@settings(derandomize=True, deadline=None)
@given(st.sets(st.integers(0, 80)))
def test_bits_are_the_members_of_the_mask(members):
    assert list(bits(sum(1 << i for i in members))) == sorted(members)


def masks(pdag):
    return [(pdag.parents(i), pdag.children(i), pdag.undirected(i)) for i in range(len(pdag.to))]


@pytest.mark.parametrize(
    ("directed", "undirected", "compelled"),
    [
        ([(0, 1)], [(1, 2)], (1, 2)),
        ([(0, 1), (1, 2)], [(0, 2)], (0, 2)),
        ([(1, 3), (2, 3)], [(0, 1), (0, 2), (0, 3)], (0, 3)),
        ([(1, 2), (2, 3)], [(0, 1), (0, 2), (0, 3)], (0, 3)),
    ],
    ids=["rule 1", "rule 2", "rule 3", "rule 4"],
)
def test_each_of_meeks_rules(directed, undirected, compelled):
    pdag = Pdag.from_edges(4, directed, undirected)
    close(pdag)
    parent, child = compelled
    assert pdag.parents(child) >> parent & 1


def test_extending_leaves_its_argument_alone():
    pdag = Pdag.from_edges(3, [], [(0, 1), (1, 2)])
    before = masks(pdag)
    assert extend(pdag, [2, 1, 0]) == [0b000, 0b001, 0b010]
    assert extend(pdag, [0, 1, 2]) == [0b010, 0b100, 0b000]
    assert masks(pdag) == before


def test_allowed_parents_orient_a_class():
    pdag = class_of([0, 1, 0], allowed=[0b110, 0b100, 0b011])
    assert pdag.parents(0) == 0b010
    assert pdag.undirected(0) == 0
