"""Conditional independence from noisy contingency tables, calibrated by the known noise."""

import numpy as np
from scipy.special import chdtrc

from fedcausal.scores.contingency import Counts

__all__ = ["NUM_DRAWS", "noisy_table_test"]

NUM_DRAWS = 299
"""Draws of the null law for each test; smaller p-values are read from its tail."""

FEWEST_BEYOND = 5
"""With fewer draws beyond the statistic its rank says little, and the fitted tail is read."""


def noisy_table_test(table: Counts, deviation: float, rng: np.random.Generator) -> float:
    r"""The p-value of independence of two variables in every stratum of a third.

    With T the noisy counts, E what independence in the strata expects from T held at zero, and
    s the noise of a cell, the statistic is

    .. math:: \sum (T - E)^2 / (E + s^2 + 1),

    each cell weighed by its whole variance. Its law is drawn: Poisson counts about E and fresh
    noise, treated as the released table was. A G2 test that ignores noise of 40 records in a cell
    of 5000 rejects most truths at a nominal 5 %.

    Parameters
    ----------
    table
        (R, C, Q) noisy records; cells may be negative.
    deviation
        The known standard deviation of the noise in a cell, in records.

    Assumptions: E is near enough to the true expectation for the law of the statistic. Privacy:
    post-processing of what was released.
    """
    statistic = float(_statistic(table, deviation))
    expected = _expected(table)
    shape = (NUM_DRAWS, *table.shape)
    drawn = rng.poisson(expected, shape) + deviation * rng.standard_normal(shape)
    law = _statistic(drawn, deviation)
    beyond = int(np.count_nonzero(law >= statistic))
    rank = (1.0 + beyond) / (NUM_DRAWS + 1.0)
    if beyond >= FEWEST_BEYOND:
        return rank
    # The tail of the scaled chi-square law with the mean and variance of the draws.
    mean, variance = float(law.mean()), max(float(law.var()), 1e-300)
    freedom = 2.0 * mean**2 / variance
    tail = float(chdtrc(freedom, freedom * statistic / max(mean, 1e-300)))
    return min(rank, tail)


def _expected(tables: Counts) -> Counts:
    held = np.maximum(tables, 0.0)
    strata = held.sum(axis=(-3, -2), keepdims=True)
    rows, columns = held.sum(axis=-2, keepdims=True), held.sum(axis=-3, keepdims=True)
    expected: Counts = rows * columns / np.maximum(strata, 1e-9)
    return expected


def _statistic(tables: Counts, deviation: float) -> Counts:
    expected = _expected(tables)
    parts = np.square(tables - expected) / (expected + deviation**2 + 1.0)
    total: Counts = np.asarray(parts.sum(axis=(-3, -2, -1)))
    return total
