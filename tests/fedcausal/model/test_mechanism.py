import numpy as np
import pytest

from fedcausal.data.table import Table
from fedcausal.model.mechanism import LevelMechanism, NumericMechanism, root


@pytest.fixture(scope="module")
def columns(mixed_fit):
    rows = Table.concatenate(mixed_fit.sites)
    return {name: rows.column(name) for name in rows.schema.names}


@pytest.mark.parametrize("node", ["age", "drug", "group", "pressure", "stage", "status"])
def test_predict_undoes_abduct(mixed_fit, columns, node):
    mechanism = mixed_fit.mechanisms[node]
    noise = mechanism.abduct(columns[node], columns, np.random.default_rng(0))
    np.testing.assert_allclose(mechanism.predict(noise, columns), columns[node], atol=1e-9)


def test_level_frequencies_are_those_of_the_rows(mixed_fit, columns):
    for node in ("drug", "group", "status"):
        mechanism = mixed_fit.mechanisms[node]
        assert isinstance(mechanism, LevelMechanism)
        noise = mechanism.draw_noise(len(columns[node]), np.random.default_rng(1))
        drawn = mechanism.predict(noise, columns)
        for level in range(mechanism.family.num_levels):
            expected = (columns[node] == level).mean()
            error = np.sqrt(expected * (1 - expected) / len(drawn))
            assert abs((drawn == level).mean() - expected) < 5 * error + 0.01


def test_probabilities_are_probabilities(mixed_fit, columns):
    law = mixed_fit.mechanisms["status"].probabilities(columns)
    assert (law > 0).all()
    np.testing.assert_allclose(law.sum(axis=1), 1.0)


def test_log_prob_is_the_log_of_the_density(mixed_fit, columns):
    mechanism = mixed_fit.mechanisms["pressure"]
    assert isinstance(mechanism, NumericMechanism)
    parents = {name: values[:1] for name, values in columns.items()}
    grid = np.linspace(-60.0, 60.0, 40_001)
    wide = {name: np.full(len(grid), values[0]) for name, values in parents.items()}
    density = np.exp(mechanism.log_prob(grid, wide))
    assert density.sum() * (grid[1] - grid[0]) == pytest.approx(1.0, rel=0.02)


@pytest.mark.parametrize("node", ["pressure", "status"])
def test_redrawn_coefficients_have_their_covariance(mixed_fit, node):
    mechanism = mixed_fit.mechanisms[node]
    rng = np.random.default_rng(0)
    redrawn = mechanism.resampler()
    draws = np.array([redrawn(rng).coefficients for _ in range(400)])
    if node == "status":
        draws = draws[:, :, 1]
        expected = np.diag(mechanism.feature_covariance) * mechanism.level_covariance[1, 1]
    else:
        expected = np.diag(mechanism.covariance)
    np.testing.assert_allclose(draws.var(axis=0), expected, rtol=0.35)


def test_root_squares_to_the_covariance():
    matrix = np.array([[2.0, 1.0, 0.0], [1.0, 2.0, 0.0], [0.0, 0.0, 0.0]])
    np.testing.assert_allclose(root(matrix) @ root(matrix).T, matrix, atol=1e-12)
