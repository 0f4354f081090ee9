import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcausal.effects.front_door import front_door_set, is_front_door_set
from fedcausal.effects.mixed_graph import MixedGraph

SMOKING = MixedGraph(
    nodes=tuple("mxy"),
    directed=frozenset({("x", "m"), ("m", "y")}),
    bidirected=frozenset({frozenset("xy")}),
)


def test_the_mediator_of_a_confounded_pair():
    assert front_door_set(SMOKING, "x", "y") == {"m"}
    assert not is_front_door_set(SMOKING, "x", "y", frozenset())
    assert not is_front_door_set(SMOKING, "x", "y", frozenset("xm"))


def test_a_path_around_or_a_hidden_cause_of_the_mediator_shuts_the_door():
    around = MixedGraph(
        nodes=tuple("mxy"),
        directed=SMOKING.directed | {("x", "y")},
        bidirected=SMOKING.bidirected,
    )
    assert front_door_set(around, "x", "y") is None
    hidden = MixedGraph(
        nodes=tuple("mxy"),
        directed=SMOKING.directed,
        bidirected=SMOKING.bidirected | {frozenset("xm")},
    )
    assert front_door_set(hidden, "x", "y") is None


@settings(derandomize=True, max_examples=150, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_the_formula_of_a_front_door_is_the_law_under_do(make_mixed, make_binary, seed):
    graph = make_mixed(seed, size=4, causes=0.5)
    mediators = front_door_set(graph, "x", "y")
    if mediators is None:
        return
    model = make_binary(graph, seed)
    names = graph.nodes
    joint, truth = model.law(), model.law(free=("x",))
    inner = tuple(names.index(m) for m in mediators)
    x, y = names.index("x"), names.index("y")

    def margin(law, *kept):
        return law.sum(axis=tuple(set(range(law.ndim)) - set(kept)), keepdims=True)

    first = margin(joint, x, *inner) / margin(joint, x)
    second = margin(joint, x, y, *inner) / margin(joint, x, *inner)
    weighted = (second * margin(joint, x)).sum(axis=x, keepdims=True)
    found = (first * weighted).sum(axis=inner, keepdims=True)
    np.testing.assert_allclose(found, margin(truth, x, y), atol=1e-12)
