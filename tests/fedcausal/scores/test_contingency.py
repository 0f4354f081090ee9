"""Completed tables against what they must agree with, and the G2 test against scipy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2_contingency

from fedcausal.scores.contingency import complete, g2_test


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.integers(0, 2**32 - 1))
def test_a_completed_table_has_the_released_cells_and_the_margins(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(2, 4, size=rng.integers(2, 4)))
    table = rng.poisson(20.0, shape).astype(float)
    unknown = rng.random(shape) < 0.4
    margins = [table.sum(axis=axis) for axis in range(len(shape))]
    completed = complete(np.where(unknown, 0.0, table), unknown, margins)
    np.testing.assert_array_equal(completed[~unknown], table[~unknown])
    for axis, margin in enumerate(margins):
        np.testing.assert_allclose(completed.sum(axis=axis), margin, atol=0.5)
    assert (completed >= 0).all()


def test_a_table_of_margins_alone_is_that_of_independence():
    rows, columns = np.array([30.0, 70.0]), np.array([20.0, 50.0, 30.0])
    completed = complete(np.zeros((2, 3)), np.ones((2, 3), dtype=bool), [columns, rows])
    np.testing.assert_allclose(completed, np.outer(rows, columns) / 100.0)


def test_withheld_cells_keep_the_dependence_of_a_model_within_their_margins():
    model = np.array([[40.0, 10.0], [10.0, 40.0]])
    margins = [np.array([60.0, 140.0]), np.array([80.0, 120.0])]
    unknown = np.ones((2, 2), dtype=bool)
    completed = complete(np.zeros((2, 2)), unknown, margins, start=model)
    np.testing.assert_allclose(completed.sum(axis=0), margins[0], atol=0.02)
    ratio = completed[0, 0] * completed[1, 1] / (completed[0, 1] * completed[1, 0])
    assert ratio == pytest.approx(16.0)


def test_a_cell_that_is_known_to_be_small_is():
    # Margins of two frequent levels: independence would put 40 records into the rarest cell.
    table = np.array([[3.0, 197.0], [197.0, 603.0]])
    margins = [table.sum(axis=0), table.sum(axis=1)]
    unknown, at_most = np.ones((2, 2), dtype=bool), np.array([[4.0, 0.0], [0.0, 0.0]])
    completed = complete(np.zeros((2, 2)), unknown, margins, at_most=at_most)
    np.testing.assert_allclose(completed, [[4, 196], [196, 604]], atol=0.1)
    assert g2_test(completed[..., None]).p_value < 1e-6


def test_complete_tables_are_returned_as_they_are():
    table = np.arange(6.0).reshape(2, 3)
    assert complete(table, np.zeros((2, 3), dtype=bool), []) is table


def test_one_stratum_is_scipys_likelihood_ratio():
    table = np.random.default_rng(0).poisson(15.0, (3, 4)).astype(float)
    expected = chi2_contingency(table, correction=False, lambda_="log-likelihood")
    found = g2_test(table[..., None])
    assert found.statistic == pytest.approx(expected.statistic)
    assert (found.freedom, found.p_value) == (6, pytest.approx(expected.pvalue))


def test_strata_add_up_and_levels_that_do_not_occur_cost_their_freedom():
    rng = np.random.default_rng(1)
    first, second = rng.poisson(9.0, (3, 3)), rng.poisson(9.0, (3, 3))
    second[2] = 0
    apart = [g2_test(t[..., None].astype(float)) for t in (first, second)]
    both = g2_test(np.stack([first, second], axis=-1).astype(float))
    assert both.statistic == pytest.approx(sum(t.statistic for t in apart))
    assert both.freedom == 4 + 2
    empty = g2_test(np.zeros((2, 2, 3)))
    assert (empty.freedom, empty.p_value) == (0, 1.0)


def test_the_null_is_rejected_at_its_level():
    # 2000 tables of 400 records in 3 strata: 4 standard errors at level .05 are .0195.
    rng = np.random.default_rng(2)
    shares = np.einsum("rq,cq->rcq", rng.dirichlet([4] * 3, 3).T, rng.dirichlet([4] * 2, 3).T)
    draws = rng.multinomial(400, (shares / shares.sum()).ravel(), 2000).reshape(-1, 3, 2, 3)
    rejected = np.mean([g2_test(t.astype(float)).p_value < 0.05 for t in draws])
    assert abs(rejected - 0.05) < 0.0195
