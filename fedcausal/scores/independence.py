"""Conditional independence of variable blocks, from covariances alone."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc, ndtr

from fedcausal.discovery.calibration import UNEQUAL, Calibration
from fedcausal.moments.covariance import BlockCovariance

__all__ = ["BlockTest"]

Matrix = NDArray[np.float64]

# Keeps exactly dependent features invertible; far below what a p-value can show.
RIDGE = 1e-10


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockTest:
    r"""Test of zero partial covariance between two blocks given others.

    Wilks' :math:`\Lambda = |R_{ab}| / (|R_a| |R_b|)`, with R the covariance given the conditioning
    blocks (s features in all), and Bartlett's correction: with :math:`\nu` effective records,

    .. math:: -(\nu - s - (|a| + |b| + 1)/2) \log\Lambda \sim \chi^2_{|a||b|}

    Between two single features it is Fisher's z, :math:`\sqrt{\nu - s - 2}\,|\operatorname{artanh}
    r|` (that is n - s - 3 for n records with one estimated mean).

    Where pair counts differ by more than 5 % (values are missing), the smallest of them is not an
    effective number of records: the factor before the logarithm then comes from a simulation of
    the pairwise correlations (`fedcausal.discovery.calibration`), seeded.

    Assumptions: Gaussian features or many records; values missing completely at random. Privacy:
    reads released totals only.

    References
    ----------
    Fisher (1924), Metron 3. Bartlett (1938), Further aspects of the theory of multiple regression,
    Mathematical Proceedings of the Cambridge Philosophical Society 34.
    """

    names: tuple[str, ...]
    blocks: tuple[tuple[int, ...], ...]
    covariance: Matrix
    num_records: Matrix
    calibration: Calibration | None = None

    @classmethod
    def from_covariance(
        cls, statistics: BlockCovariance, names: Sequence[str] | None = None
    ) -> "BlockTest":
        """Prepare the test; `names` gives another order of the variables."""
        names = statistics.names if names is None else tuple(names)
        order = [statistics.names.index(name) for name in names]
        size = len(statistics.covariance)
        if statistics.noise is not None:
            from fedcausal.scores.noisy_independence import noisy_test

            return noisy_test(statistics, names, tuple(statistics.blocks[n] for n in names))
        return cls(
            names=tuple(names),
            blocks=tuple(statistics.blocks[name] for name in names),
            covariance=statistics.covariance + RIDGE * np.eye(size),
            num_records=statistics.num_records[np.ix_(order, order)],
            calibration=Calibration.needed(statistics),
        )

    def p_value(self, first: int, second: int, given: Sequence[int] = ()) -> float:
        """The p-value for two variables given others, by indices into `names`.

        Returns 1 where there are too few records for a test.
        """
        a, b = self.blocks[first], self.blocks[second]
        conditioned = [row for variable in given for row in self.blocks[variable]]
        involved = [first, second, *given]
        records = _part(self.num_records, involved).min()
        rows = [*a, *b, *conditioned]
        if records - len(conditioned) <= len(a) + len(b):
            return 1.0
        is_single = len(a) == len(b) == 1
        freedom = records - len(conditioned) - (2.0 if is_single else (len(a) + len(b) + 1) / 2.0)
        if self.calibration is not None and self._is_uneven(involved):
            freedom = self.calibration.effective_records(a, b, conditioned)
        if is_single:
            return _fisher_z(_part(self.covariance, rows), freedom)
        log_lambda = self._log_lambda(a, b, conditioned)
        return float(chdtrc(len(a) * len(b), -freedom * log_lambda))

    def _is_uneven(self, variables: Sequence[int]) -> bool:
        counts = self.num_records[np.ix_(variables, variables)]
        return bool(counts.min() < (1.0 - UNEQUAL) * counts.max())

    def _log_lambda(self, a: Sequence[int], b: Sequence[int], conditioned: Sequence[int]) -> float:
        joint, left, right, rest = (
            np.linalg.slogdet(self.covariance[np.ix_(rows, rows)])[1]
            for rows in (
                [*a, *b, *conditioned],
                [*a, *conditioned],
                [*b, *conditioned],
                conditioned,
            )
        )
        return min(float(joint + rest - left - right), 0.0)


def _part(matrix: Matrix, chosen: Sequence[int]) -> Matrix:
    """Rows and columns of the chosen numbers; a search asks this a hundred thousand times."""
    index = np.array(chosen)
    part: Matrix = matrix[index[:, None], index]
    return part


def _fisher_z(covariance: Matrix, freedom: float) -> float:
    precision = np.linalg.inv(covariance)
    partial = -precision[0, 1] / np.sqrt(precision[0, 0] * precision[1, 1])
    # Not numpy's clip, which takes longer than the inverse for a single number.
    bounded = min(max(partial, -1.0 + 1e-15), 1.0 - 1e-15)
    return float(2.0 * ndtr(-np.sqrt(freedom) * abs(np.arctanh(bounded))))
