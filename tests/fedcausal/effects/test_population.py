"""Populations by name: an effect that differs between people, averaged over whom it is asked."""

import numpy as np
import pandas as pd
import pytest

from fedcausal.effects.population import population_of
from fedcausal.errors import InputError
from fedcausal.graph import Graph
from fedcausal.model.family_basis import family_of_degree
from fedcausal.model.fitting import assemble
from fedcausal.model.mechanism import NumericMechanism
from fedcausal.model.nodeflow_model import from_nodeflow
from fedcausal.model.nodeflow_spec import NodeFlowSpec
from fedcausal.model.residual_law import ResidualLaw
from fedcausal.schema import Kind, Schema, Variable

PARENTS = {"c": (), "a": ("c",), "t": ("a",), "m": ("t", "a"), "y": ("a", "m", "t")}
SCHEMA = Schema(tuple(Variable(name=n, kind=Kind.CONTINUOUS, bounds=(-4.0, 4.0)) for n in PARENTS))
ASKED = ("t", "y", (0.0, 1.0))


@pytest.fixture(scope="module")
def model():
    """Random products: the effect of t depends on a, through m as well."""
    rng, mechanisms = np.random.default_rng(3), {}
    for name, parents in PARENTS.items():
        family = family_of_degree(SCHEMA, name, parents, ranges={}, degree=2)
        width = 1 + family.basis.num_features
        mechanisms[name] = NumericMechanism(
            family=family,
            coefficients=0.3 * rng.standard_normal(width),
            covariance=1e-4 * np.eye(width),
            residual=ResidualLaw.gaussian(0.1, 1000),
        )
    edges = [(p, name) for name, own in PARENTS.items() for p in own]
    return assemble(Graph.dag(SCHEMA.names, edges), SCHEMA, mechanisms)


@pytest.fixture(scope="module")
def people(model):
    rows = model.sample(400, seed=1)
    return rows[rows["a"] > rows["a"].median()]


def brute_force(model, rows, draws=4000):
    """The mean over people of what they would have in many worlds under either value."""
    rng, mechanisms = np.random.default_rng(9), model.engine.mechanisms
    total = []
    for value in (0.0, 1.0):
        a = np.repeat(rows["a"].to_numpy(), draws)
        noise = mechanisms["m"].draw_noise(len(a), np.random.default_rng(9))
        columns = {"a": a, "t": np.full(len(a), value)}
        columns["m"] = mechanisms["m"].predict(noise, columns)
        noise = mechanisms["y"].draw_noise(len(a), rng)
        total.append(mechanisms["y"].predict(noise, columns).mean())
    return total[1] - total[0]


def test_a_sites_own_average_is_that_over_its_records(model, people):
    found = model.effect(*ASKED, population="site north", records=people, samples=20_000)
    truth = brute_force(model, people)
    pooled = model.effect(*ASKED, samples=20_000)
    assert found.estimate == pytest.approx(truth, abs=0.01)
    assert abs(pooled.estimate - truth) > 0.03
    assert found.population == "site north (200 records)"
    assert "on average over site north (200 records)" in found.sentence
    assert any("taken as they are" in text for text in found.assumptions)
    assert found.interval[0] < found.estimate < found.interval[1]
    assert pooled.population == "pooled"


def test_records_beyond_the_data_are_told(model, people):
    far = people.assign(a=[1000.0, *people["a"].iloc[1:]])
    (warning,) = model.effect(*ASKED, population="site north", records=far).warnings
    assert warning.startswith("1 of 200 records: a = 1000 lies outside")
    assert model.effect(*ASKED, population="site north", records=people).warnings == ()


def test_a_target_is_told_by_a_table_or_by_means(model, people):
    table = people[["a", "c"]].rename_axis("row")
    found = model.effect(*ASKED, population="target elders", records=table)
    assert found.population == "target elders (200 records)"
    whole = model.effect(*ASKED, population="site s", records=people)
    assert found.estimate == whole.estimate
    means = {"a": float(people["a"].mean())}
    moved = model.effect(*ASKED, population="target elders", means=means, samples=4000)
    assert moved.population.startswith("target elders (a population with the means a ")
    assert abs(moved.estimate - found.estimate) < abs(
        model.effect(*ASKED).estimate - found.estimate
    )


def test_records_that_fit_the_sample_count_the_same(model, people):
    few, many = (
        model.effect(*ASKED, population="site s", records=people, samples=n) for n in (10, 200)
    )
    assert few.estimate == many.estimate


def test_a_neural_model_is_standardised_likewise(model, people):
    from fedcausal.model.nodeflow import build

    edges = model.graph.directed_edges
    flow = build(NodeFlowSpec.from_schema(SCHEMA, edges, hidden=4, bins=3), 0)
    neural = from_nodeflow(flow, model.graph, SCHEMA)
    found = neural.effect(*ASKED, population="site s", records=people, samples=400)
    assert found.interval_kind == "simulation"
    assert np.isfinite(found.estimate)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"population": "ward"}, 'expected "pooled", "site NAME" or "target NAME"'),
        ({"population": "pooled north"}, "expected"),
        ({"population": "site north"}, "do not leave it: add records"),
        ({"population": "target x"}, "give one of the two"),
        ({"records": 0}, "say whose they are"),
        ({"population": "site s", "records": 0, "means": {"a": 1.0}}, "no means"),
        ({"population": "target s", "records": 0, "means": {"a": 1.0}}, "one of the two"),
        ({"population": "site s", "records": 0, "treated": True}, "averaged over as they are"),
        ({"population": "site s", "records": 29}, "too small: 29 records, and at least 30"),
    ],
)
def test_what_is_no_population_is_refused(model, people, options, message):
    if "records" in options:
        options = {**options, "records": people.head(options["records"] or 200)}
    with pytest.raises(InputError, match=message):
        model.effect(*ASKED, **options)


def test_records_must_say_enough(model, people):
    def asked(frame):
        return model.effect(*ASKED, population="site s", records=frame)

    with pytest.raises(InputError, match=r"frame:c: the column causes 'a'"):
        asked(people[["a"]])
    with pytest.raises(InputError, match=r"none of the outcome's causes is a column; add c, a"):
        asked(people[["t", "y"]])
    with pytest.raises(InputError, match=r"frame:a: 200 missing values"):
        asked(people.assign(a=np.nan))
    alone = asked(people[["c"]])
    assert np.isfinite(alone.estimate)


def test_an_effect_without_causes_needs_no_columns(mixed_fit):
    rows = pd.DataFrame({"note": np.arange(40)})
    graph = Graph.dag(["t", "y"], [("t", "y")])
    schema = Schema(SCHEMA.variables[2:3] + SCHEMA.variables[4:])
    mechanisms = {}
    for name, parents in (("t", ()), ("y", ("t",))):
        family = family_of_degree(schema, name, parents, ranges={}, degree=1)
        width = 1 + family.basis.num_features
        mechanisms[name] = NumericMechanism(
            family=family,
            coefficients=np.arange(width) / 4,
            covariance=np.eye(width),
            residual=ResidualLaw.gaussian(0.1, 100),
        )
    found = assemble(graph, schema, mechanisms).effect(*ASKED, population="site s", records=rows)
    assert found.population == "site s (40 records)"
    assert found.estimate == pytest.approx(0.25)


def test_names():
    whose = population_of("target the uk", has_records=False, has_means=True)
    assert (whose.kind, whose.name, whose.words) == ("target", "the uk", "target the uk")
    assert population_of("site", has_records=True, has_means=False).words == "site"
