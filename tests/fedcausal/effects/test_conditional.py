"""Conditional queries, against the closed form of a linear Gaussian model and against counts."""

from dataclasses import replace

import numpy as np
import pytest

from fedcausal.effects.conditional import conditional_law
from fedcausal.errors import InputError
from fedcausal.graph import Graph
from fedcausal.model.nodeflow_model import from_members, from_nodeflow, nodeflow_starts
from fedcausal.model.nodeflow_spec import NodeFlowSpec
from fedcausal.study import Study

EDGES = [("a", "x"), ("a", "y"), ("x", "m"), ("m", "y")]
SLOPES = {("a", "x"): 0.7, ("a", "y"): -1.0, ("x", "m"): 0.8, ("m", "y"): 1.5}
WIDTH = 30.0


@pytest.fixture(scope="module")
def linear(as_table, federated_fit):
    variables = {n: {"kind": "continuous", "bounds": [-WIDTH, WIDTH]} for n in "amxy"}
    study = Study.model_validate({"variables": variables, "model": {"degree": 1}})
    rng = np.random.default_rng(0)
    sites = []
    for _ in range(3):
        columns = {}
        for node in "axmy":
            parts = [s * columns[p] for (p, c), s in SLOPES.items() if c == node]
            columns[node] = sum(parts, np.zeros(300)) + rng.normal(size=300)
        sites.append(as_table(study, columns))
    return federated_fit(study, EDGES, sites)


def gaussian(fit, done=()):
    """Mean and covariance of the fitted model, its nodes in order, under do() to 2."""
    nodes = fit.model.graph.nodes
    weights, base, noise = np.zeros((4, 4)), np.zeros(4), np.zeros(4)
    for i, name in enumerate(nodes):
        if name in done:
            base[i] = 2.0
            continue
        own = fit.mechanisms[name]
        base[i] = WIDTH * own.coefficients[0]
        noise[i] = (WIDTH * own.residual.sd) ** 2
        for label, slope in enumerate(own.coefficients[1:]):
            weights[i, nodes.index(own.family.basis.label(label))] = slope
    total = np.linalg.inv(np.eye(4) - weights)
    return total @ base, total * noise @ total.T


def conditioned(mean, covariance, i, given):
    held = list(given)
    cross = covariance[i, held] @ np.linalg.pinv(covariance[np.ix_(held, held)])
    shift = np.array([given[k] for k in held]) - mean[held]
    return mean[i] + cross @ shift, np.sqrt(covariance[i, i] - cross @ covariance[held, i])


@pytest.mark.parametrize(
    ("outcome", "given", "do"),
    [
        ("y", {"x": 1.5}, {}),
        ("x", {"y": 2.0}, {}),
        ("a", {"x": -1.0, "y": 1.0}, {}),
        ("m", {"a": 1.0, "y": -2.0}, {}),
        ("a", {"y": 1.0}, {"x": 2.0}),
    ],
)
def test_the_law_is_that_of_the_closed_form(linear, outcome, given, do):
    nodes = linear.model.graph.nodes
    mean, covariance = gaussian(linear, set(do))
    codes = {nodes.index(n): v for n, v in given.items()}
    expected, sd = conditioned(mean, covariance, nodes.index(outcome), codes)
    found = linear.model.query(outcome, given=given, do=do, seed=1)
    # Five standard errors of the simulation; the fitted noise is uniform within narrow bins.
    error = 5 * sd / np.sqrt(found.effective_records)
    assert found.mean == pytest.approx(expected, abs=error)
    assert found.sd == pytest.approx(sd, rel=0.06)
    assert found.quantiles[0.95] - found.quantiles[0.05] == pytest.approx(3.29 * sd, rel=0.08)
    low, high = found.intervals["mean"]
    assert low < expected < high
    assert found.interval_kind == "sampling"
    assert 1000 < found.effective_records <= found.records


def test_the_interval_has_the_error_of_the_coefficients(linear):
    """The mean of m at x is a line's, whose variance is known."""
    found = linear.model.query("m", given={"x": 2.0}, seed=1)
    at = np.array([1.0, 2.0 / WIDTH])
    variance = WIDTH**2 * at @ linear.mechanisms["m"].covariance @ at
    simulation = found.sd**2 / found.effective_records
    low, high = found.intervals["mean"]
    expected = 2 * 1.96 * np.sqrt(variance + simulation)
    assert high - low == pytest.approx(expected, rel=0.3)


def test_shares_of_levels_are_those_of_counted_records(mixed_fit):
    model, given = mixed_fit.model, {"status": "dead", "group": "a"}
    found = model.query("drug", given=given, samples=5000, seed=1)
    drawn = model.sample(100_000, seed=2)
    alike = drawn[(drawn["status"] == "dead") & (drawn["group"] == "a")]
    share = float((alike["drug"] == "1").mean())
    error = 5 * np.sqrt(0.25 / len(alike) + 0.25 / found.effective_records)
    assert found.probabilities["1"] == pytest.approx(share, abs=error)
    assert sum(found.probabilities.values()) == pytest.approx(1.0)
    low, high = found.intervals["1"]
    assert 0.0 <= low < found.probabilities["1"] < high <= 1.0
    assert found.mean is None
    assert "drug is 0 with" in found.sentence
    assert found == model.query("drug", given=given, samples=5000, seed=1)


def test_a_neural_model_has_the_error_of_the_simulation_an_ensemble_its_spread(
    mixed_fit, mixed_edges
):
    from fedcausal.model.nodeflow import build

    schema = mixed_fit.model.schema
    spec = NodeFlowSpec.from_schema(schema, mixed_edges, hidden=4, bins=3)
    flow = build(spec, 0, start=nodeflow_starts(mixed_fit.grams))
    model = from_nodeflow(flow, mixed_fit.model.graph, schema)
    found = model.query("pressure", given={"drug": "1"}, samples=2000)
    assert found.interval_kind == "simulation"
    exact = mixed_fit.model.query("pressure", given={"drug": "1"}, samples=2000)
    assert found.mean == pytest.approx(exact.mean, abs=1.0)
    flows = [flow, build(spec, 1, start=nodeflow_starts(mixed_fit.grams))]
    both = from_members(flows, mixed_fit.model.graph, schema)
    found = both.query("drug", given={"group": "a"}, samples=1000)
    assert found.interval_kind == "ensemble"
    assert found.intervals["1"][0] < found.probabilities["1"] < found.intervals["1"][1]


def test_only_what_is_done_rests_on_open_directions(linear):
    learnt = Graph.cpdag("amxy", [e for e in EDGES if e != ("a", "x")], [("a", "x")])
    model = replace(linear.model, learnt=learnt)
    assert model.query("y", given={"x": 1.0}, samples=2000).warnings == ()
    (said,) = model.query("y", given={"m": 1.0}, do={"x": 1.0}, samples=2000).warnings
    assert said.startswith("a -> x: the data leave this direction open")


@pytest.mark.parametrize(
    ("outcome", "given", "do", "message"),
    [
        ("y", {"x": 25.0}, {}, "about 0 are like those with x = 25; fewer than 30"),
        ("x", {"a": 2.5, "y": 12.0}, {}, "fewer than 30 tell too little"),
        ("q", {"x": 1.0}, {}, "query.outcome: unknown variable 'q'"),
        ("y", {"q": 1.0}, {}, "query.given: unknown variable 'q'"),
        ("y", {"x": 1.0}, {"q": 1.0}, "query.do: unknown variable 'q'"),
        ("y", {}, {}, "query.given: expected one value or more"),
        ("y", {"y": 1.0}, {}, "query: 'y' is named twice"),
        ("y", {"x": 1.0}, {"x": 1.0}, "query: 'x' is named twice"),
        ("y", {"x": 31.0}, {}, "expected a value within"),
        ("y", {"x": float("nan")}, {}, "expected a finite number"),
    ],
)
def test_what_cannot_be_told_is_refused(linear, outcome, given, do, message):
    with pytest.raises(InputError, match=message):
        linear.model.query(outcome, given=given, do=do)
    with pytest.raises(InputError, match=r"query.samples: expected 1000 or more"):
        conditional_law(linear.model, "y", given={"x": 1.0}, samples=10)
