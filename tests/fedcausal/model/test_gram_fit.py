from dataclasses import replace

import numpy as np
import pytest

from fedcausal.errors import FedCausalError
from fedcausal.model.family_basis import family_of_knots
from fedcausal.model.family_gram import FamilyGram
from fedcausal.model.gram_fit import fit_mechanism
from fedcausal.schema import Schema, Variable
from fedcausal.study import Study


def design(sites, family):
    """Features with one intercept per site: the regression on all rows with site labels."""
    blocks, values = [], []
    for k, site in enumerate(sites):
        columns = {name: site.column(name) for name in site.schema.names}
        features = family.basis.evaluate(columns)
        labels = np.zeros((site.num_rows, len(sites)))
        labels[:, k] = 1.0
        blocks.append(np.concatenate([features, labels], axis=1))
        low, high = family.range
        values.append((columns[family.node] - (low + high) / 2) * 2 / (high - low))
    return np.concatenate(blocks), np.concatenate(values)


@pytest.mark.parametrize("node", ["pressure", "stage"])
def test_slopes_equal_least_squares_with_site_intercepts(mixed_fit, node):
    mechanism = mixed_fit.mechanisms[node]
    features, values = design(mixed_fit.sites, mechanism.family)
    expected, *_ = np.linalg.lstsq(features, values, rcond=None)
    slopes = expected[: mechanism.family.basis.num_features]
    # The columns are rounded to 2^-19 before the products.
    np.testing.assert_allclose(mechanism.coefficients[1:], slopes, rtol=3e-6, atol=2e-6)


def test_the_covariance_is_that_of_least_squares(mixed_fit):
    gram = mixed_fit.grams["pressure"]
    mechanism = fit_mechanism(gram)
    features, values = design(mixed_fit.sites, mechanism.family)
    _, residual, *_ = np.linalg.lstsq(features, values, rcond=None)
    variance = residual[0] / (len(values) - features.shape[1])
    expected = variance * np.linalg.inv(features.T @ features)
    p = mechanism.family.basis.num_features
    np.testing.assert_allclose(mechanism.covariance[1:, 1:], expected[:p, :p], rtol=1e-3)
    assert mechanism.residual.sd == pytest.approx(np.sqrt(variance), rel=2e-3)


def test_the_intercept_reproduces_the_pooled_mean(mixed_fit):
    mechanism = mixed_fit.mechanisms["pressure"]
    fitted, values = [], []
    for site in mixed_fit.sites:
        columns = {name: site.column(name) for name in site.schema.names}
        fitted.append(mechanism.mean(columns))
        values.append(columns["pressure"] / 40.0)
    assert np.concatenate(fitted).mean() == pytest.approx(np.concatenate(values).mean(), abs=1e-6)


def test_level_coefficients_sum_to_one_and_zero(mixed_fit):
    coefficients = mixed_fit.mechanisms["group"].coefficients
    np.testing.assert_allclose(coefficients.sum(axis=1), [1.0], atol=1e-9)
    sums = mixed_fit.mechanisms["drug"].coefficients.sum(axis=1)
    np.testing.assert_allclose(sums, [1.0, *[0.0] * (len(sums) - 1)], atol=1e-9)


def test_a_constant_feature_gets_no_slope(as_table, federated_fit):
    study = Study.model_validate(
        {
            "variables": {
                "x": {"kind": "continuous", "bounds": [-1.0, 1.0]},
                "y": {"kind": "continuous", "bounds": [-9.0, 9.0]},
            }
        }
    )
    rng = np.random.default_rng(0)
    sites = [
        as_table(study, {"x": np.full(50, 0.1 * k), "y": rng.normal(size=50)}) for k in range(3)
    ]
    fit = federated_fit(study, [("x", "y")], sites)
    np.testing.assert_array_equal(fit.mechanisms["y"].coefficients[1:], 0.0)


def test_too_few_records_name_the_node(mixed_fit):
    gram = replace(mixed_fit.grams["pressure"], num_records=5)
    with pytest.raises(FedCausalError, match=r"no model of 'pressure': 5 complete records"):
        fit_mechanism(gram)


def gram_of(y, x, knots=(-0.6, -0.3, 0.0, 0.3, 0.6)):
    """The family Gram of one parent's splines, from rows."""
    variables = tuple(Variable(name=n, kind="continuous", bounds=(-1.0, 1.0)) for n in "xy")
    family = family_of_knots(Schema(variables), "y", ["x"], ranges={}, knots={"x": knots})
    columns = np.column_stack([family.basis.evaluate({"x": x}), y])
    centred = columns - columns.mean(axis=0)
    return FamilyGram(
        family=family,
        num_records=len(y),
        num_means=1,
        means=columns.mean(axis=0),
        products=centred.T @ centred,
        usable=np.ones(family.basis.num_features, dtype=np.bool_),
    )


def test_a_line_takes_the_place_of_splines_that_are_not_needed():
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, 4000)
    y = 0.2 + 0.3 * x + 0.1 * rng.normal(size=4000)
    mechanism = fit_mechanism(gram_of(y, x))
    at = np.linspace(-0.9, 0.9, 7)
    expected = np.polynomial.Polynomial.fit(x, y, 1)(at)
    assert mechanism.mean({"x": at}) == pytest.approx(expected, abs=1e-5)


def test_splines_stay_where_a_line_is_not_enough():
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, 4000)
    truth = 0.5 * np.tanh(3 * x)
    mechanism = fit_mechanism(gram_of(truth + 0.1 * rng.normal(size=4000), x))
    assert np.sqrt(np.mean((mechanism.mean({"x": x}) - truth) ** 2)) < 0.025
