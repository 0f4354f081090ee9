import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcausal.effects.adjustment import adjustment_set
from fedcausal.effects.estimand import evaluate
from fedcausal.effects.front_door import front_door_set
from fedcausal.effects.id_algorithm import Hedge, identify_law
from fedcausal.effects.mixed_graph import MixedGraph


def graph(nodes, directed, bidirected):
    return MixedGraph(
        nodes=tuple(nodes),
        directed=frozenset(tuple(e) for e in directed.split()),
        bidirected=frozenset(frozenset(e) for e in bidirected.split()),
    )


@settings(derandomize=True, max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_formulas_give_the_law_under_do_and_hedges_stand_where_nothing_else_works(
    make_mixed, make_binary, seed
):
    drawn = make_mixed(seed, hidden=0.3, causes=0.5)
    found = identify_law(drawn, ["x"], ["y"])
    if isinstance(found, Hedge):
        assert adjustment_set(drawn, ["x"], ["y"]) is None
        assert front_door_set(drawn, "x", "y") is None
        assert found.inner < found.outer
        assert "x" in found.outer
        return
    model = make_binary(drawn, seed)
    others = tuple(range(3))
    truth = model.law(free=("x",)).sum(axis=others, keepdims=True)
    by_formula = evaluate(found, model.law(), drawn.nodes)
    np.testing.assert_allclose(by_formula - truth, 0.0, atol=1e-10)


@pytest.mark.parametrize(
    ("nodes", "directed", "bidirected"),
    [
        # Figure 3 of Shpitser and Pearl (2008), JMLR 9: effects without a formula.
        ("xy", "xy", "xy"),
        ("xzy", "xz zy", "xz"),
        ("zxy", "zx xy", "zx zy xy"),
        ("xzy", "xz zy xy", "zy xy"),
    ],
)
def test_known_effects_without_a_formula(nodes, directed, bidirected):
    found = identify_law(graph(nodes, directed, bidirected), ["x"], ["y"])
    assert isinstance(found, Hedge)
    assert "hidden common causes hold" in str(found)


@pytest.mark.parametrize(
    ("nodes", "directed", "bidirected", "formula"),
    [
        ("xy", "xy", "", "P(y | x)"),
        ("axy", "ax ay xy", "", "sum over a of [P(a) P(y | a, x)]"),
        ("xmy", "xm my", "xy", "sum over m of [P(m | x) sum over x of [P(x) P(y | x, m)]]"),
    ],
)
def test_known_formulas(nodes, directed, bidirected, formula):
    assert str(identify_law(graph(nodes, directed, bidirected), ["x"], ["y"])) == formula


def test_the_napkin(make_binary):
    napkin = graph("wzxy", "wz zx xy", "wx wy")
    found = identify_law(napkin, ["x"], ["y"])
    assert not isinstance(found, Hedge)
    model = make_binary(napkin, 1)
    truth = model.law(free=("x",)).sum(axis=(0, 1)) / 2  # z is drawn, w is drawn, x is set
    by_formula = evaluate(found, model.law(), napkin.nodes)
    np.testing.assert_allclose(np.broadcast_to(by_formula, (1, 2, 2, 2))[0, 0], truth * 2)


def test_two_treatments_and_two_outcomes(make_binary):
    drawn = graph("abxy", "ax ab bx xy ay", "by")
    found = identify_law(drawn, ["a", "x"], ["b", "y"])
    model = make_binary(drawn, 3)
    truth = model.law(free=("a", "x"))
    np.testing.assert_allclose(evaluate(found, model.law(), drawn.nodes) - truth, 0.0, atol=1e-10)
