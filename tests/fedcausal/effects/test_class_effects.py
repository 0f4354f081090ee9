import random
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcausal.discovery.knowledge import Knowledge
from fedcausal.effects.adjustment import is_adjustment_set, optimal_adjustment_set
from fedcausal.effects.class_effects import (
    MOST_NEIGHBOURS,
    is_amenable,
    possible_parent_sets,
    possibly_causes,
)
from fedcausal.effects.mixed_graph import MixedGraph
from fedcausal.equivalence import cpdag_of
from fedcausal.errors import IdentificationError
from fedcausal.graph import Graph

LAW = settings(derandomize=True, max_examples=30, deadline=None)


def drawn_class(seed):
    """A DAG of up to five nodes and its class, every other one with a known edge."""
    rng = random.Random(seed)
    nodes = tuple("abcde"[: rng.choice([3, 4, 5])])
    order = rng.sample(nodes, len(nodes))
    dag = Graph.dag(nodes, [e for e in combinations(order, 2) if rng.random() < 0.55])
    known = None
    if seed % 2 and dag.directed_edges:
        known = Knowledge(nodes=nodes, required=(rng.choice(dag.directed_edges),))
    return dag, cpdag_of(dag, known), known is None


def members_of(dag, cpdag, orientations):
    return [m for m in orientations(cpdag) if cpdag_of(m) == cpdag_of(dag)]


@LAW
@given(seed=st.integers(0, 10**6))
def test_parent_sets_are_those_of_all_members(all_orientations, seed):
    dag, cpdag, _ = drawn_class(seed)
    members = members_of(dag, cpdag, all_orientations)
    assert dag in members
    for x in dag.nodes:
        found = possible_parent_sets(cpdag, x)
        assert len(set(found)) == len(found)
        assert set(found) == {m.parents(x) for m in members}


@LAW
@given(seed=st.integers(0, 10**6))
def test_amenable_means_that_one_set_serves_all_members(all_orientations, all_subsets, seed):
    dag, cpdag, is_complete = drawn_class(seed)
    members = [MixedGraph.of(m) for m in members_of(dag, cpdag, all_orientations)]
    for x, y in [pair for a, b in combinations(dag.nodes, 2) for pair in ((a, b), (b, a))]:
        causes = [y in m.descendants([x]) for m in members]
        assert any(causes) <= possibly_causes(cpdag, x, y)
        if not any(causes):
            continue
        others = [n for n in dag.nodes if n not in (x, y)]
        serves = any(
            all(is_adjustment_set(m, [x], [y], z) for m in members) for z in all_subsets(others)
        )
        amenable = is_amenable(cpdag, x, y)
        # With knowledge the answer may be no in vain: the parent sets then list every effect.
        assert amenable == serves if is_complete else amenable <= serves
        if amenable:
            best = optimal_adjustment_set(MixedGraph.of(dag), [x], [y])
            assert all(is_adjustment_set(m, [x], [y], best) for m in members)


def test_a_dag_has_one_parent_set():
    assert possible_parent_sets(Graph.dag("ab", [("a", "b")]), "b") == (("a",),)


def test_too_many_open_edges_are_refused_with_a_remedy():
    leaves = [f"v{i}" for i in range(MOST_NEIGHBOURS + 1)]
    star = Graph.cpdag(["x", *leaves], [], [("x", leaf) for leaf in leaves])
    with pytest.raises(IdentificationError, match=r"13 edges at 'x'.*knowledge.tiers"):
        possible_parent_sets(star, "x")
