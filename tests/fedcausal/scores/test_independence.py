"""The block test against causal-learn, statsmodels and its own null distribution."""

import numpy as np
import pytest
from causallearn.utils.cit import CIT
from statsmodels.multivariate.manova import MANOVA

from fedcausal.moments.covariance import BlockCovariance
from fedcausal.scores.independence import BlockTest


def statistics_of(rows, widths):
    starts = np.cumsum([0, *widths])
    names = tuple("abcdefgh"[: len(widths)])
    return BlockCovariance(
        names=names,
        blocks={n: tuple(range(a, b)) for n, a, b in zip(names, starts, starts[1:], strict=False)},
        covariance=np.corrcoef(rows.T),
        num_records=np.full((len(widths), len(widths)), len(rows) - 1.0),
    )


@pytest.mark.parametrize("given", [(), (2,), (4, 3), (2, 3, 4)])
def test_single_features_are_fishers_z_of_causal_learn(given):
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((120, 5)) @ (np.eye(5) + 0.2 * rng.standard_normal((5, 5)))
    test = BlockTest.from_covariance(statistics_of(rows, (1,) * 5))
    expected = CIT(rows, "fisherz")(0, 1, given)
    assert test.p_value(0, 1, given) == pytest.approx(expected, rel=1e-6)


def test_wilks_lambda_is_that_of_a_multivariate_regression():
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((200, 6)) @ (np.eye(6) + 0.3 * rng.standard_normal((6, 6)))
    test = BlockTest.from_covariance(statistics_of(rows, (2, 3, 1)))
    design = np.column_stack([np.ones(200), rows[:, 5], rows[:, 2:5]])
    contrast = np.hstack([np.zeros((3, 2)), np.eye(3)])
    result = MANOVA(rows[:, :2], design).mv_test([("b", contrast)])
    expected = float(result.results["b"]["stat"].loc["Wilks' lambda", "Value"])
    found = np.exp(test._log_lambda((0, 1), (2, 3, 4), [5]))
    assert found == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("widths", [(1, 1, 2), (1, 3, 1), (2, 3, 2)])
def test_the_null_is_rejected_at_its_level(widths):
    # Null: a and b independent given c. 2000 draws at level 0.05: the share rejected lies within
    # 4 standard errors, 4 sqrt(.05 * .95 / 2000) = 0.0195.
    rng = np.random.default_rng(2)
    size, rejected = sum(widths), 0
    mixing = rng.standard_normal((widths[2], size - widths[2]))
    for _ in range(2000):
        c = rng.standard_normal((60, widths[2]))
        ab = c @ mixing + rng.standard_normal((60, size - widths[2]))
        test = BlockTest.from_covariance(statistics_of(np.hstack([ab, c]), widths))
        rejected += test.p_value(0, 1, [2]) < 0.05
    assert abs(rejected / 2000 - 0.05) < 0.0195


def test_symmetry_and_too_few_records():
    rng = np.random.default_rng(3)
    rows = rng.standard_normal((9, 6))
    test = BlockTest.from_covariance(statistics_of(rows, (2, 3, 1)))
    assert test.p_value(0, 1) == pytest.approx(test.p_value(1, 0))
    few = BlockTest.from_covariance(statistics_of(rows[:6], (2, 3, 1)))
    assert few.p_value(0, 1, [2]) == 1.0
