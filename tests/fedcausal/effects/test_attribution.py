from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcausal.effects.attribution import MOST_EXACT, attribute_change, shapley_values
from fedcausal.errors import InputError
from fedcausal.graph import Graph
from fedcausal.model.fitting import assemble


def changed(fit, nodes):
    """The same model, the intercepts of some mechanisms raised."""
    mechanisms = dict(fit.mechanisms)
    for name in nodes:
        coefficients = mechanisms[name].coefficients.copy()
        if coefficients.ndim == 2:
            coefficients[0] += np.array(
                [-0.1, *[0.1 / (coefficients.shape[1] - 1)] * (coefficients.shape[1] - 1)]
            )
        else:
            coefficients[0] += 0.05
        mechanisms[name] = replace(mechanisms[name], coefficients=coefficients)
    return assemble(fit.model.graph, fit.model.schema, mechanisms)


@pytest.mark.parametrize("outcome", ["pressure", "status"])
def test_shares_add_up_to_the_change(mixed_fit, outcome):
    after = changed(mixed_fit, ["age", "drug", "pressure", "status"])
    found = attribute_change(mixed_fit.model, after, outcome)
    assert found.is_exact
    assert sum(found.shares.values()) == pytest.approx(found.after - found.before, abs=1e-12)
    assert found.to_json()["shares"] == dict(found.shares)
    assert (found.outcome_level == "dead") == (outcome == "status")


def test_a_mechanism_that_did_not_change_has_no_share(mixed_fit):
    found = attribute_change(mixed_fit.model, changed(mixed_fit, ["pressure"]), "pressure")
    assert found.shares["pressure"] == pytest.approx(found.after - found.before, abs=1e-12)
    # An intercept of 0.05 in units of half the bounds, 40.
    assert found.shares["pressure"] == pytest.approx(2.0, abs=1e-9)
    others = [share for name, share in found.shares.items() if name != "pressure"]
    assert others == pytest.approx([0.0] * len(others), abs=1e-12)
    assert set(found.shares) == {"age", "group", "drug", "pressure"}


@settings(derandomize=True, max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), size=st.integers(1, 12))
def test_values_of_any_game_are_efficient(seed, size):
    players = [f"p{i}" for i in range(size)]
    worth = {}

    def value(group):
        key = frozenset(group)
        index = sum(1 << players.index(p) for p in key)
        worth.setdefault(key, float(np.random.default_rng([seed, index]).normal()))
        return worth[key]

    found = shapley_values(players, value, seed=seed)
    total = value(frozenset(players)) - value(frozenset())
    assert sum(found.values()) == pytest.approx(total, abs=1e-9)
    assert (size > MOST_EXACT) == (len(worth) < 2**size)


def test_random_orders_find_an_additive_game_exactly():
    players = [f"p{i}" for i in range(MOST_EXACT + 2)]
    found = shapley_values(players, lambda group: float(sum(int(p[1:]) for p in group)))
    assert found == pytest.approx({p: float(p[1:]) for p in players})


def test_other_graphs_and_unknown_outcomes_are_refused(mixed_fit, federated_fit, mixed_edges):
    with pytest.raises(InputError, match="outcome: unknown variable 'presure'; did you mean"):
        attribute_change(mixed_fit.model, mixed_fit.model, "presure")
    fewer = federated_fit(mixed_fit.study, mixed_edges[1:], mixed_fit.sites).model
    with pytest.raises(InputError, match="other graphs"):
        attribute_change(mixed_fit.model, fewer, "pressure")


def test_shares_rest_on_directions_that_the_data_leave_open(mixed_fit):
    graph = mixed_fit.model.graph
    others = [e for e in graph.directed_edges if e != ("age", "drug")]
    learnt = Graph.cpdag(graph.nodes, directed=others, undirected=[("age", "drug")])
    found = attribute_change(replace(mixed_fit.model, learnt=learnt), mixed_fit.model, "pressure")
    assert [text[:13] for text in found.warnings] == ["age -> drug: "]
    assert attribute_change(mixed_fit.model, mixed_fit.model, "pressure").warnings == ()
    assert "Mechanisms change independently" in found.to_json()["assumptions"][1]
