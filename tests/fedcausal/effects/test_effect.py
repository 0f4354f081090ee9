import numpy as np
import pytest

from fedcausal.effects.effect import ASSUMPTIONS, EffectEstimate, effect
from fedcausal.errors import IdentificationError, InputError
from fedcausal.graph import Graph
from fedcausal.study import Study

LINEAR = {
    "variables": {
        name: {"kind": "continuous", "bounds": [-30.0, 30.0], "unit": "kg"} for name in "abxy"
    },
    "model": {"degree": 1},
    "discovery": {"site_effects": "center"},
}
EDGES = [("a", "x"), ("a", "y"), ("x", "b"), ("b", "y"), ("x", "y")]
TOTAL = 0.5 + 0.8 * 1.5


def linear_rows(num_rows, rng, shift=0.0):
    a = rng.normal(size=num_rows) + shift
    x = 0.7 * a + rng.normal(size=num_rows)
    b = 0.8 * x + rng.normal(size=num_rows) - shift
    y = 1.5 * b + 0.5 * x - a + rng.normal(size=num_rows)
    return {"a": a, "b": b, "x": x, "y": y}


@pytest.fixture(scope="module")
def linear_study():
    return Study.model_validate(LINEAR)


@pytest.fixture(scope="module")
def linear_fit(linear_study, as_table, federated_fit):
    rng = np.random.default_rng(0)
    sites = [as_table(linear_study, linear_rows(2000, rng, k)) for k in (-1, 0, 1)]
    return federated_fit(linear_study, EDGES, sites)


def test_a_linear_effect_is_the_sum_of_products_of_path_coefficients(linear_fit):
    found = effect(linear_fit.model, "x", "y", (0.0, 1.0))
    half = 30.0
    paths = {}
    for node, mechanism in linear_fit.mechanisms.items():
        labels = [mechanism.family.basis.label(i) for i in range(len(mechanism.coefficients) - 1)]
        paths[node] = dict(zip(labels, mechanism.coefficients[1:], strict=True))
    assert half == linear_fit.model.ranges["x"][1]
    product = paths["y"]["x"] + paths["b"]["x"] * paths["y"]["b"]
    assert found.estimate == pytest.approx(product, abs=1e-9)
    assert found.estimate == pytest.approx(TOTAL, abs=0.1)
    assert found.interval[0] < TOTAL < found.interval[1]


def test_doubling_the_step_doubles_a_linear_effect(linear_fit):
    one = effect(linear_fit.model, "x", "y", (0.0, 1.0))
    two = effect(linear_fit.model, "x", "y", (-1.0, 1.0))
    assert two.estimate == pytest.approx(2 * one.estimate, rel=1e-9)
    back = effect(linear_fit.model, "x", "y", (1.0, 0.0))
    assert back.estimate == pytest.approx(-one.estimate, rel=1e-9)


@pytest.mark.slow
def test_intervals_cover_the_truth_at_their_level(linear_study, as_table, federated_fit):
    # H0: coverage is 95 %; 200 studies, so the share lies in [0.92, 0.98] at about 2 sigma.
    covered = 0
    for seed in range(200):
        rng = np.random.default_rng([7, seed])
        sites = [as_table(linear_study, linear_rows(60, rng, k)) for k in (-1, 0, 1)]
        model = federated_fit(linear_study, EDGES, sites).model
        found = effect(model, "x", "y", (0.0, 1.0), draws=100, samples=50, seed=seed)
        covered += found.interval[0] <= TOTAL <= found.interval[1]
    assert 0.92 <= covered / 200 <= 0.98


def test_a_binary_outcome_is_a_probability_of_its_last_level(mixed_fit):
    found = effect(mixed_fit.model, "drug", "status", ("0", "1"))
    assert found.outcome_level == "dead"
    assert 0 <= found.mean_first <= 1
    # The true model: risk = .3 + .02 pressure - .1 drug, and the drug adds 3 to the pressure.
    assert found.estimate == pytest.approx(-0.04, abs=0.04)
    assert found.interval[0] < -0.04 < found.interval[1]
    assert "the probability of status = dead by" in found.sentence
    assert "percentage points" in found.sentence


def test_the_sentence_has_units_names_and_levels(mixed_fit):
    found = effect(mixed_fit.model, "drug", "pressure", (0, 1))
    assert found.sentence.startswith("Setting drug to 1 instead of 0 raises pressure by 3.")
    assert "mmHg on average over the pooled population (95 % interval" in found.sentence
    assert found.adjustment_set == ("age", "group")
    assert found.assumptions == ASSUMPTIONS
    assert found.interval_kind == "sampling"


def test_an_effect_through_a_changed_level_matches_a_large_simulation(mixed_fit):
    found = effect(mixed_fit.model, "group", "pressure", ("a", "c"), samples=20_000, draws=20)
    means = [
        mixed_fit.model.sample(200_000, do={"group": level}, seed=9)["pressure"].mean()
        for level in ("a", "c")
    ]
    assert found.estimate == pytest.approx(means[1] - means[0], abs=0.05)


def test_without_a_directed_path_the_effect_is_exactly_zero(mixed_fit):
    found = effect(mixed_fit.model, "status", "drug", ("alive", "dead"))
    assert (found.estimate, found.interval, found.interval_kind) == (0.0, (0.0, 0.0), "exact")
    assert "no directed path from status to drug" in found.sentence
    assert "exactly 0" in found.sentence


def test_an_ordinal_in_words_keeps_its_codes(mixed_fit):
    found = effect(mixed_fit.model, "pressure", "stage", (0.0, 5.0))
    assert 0 < found.estimate < 2


def test_the_answer_is_deterministic_and_json(mixed_fit):
    asked = ("drug", "status", ("0", "1"))
    one = effect(mixed_fit.model, *asked, draws=20)
    assert one == effect(mixed_fit.model, *asked, draws=20)
    assert one == mixed_fit.model.effect(*asked, draws=20)
    content = one.to_json()
    assert set(content) == set(EffectEstimate.__slots__)
    assert content["values"] == ["0", "1"]


@pytest.mark.parametrize(
    ("asked", "options", "message"),
    [
        (("drug", "drug", (0, 1)), {}, "treatment and outcome are both 'drug'"),
        (("drugs", "status", (0, 1)), {}, r"effects.treatment: .*did you mean 'drug'"),
        (("drug", "statu", (0, 1)), {}, r"effects.outcome: .*did you mean 'status'"),
        (("drug", "status", (0, 2)), {}, "do drug: expected one of 0, 1"),
        (("age", "status", (0, 60)), {}, "extrapolate"),
        (("drug", "status", (0, 1, 1)), {}, r"expected \[from, to\]"),
        (("drug", "status", (0, 1)), {"population": "site_a"}, 'expected "pooled", "site NAME"'),
        (("drug", "status", (0, 1)), {"draws": 1}, "2 or more"),
    ],
)
def test_impossible_questions_are_refused(mixed_fit, asked, options, message):
    with pytest.raises(InputError, match=message):
        effect(mixed_fit.model, *asked, **options)


def test_over_a_class_every_set_of_causes_has_its_effect(linear_fit):
    """The DAGs of the class agree on a - x - b and differ in what x has above it."""
    graph = Graph.cpdag(
        tuple("abxy"), [("b", "y"), ("x", "y"), ("a", "y")], [("a", "x"), ("x", "b")]
    )
    found = effect(linear_fit.model, "x", "y", (0.0, 1.0), graph=graph, draws=20)
    # x <- a, x -> b: the model's own DAG. x -> a: the effect runs through a as well, by the slope
    # of a on x. x <- b, x -> a: b is a cause of x, no mediator. x <- a, x <- b is a collider.
    variance = 1.0 + 2.0 / 3.0  # of a, with what lies between the sites
    backward = 0.7 * variance / (0.49 * variance + 1.0)
    expected = sorted([TOTAL, TOTAL - backward, 0.5 - backward])
    assert found.possible_effects == pytest.approx(expected, abs=0.15)
    assert found.interval_kind == "class"
    assert found.interval[0] < min(found.possible_effects)
    assert found.interval[1] > max(found.possible_effects)
    assert found.estimate == pytest.approx(TOTAL, abs=0.1)
    assert "the data leave 3 sets of causes of x open" in found.sentence
    assert "leave the direction of x -- a, x -- b open" in found.identification


def test_a_class_that_agrees_gives_one_number(linear_fit):
    graph = Graph.cpdag(tuple("abxy"), [("b", "y"), ("x", "y"), ("x", "b")], [("a", "x")])
    agreed = effect(linear_fit.model, "b", "y", (0.0, 1.0), graph=graph, draws=20)
    assert agreed.possible_effects == ()
    assert agreed.adjustment_set == ("x",)


def test_with_a_hidden_cause_elsewhere_adjustment_gives_the_same_effect(linear_fit):
    found = effect(linear_fit.model, "x", "y", (0.0, 1.0), hidden=[("a", "y")], draws=20)
    assert found.estimate == pytest.approx(TOTAL, abs=0.15)
    assert (
        found.identification == "Identified by adjustment for a (the set with the least variance)."
    )
    assert "Hidden variables influence at most a and y." in found.assumptions
    assert found.interval_kind == "sampling"


def test_what_is_hidden_from_all_data_is_refused(linear_fit, mixed_fit):
    with pytest.raises(IdentificationError, match=r"x <-> y stays open") as error:
        effect(linear_fit.model, "x", "y", (0.0, 1.0), hidden=[("x", "y")])
    assert error.value.exit_code == 4
    with pytest.raises(IdentificationError, match="the effect lies between -") as error:
        effect(mixed_fit.model, "drug", "status", ("0", "1"), hidden=[("drug", "status")])
    assert "percentage points" in str(error.value)


def test_beyond_the_bounds_an_answer_has_the_distance_or_there_is_none(mixed_fit):
    asked = (mixed_fit.model, "age", "pressure", (0.0, 7.2))
    with pytest.raises(InputError, match=r"would extrapolate by 1.2 \(10% of the width\)"):
        effect(*asked)
    found = effect(*asked, extrapolate=0.1, draws=10)
    (warning,) = found.warnings
    assert warning.startswith("age = 7.2 lies outside [-6, 6] by 1.2 (10% of the width)")
    with pytest.raises(InputError, match="would extrapolate"):
        effect(*asked, extrapolate=0.05)
    with pytest.raises(InputError, match="extrapolate: expected a share"):
        effect(*asked, extrapolate=2.0)


def test_an_effect_says_what_would_explain_it_away(mixed_fit, linear_fit):
    number = effect(linear_fit.model, "x", "y", (0.0, 1.0), draws=20)
    assert number.e_values[0] > number.e_values[1] > 1.0
    weak = effect(mixed_fit.model, "drug", "status", ("0", "1"), draws=20)
    assert weak.e_values[0] < number.e_values[0]
    assert effect(mixed_fit.model, "status", "drug", ("alive", "dead")).e_values == ()
