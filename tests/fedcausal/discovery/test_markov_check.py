"""The check of a network by tests: which pairs are joined, which way, and which are left alone."""

from dataclasses import replace

import numpy as np
import pytest

from fedcausal.discovery.knowledge import Knowledge
from fedcausal.discovery.markov_check import MarkovCheck
from fedcausal.graph import Graph
from fedcausal.scores.completed_tables import CompletedTables
from fedcausal.scores.table_score import TableScore
from fedcausal.study import Study

NAMES = ("a", "b", "c")
CHAIN = Graph.dag(NAMES, [("a", "b"), ("b", "c")])


def tables_of_chain(num_records=1000):
    """The tables that a chain a -> b -> c expects, all of them released."""
    follow = np.array([[0.8, 0.2], [0.3, 0.7]])
    joint = num_records * 0.5 * np.einsum("ab,bc->abc", follow, follow)
    released = {(k,): joint.sum(axis=tuple({0, 1, 2} - {k})) for k in range(3)}
    released |= {(i, j): joint.sum(axis=3 - i - j) for i, j in ((0, 1), (0, 2), (1, 2))}
    released[0, 1, 2] = joint
    variables = {name: {"kind": "categorical", "categories": ["x", "y"]} for name in NAMES}
    return CompletedTables(
        schema=Study.model_validate({"variables": variables}).schema(),
        missing=frozenset(),
        num_records=num_records,
        released=released,
        withheld=dict.fromkeys(released, 0.0),
    )


def joined(tables, edges, *, is_over=lambda: False, **known):
    check = MarkovCheck(tables=tables, knowledge=Knowledge(nodes=NAMES, **known), alpha=0.01)
    score = TableScore(tables=tables, names=NAMES, penalty=1e6)
    return check.joined(Graph.dag(NAMES, edges), score, is_over)


@pytest.mark.parametrize("edges", [[("a", "b"), ("b", "c")], [("c", "b"), ("b", "a")]])
def test_a_network_that_explains_the_tables_stays_as_it_is(edges):
    assert joined(tables_of_chain(), edges) == Graph.dag(NAMES, edges)


def test_a_missing_edge_is_put_in_whatever_the_score_charges_for_it():
    assert joined(tables_of_chain(), [("a", "b")]) == CHAIN
    assert joined(tables_of_chain(), []).skeleton() == CHAIN.skeleton()


def test_few_records_join_nothing():
    assert joined(tables_of_chain(num_records=30), [("a", "b")]).directed_edges == (("a", "b"),)


def test_knowledge_is_honoured():
    forbidden = (("b", "c"), ("c", "b"))
    assert not joined(tables_of_chain(), [("a", "b")], forbidden=forbidden).adjacent("b", "c")
    one_way = joined(tables_of_chain(), [("b", "a")], forbidden=(("b", "c"),))
    assert ("c", "b") in one_way.directed_edges


def test_withheld_tables_and_no_time_join_nothing():
    tables = tables_of_chain()
    dark = replace(tables, withheld={**tables.withheld, (1, 2): 0.5})
    assert not joined(dark, [("a", "b")]).adjacent("b", "c")
    late = joined(tables, [("a", "b")], is_over=lambda: True)
    assert late.directed_edges == (("a", "b"),)


def parted(tables, edges, *, is_over=lambda: False, **known):
    check = MarkovCheck(tables=tables, knowledge=Knowledge(nodes=NAMES, **known), alpha=0.01)
    return check.parted(Graph.dag(NAMES, edges), is_over)


def test_an_edge_that_a_neighbour_explains_is_taken_out_and_true_ones_stay():
    assert parted(tables_of_chain(), [("a", "b"), ("b", "c"), ("a", "c")]) == CHAIN
    assert parted(tables_of_chain(), CHAIN.directed_edges) == CHAIN


def test_independent_causes_of_one_variable_are_parted():
    """The collider a -> c <- b, its causes joined: apart by themselves, not given c."""
    law = np.array([[[0.9, 0.1], [0.4, 0.6]], [[0.4, 0.6], [0.1, 0.9]]])
    joint = 250.0 * law
    released = {(k,): joint.sum(axis=tuple({0, 1, 2} - {k})) for k in range(3)}
    released |= {(i, j): joint.sum(axis=3 - i - j) for i, j in ((0, 1), (0, 2), (1, 2))}
    tables = replace(tables_of_chain(), released={**released, (0, 1, 2): joint})
    collider = Graph.dag(NAMES, [("a", "c"), ("b", "c")])
    assert parted(tables, [("a", "b"), *collider.directed_edges]) == collider


def test_required_edges_tables_not_asked_for_and_no_time_part_nothing():
    full, tables = [("a", "b"), ("b", "c"), ("a", "c")], tables_of_chain()
    assert parted(tables, full, required=(("a", "c"),)).adjacent("a", "c")
    unasked = replace(
        tables, released={k: v for k, v in tables.released.items() if k != (0, 1, 2)}
    )
    assert parted(unasked, full).adjacent("a", "c")
    assert parted(tables, full, is_over=lambda: True).adjacent("a", "c")
