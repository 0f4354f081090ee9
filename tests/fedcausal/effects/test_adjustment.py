import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcausal.effects.adjustment import (
    adjustment_set,
    causal_nodes,
    forbidden_nodes,
    is_adjustment_set,
    is_back_door_set,
    minimal_adjustment_set,
    non_causal_path,
    optimal_adjustment_set,
)
from fedcausal.effects.mixed_graph import MixedGraph

ONE = (["x"], ["y"])
LAW = settings(derandomize=True, max_examples=40, deadline=None)
SEEDS = st.integers(0, 10**6)


@LAW
@given(seed=SEEDS)
def test_a_set_is_valid_exactly_when_regression_gives_the_effect(
    make_mixed, make_linear, all_subsets, seed
):
    graph = make_mixed(seed)
    model = make_linear(graph, seed)
    truth = model.effect("x", "y")
    for z in all_subsets("abc"):
        found, _ = model.adjusted("x", "y", z)
        if is_adjustment_set(graph, *ONE, z):
            assert found == pytest.approx(truth, abs=1e-9)
        elif "y" in graph.descendants(["x"]):
            assert found != pytest.approx(truth, abs=1e-9)


@LAW
@given(seed=SEEDS)
def test_the_constructed_sets_exist_whenever_one_does(make_mixed, all_subsets, seed):
    graph = make_mixed(seed)
    valid = [z for z in all_subsets("abc") if is_adjustment_set(graph, *ONE, z)]
    found, minimal = adjustment_set(graph, *ONE), minimal_adjustment_set(graph, *ONE)
    assert (found is not None) == (minimal is not None) == bool(valid)
    if valid:
        assert found in valid
        assert minimal in valid
        assert not any(z < minimal for z in valid)


@LAW
@given(seed=SEEDS)
def test_the_optimal_set_has_the_least_variance_of_all(make_mixed, make_linear, all_subsets, seed):
    graph = make_mixed(seed, hidden=0.0)
    best = optimal_adjustment_set(graph, *ONE)
    if "y" not in graph.descendants(["x"]):
        return
    assert best is not None
    model = make_linear(graph, seed)
    _, least = model.adjusted("x", "y", best)
    for z in all_subsets("abc"):
        if is_adjustment_set(graph, *ONE, z):
            assert least <= model.adjusted("x", "y", z)[1] + 1e-9


@LAW
@given(seed=SEEDS)
def test_back_door_sets_are_adjustment_sets(make_mixed, all_subsets, seed):
    graph = make_mixed(seed)
    for z in all_subsets("abc"):
        if is_back_door_set(graph, "x", "y", z):
            assert is_adjustment_set(graph, *ONE, z)


def test_forbidden_and_causal_nodes_and_the_path_that_is_open():
    graph = MixedGraph(
        nodes=tuple("acmxy"),
        directed=frozenset({("a", "x"), ("a", "y"), ("x", "m"), ("m", "y"), ("m", "c")}),
    )
    assert causal_nodes(graph, *ONE) == {"m", "y"}
    assert forbidden_nodes(graph, *ONE) == {"m", "y", "c", "x"}
    assert non_causal_path(graph, *ONE, ()) == "x <- a -> y"
    assert non_causal_path(graph, *ONE, "a") is None
    assert not is_adjustment_set(graph, *ONE, "ac")


def test_two_treatments_at_once():
    graph = MixedGraph(
        nodes=tuple("awxy"),
        directed=frozenset({("w", "a"), ("a", "x"), ("x", "y"), ("w", "y"), ("a", "y")}),
    )
    both = (["w", "x"], ["y"])
    assert causal_nodes(graph, *both) == {"a", "y"}
    assert not is_adjustment_set(graph, *both, "a")
    assert adjustment_set(graph, *both) is None
