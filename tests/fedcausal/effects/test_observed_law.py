import numpy as np
import pytest

from fedcausal.effects.contrast import ask
from fedcausal.effects.id_algorithm import identify_law
from fedcausal.effects.mixed_graph import MixedGraph
from fedcausal.effects.observed_law import (
    adjusted_means,
    bounds_without_assumptions,
    effect_by,
    table_means,
)
from fedcausal.errors import IdentificationError
from fedcausal.study import Study

BINARY = {"variables": {name: {"kind": "binary"} for name in "mxy"}, "model": {"degree": 2}}


@pytest.fixture(scope="module")
def chain(as_table, federated_fit):
    """x -> m -> y and x -> y, so that the law of x and y is that of a confounded pair."""
    study, rng = Study.model_validate(BINARY), np.random.default_rng(0)
    sites = []
    for _ in range(3):
        hidden, noise = rng.random(4000) < 0.5, rng.random((3, 4000))
        x = noise[0] < 0.3 + 0.4 * hidden
        m = noise[1] < 0.2 + 0.6 * x
        y = noise[2] < 0.1 + 0.5 * m + 0.3 * hidden
        sites.append(as_table(study, {"x": x * 1.0, "m": m * 1.0, "y": y * 1.0}))
    return federated_fit(study, [("x", "m"), ("m", "y"), ("x", "y")], sites).model


def test_the_front_door_sees_past_a_hidden_cause(chain):
    # The truth is 0.6 x 0.5; the DAG with x -> y counts what is hidden as an effect.
    assert chain.effect("x", "y", ("0", "1"), draws=20).estimate > 0.38
    graph = MixedGraph(
        nodes=tuple("mxy"),
        directed=frozenset({("x", "m"), ("m", "y")}),
        bidirected=frozenset({frozenset("xy")}),
    )
    question = ask(chain, "x", "y", ("0", "1"))
    estimator = table_means(chain, question, identify_law(graph, ["x"], ["y"]))
    law = effect_by(chain, estimator, draws=20, samples=20_000, seed=1)
    assert law.means[1] - law.means[0] == pytest.approx(0.3, abs=0.03)
    assert 0 < law.sampling < 0.05


def test_bounds_hold_the_truth_and_have_width_one(chain):
    low, high = bounds_without_assumptions(
        chain, ask(chain, "x", "y", ("0", "1")), samples=4000, seed=0
    )
    assert low <= 0.3 <= high
    assert high - low == pytest.approx(1.0)


def test_standardisation_on_the_parents_is_the_model_s_own_effect(mixed_fit):
    question = ask(mixed_fit.model, "drug", "pressure", ("0", "1"))
    estimator = adjusted_means(mixed_fit.model, question, ("age", "group"), samples=8000)
    law = effect_by(mixed_fit.model, estimator, draws=20, samples=8000, seed=0)
    own = mixed_fit.model.effect("drug", "pressure", ("0", "1"), draws=20)
    assert law.means[1] - law.means[0] == pytest.approx(own.estimate, abs=5 * law.simulation)
    again = effect_by(mixed_fit.model, estimator, draws=20, samples=8000, seed=0)
    assert again == law


def test_numbers_have_no_table(mixed_fit):
    graph = MixedGraph.of(mixed_fit.model.graph)
    question = ask(mixed_fit.model, "drug", "pressure", ("0", "1"))
    with pytest.raises(IdentificationError, match="have levels"):
        table_means(mixed_fit.model, question, identify_law(graph, ["drug"], ["pressure"]))
    assert bounds_without_assumptions(mixed_fit.model, question, samples=10, seed=0) is None
