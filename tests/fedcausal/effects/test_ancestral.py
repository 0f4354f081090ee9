import random
from itertools import combinations, permutations, product

import pytest

from fedcausal.discovery.fci import fci_pattern
from fedcausal.discovery.knowledge import Knowledge
from fedcausal.effects.adjustment import is_adjustment_set
from fedcausal.effects.ancestral import (
    adjust_in_pag,
    forbidden_in_pag,
    is_adjustment_set_in_pag,
    is_visible,
    open_path_in_pag,
    possible_descendants,
)
from fedcausal.effects.mixed_graph import MixedGraph
from fedcausal.equivalence import is_d_separated
from fedcausal.errors import GraphError
from fedcausal.graph import Edge, Graph, Mark

KINDS = ("", ">", "<", "-", ">-", "<-")
"""What may join two variables: nothing, a cause either way, a hidden one, or both."""


class Oracle:
    def __init__(self, dag, names):
        self.dag, self.names = dag, names

    def p_value(self, first, second, given=()):
        others = [self.names[k] for k in given]
        return float(is_d_separated(self.dag, [self.names[first]], [self.names[second]], others))


def pag_of(dag, observed):
    return fci_pattern(Oracle(dag, observed), Knowledge(nodes=observed), 0.05).graph


def drawn_pag(rng, size=4):
    visible, hidden = [f"v{i}" for i in range(size)], ["u0", "u1"][: rng.choice([0, 1, 2])]
    order = rng.sample([*visible, *hidden], size + len(hidden))
    dag = Graph.dag([*visible, *hidden], [e for e in combinations(order, 2) if rng.random() < 0.4])
    return dag, pag_of(dag, tuple(visible))


def separations(is_separated, nodes):
    """One answer per pair and set, made when it is asked for."""
    for a, b in combinations(nodes, 2):
        rest = [n for n in nodes if n not in (a, b)]
        for z in (c for k in range(len(rest) + 1) for c in combinations(rest, k)):
            yield is_separated([a], [b], z)


def members_of(dag, pag):
    """Every mixed graph over the observed variables that implies the same separations."""
    pairs = sorted(pag.skeleton())
    expected = list(separations(lambda a, b, z: is_d_separated(dag, a, b, z), pag.nodes))
    members = []
    for kinds in product(KINDS, repeat=len(pairs)):
        joined = list(zip(pairs, kinds, strict=True))
        causes = {p for p, k in joined if ">" in k} | {p[::-1] for p, k in joined if "<" in k}
        if not any(
            all(o.index(a) < o.index(b) for a, b in causes) for o in permutations(pag.nodes)
        ):
            continue
        member = MixedGraph(
            nodes=pag.nodes,
            directed=frozenset(causes),
            bidirected=frozenset(frozenset(p) for p, k in joined if "-" in k),
        )
        found = separations(member.is_separated, pag.nodes)
        if all(one == other for one, other in zip(found, expected, strict=True)):
            members.append(member)
    return members


def check_against_members(seed, most_edges):
    rng = random.Random(seed)
    dag, pag = drawn_pag(rng)
    if len(pag.edges) > most_edges:
        return 0
    members = members_of(dag, pag)
    assert members
    found = 0
    for x, y in permutations(pag.nodes, 2):
        causes = any(y in m.descendants([x]) for m in members)
        assert causes == (y in possible_descendants(pag, [x]))
        rest = [n for n in pag.nodes if n not in (x, y)]
        valid = []
        for z in (set(c) for k in range(3) for c in combinations(rest, k)):
            expected = all(is_adjustment_set(m, [x], [y], z) for m in members)
            assert is_adjustment_set_in_pag(pag, x, y, z) == expected
            valid += [z] if expected else []
        answer = adjust_in_pag(pag, x, y)
        assert answer.is_zero == (not causes)
        if causes:
            assert (answer.adjustment_set is not None) == bool(valid)
            assert answer.adjustment_set is None or set(answer.adjustment_set) in valid
            assert bool(answer.reason) == (not valid)
            found += bool(valid)
    return found


@pytest.mark.parametrize("seed", range(6))
def test_the_criterion_is_that_of_every_member(seed):
    check_against_members(seed, most_edges=3)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 120))
def test_the_criterion_is_that_of_every_member_of_larger_classes(seed):
    check_against_members(seed, most_edges=4)


# Two causes of x that are not joined show that x -> y hides nothing.
Y_SHAPE = Graph.dag("abxy", [("a", "x"), ("b", "x"), ("x", "y")])


def test_the_arm_of_a_y_is_visible_and_identified(make_linear):
    pag = pag_of(Y_SHAPE, tuple("abxy"))
    (arm,) = [e for e in pag.edges if {e.source, e.target} == {"x", "y"}]
    assert is_visible(pag, arm)
    assert adjust_in_pag(pag, "x", "y").adjustment_set == frozenset()
    refused = adjust_in_pag(pag, "a", "y")
    assert refused.adjustment_set is None
    assert "on a o-> x -> y the first edge" in refused.reason


def test_a_confounder_that_must_be_adjusted_for(make_linear):
    edges = [("a", "x"), ("b", "x"), ("a", "y"), ("x", "y"), ("c", "a"), ("d", "a")]
    dag = Graph.dag("abcdxy", edges)
    pag = pag_of(dag, tuple("abcdxy"))
    answer = adjust_in_pag(pag, "x", "y")
    assert answer.adjustment_set == {"a"}
    assert open_path_in_pag(pag, "x", "y", ()) == "x <- a -> y"
    assert forbidden_in_pag(pag, "x", "y") == {"x", "y"}
    model = make_linear(MixedGraph.of(dag), 0)
    found, _ = model.adjusted("x", "y", answer.adjustment_set)
    assert found == pytest.approx(model.effect("x", "y"))


@pytest.mark.parametrize("seed", range(15))
def test_regression_on_the_set_gives_the_effect_in_larger_graphs(make_linear, seed):
    rng = random.Random(seed)
    names = [f"v{i}" for i in range(7)]
    order = rng.sample([*names, "u"], 8)
    dag = Graph.dag([*names, "u"], [e for e in combinations(order, 2) if rng.random() < 0.3])
    pag = pag_of(dag, tuple(names))
    model = make_linear(MixedGraph.of(dag), seed)
    for x, y in permutations(names, 2):
        answer = adjust_in_pag(pag, x, y)
        if answer.adjustment_set is not None:
            found = 0.0 if answer.is_zero else model.adjusted(x, y, answer.adjustment_set)[0]
            assert found == pytest.approx(model.effect(x, y), abs=1e-9)


def test_two_joined_variables_show_nothing_and_only_pags_are_read():
    circles = Edge(source="x", target="y", source_mark=Mark.CIRCLE, target_mark=Mark.CIRCLE)
    pag = Graph(kind="pag", nodes=("x", "y"), edges=(circles,))
    assert "x o-o y" in adjust_in_pag(pag, "x", "y").reason
    with pytest.raises(GraphError, match="expected a pag"):
        adjust_in_pag(Y_SHAPE, "x", "y")
