"""Contingency tables with withheld cells: completing them, and testing on them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc

__all__ = ["G2", "Counts", "complete", "g2_test"]

Counts = NDArray[np.float64]
Mask = NDArray[np.bool_]

FITTING_ROUNDS = 60
"""Most rounds of proportional fitting; a box of withheld cells converges in a few."""

FITTING_TOLERANCE = 0.01
"""Margins are met to this fraction of a record."""

TINY = 1e-9
"""A fitted margin below this is zero."""

OCCURS = 1e-3
"""A level with fewer records than this does not occur: only proportional fits are not whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class G2:
    """A likelihood-ratio statistic, its degrees of freedom and p-value.

    No degrees of freedom mean that nothing can be seen: the p-value is 1.
    """

    statistic: float
    freedom: int
    p_value: float


def complete(
    counts: Counts,
    unknown: Mask,
    margins: Sequence[Counts],
    *,
    at_most: Counts | None = None,
    start: Counts | None = None,
) -> Counts:
    """Give withheld cells the values that agree with all margins and show least interaction.

    The proportional fit of a constant to what the released cells leave of the margins has no
    interaction of all variables beyond what those cells force, and among the tables that fit, the
    largest entropy; that of a model's expected counts stays closest to the model. Cells that are
    known to be small are then held within 1 and their largest value, and the others are fitted to
    what is left.

    Parameters
    ----------
    counts, unknown
        (L_1, ..., L_k) records per cell, and which of them are withheld.
    margins
        k tables, the one at position a without axis a: completed themselves where they had gaps.
    at_most
        The largest value of each withheld cell; 0 where none is known.
    start
        (L_1, ..., L_k) positive: what a model expects in each cell; without it, a constant.

    References
    ----------
    Bishop, Fienberg and Holland (1975), Discrete Multivariate Analysis, chapters 3 and 5.
    """
    if not unknown.any():
        return counts
    known = np.where(unknown, 0.0, counts)
    start = np.ones(counts.shape) if start is None else start
    fitted = _fit(known, np.where(unknown, start, 0.0), margins)
    if at_most is None or not (is_small := unknown & (at_most > 0)).any():
        return fitted
    known = np.where(is_small, np.clip(fitted, 1.0, np.maximum(at_most, 1.0)), known)
    return _fit(known, np.where(unknown & ~is_small, start, 0.0), margins)


def g2_test(table: Counts) -> G2:
    r"""Test that two variables are independent in every stratum of a third.

    .. math:: G^2 = 2 \sum_{rcq} n_{rcq} \log\frac{n_{rcq}\, n_{..q}}{n_{r.q} n_{.cq}}

    with, per stratum, (levels of r that occur in it - 1) (levels of c that do - 1) degrees of
    freedom. Completed cells keep their degrees of freedom although they show little dependence:
    withholding can hide a dependence, it does not make one.

    Parameters
    ----------
    table
        (R, C, Q) records.

    References
    ----------
    Spirtes, Glymour and Scheines (2000), Causation, prediction, and search, section 5.5.
    """
    rows, columns, totals = table.sum(axis=1), table.sum(axis=0), table.sum(axis=(0, 1))
    levels = np.maximum((rows > OCCURS).sum(axis=0) - 1, 0)
    levels = levels * np.maximum((columns > OCCURS).sum(axis=0) - 1, 0)
    expected = rows[:, None] * columns[None] / np.where(totals > OCCURS, totals, 1.0)
    positive = (table > TINY) & (expected > TINY)
    observed = table[positive]
    statistic = max(2.0 * float(np.sum(observed * np.log(observed / expected[positive]))), 0.0)
    freedom = int(levels.sum())
    p_value = float(chdtrc(freedom, statistic)) if freedom > 0 else 1.0
    return G2(statistic=statistic, freedom=freedom, p_value=p_value)


def _fit(known: Counts, start: Counts, margins: Sequence[Counts]) -> Counts:
    left = [
        np.maximum(np.expand_dims(m, a) - known.sum(axis=a, keepdims=True), 0.0)
        for a, m in enumerate(margins)
    ]
    fitted = start.copy()
    for _ in range(FITTING_ROUNDS):
        worst = 0.0
        for axis, wanted in enumerate(left):
            have = fitted.sum(axis=axis, keepdims=True)
            worst = max(worst, float(np.abs(have - wanted).max()))
            ratio = np.divide(wanted, have, out=np.zeros_like(have), where=have > TINY)
            fitted *= ratio
        if worst <= FITTING_TOLERANCE:
            break
    return known + fitted
