"""How many records a test is worth when pairs of variables rest on different rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri, ndtr, ndtri

from fedcausal.moments.covariance import BlockCovariance
from fedcausal.moments.gram_totals import nearest_correlation

__all__ = ["UNEQUAL", "Calibration", "overlap_model"]

Matrix = NDArray[np.float64]

UNEQUAL = 0.05
"""Pair counts that differ by no more than this share are taken as equal."""

REPLICATES = 300
"""Simulated correlation matrices; the error of a standard deviation is then about 5 %."""

FIRST_PASS = 100
"""Simulated matrices that show how far the fitted one is from the true one."""

QUANTILE = 0.95
"""Of the null distribution, the part that is matched."""

MOST_ROWS = 1000
"""Rows of one simulation; its law is scaled to the study's number of rows."""

MOST_NUMBERS = 20_000_000
"""Simulated numbers in all: with many features fewer replicates are drawn, at least 60."""

LEAST_PRECISION = 1e-3
"""Eigenvalues of the inverse of a correlation matrix of up to a thousand features exceed it."""

SHARE_LIMITS = (1e-6, 1.0 - 1e-6)
ALWAYS = float(ndtri(0.995))
QUADRATURE_NODES = 24
BISECTIONS = 40


@dataclass(frozen=True, kw_only=True, eq=False)
class Calibration:
    r"""The sampling law of pairwise correlations under the fitted covariance, by Monte Carlo.

    With values missing, each correlation rests on its own rows, and neither the smallest nor any
    other pair count gives the variance of a partial correlation. Here rows are drawn from the
    fitted covariance, values are deleted so that the pairs' counts have the observed proportions
    (`overlap_model`), and the pairwise correlations are formed again. For a test of blocks a and
    b given others, with W the partial cross-correlation between the whitened blocks, the
    effective number of records is

    .. math:: \nu = \chi^2_{|a||b|}(0.95) \,/\, Q_{0.95} \lVert W^* - \bar W^* \rVert^2

    so that :math:`\nu \lVert W \rVert^2` exceeds the quantile of its null law as often as it
    should. For single features W is Fisher's z.

    Assumptions: Gaussian features, values missing completely at random, at most pairwise
    dependence between which values are missing; pairwise correlations that are well inside the
    positive definite ones (where they had to be repaired, a note says so, and levels between 1
    and 12 % were measured for a nominal 5 %). Privacy: reads released totals only.

    References
    ----------
    Little and Rubin (2019), Statistical Analysis with Missing Data, section 3.4. van Praag,
    Dijkstra and van Velzen (1985), Least-squares theory based on general distributional
    assumptions with an application to the incomplete observations problem, Psychometrika 50.
    """

    covariance: Matrix
    owners: NDArray[np.int64]
    num_records: Matrix
    seed: int = 0

    @classmethod
    def needed(cls, statistics: BlockCovariance) -> "Calibration | None":
        """A calibration where pair counts differ by more than `UNEQUAL`, else None."""
        counts = statistics.num_records
        if not counts.size or counts.min() >= (1.0 - UNEQUAL) * counts.max():
            return None
        owners = np.zeros(len(statistics.covariance), dtype=np.int64)
        for place, name in enumerate(statistics.names):
            owners[list(statistics.blocks[name])] = place
        return cls(covariance=statistics.covariance, owners=owners, num_records=counts)

    def effective_records(self, a: Sequence[int], b: Sequence[int], given: Sequence[int]) -> float:
        """Records that a test of two blocks given others is worth, by rows of the covariance."""
        draws = self._draws
        rows = [*a, *b, *given]
        conditional = _conditional(draws[:, rows][:, :, rows], len(a) + len(b))
        whitened = _whitened_cross(conditional, len(a))
        if len(a) == len(b) == 1:
            whitened = np.arctanh(np.clip(whitened, -1 + 1e-12, 1 - 1e-12))
        square = ((whitened - whitened.mean(axis=0)) ** 2).sum(axis=(1, 2))
        expected = chdtri(len(a) * len(b), 1.0 - QUANTILE)
        return float(expected / np.quantile(square, QUANTILE)) * self._scale

    @cached_property
    def _overlap(self) -> tuple[float, "Overlap"]:
        return overlap_model(self.num_records)

    @cached_property
    def _scale(self) -> float:
        return max(self._overlap[0] / MOST_ROWS, 1.0)

    @cached_property
    def _draws(self) -> Matrix:
        """(replicates, p, p) simulated correlation matrices, positive definite.

        The fitted matrix is nearer to singular than the true one, as a simulated one is than
        what it was drawn from: a first pass measures that on the inverse and takes it off.
        """
        rng = np.random.default_rng([self.seed, 2])
        fitted = nearest_correlation(self.covariance)
        first = self._simulate(fitted, FIRST_PASS, rng)
        values, vectors = np.linalg.eigh(np.median(np.linalg.inv(first), axis=0))
        excess = (vectors * np.maximum(values, LEAST_PRECISION)) @ vectors.T
        corrected = fitted @ excess @ fitted
        scale = np.sqrt(np.diag(corrected))
        corrected = nearest_correlation(corrected / np.outer(scale, scale))
        return self._simulate(corrected, REPLICATES, rng)

    def _simulate(self, covariance: Matrix, replicates: int, rng: np.random.Generator) -> Matrix:
        total, overlap = self._overlap
        num_rows, size = round(min(total, MOST_ROWS)), len(covariance)
        replicates = min(replicates, max(MOST_NUMBERS // max(num_rows * size, 1), 60))
        root, pattern_root = np.linalg.cholesky(covariance), np.linalg.cholesky(overlap.latent)
        draws = np.empty((replicates, size, size))
        for replicate in range(replicates):
            values = rng.standard_normal((num_rows, size)) @ root.T
            latent = rng.standard_normal((num_rows, len(pattern_root))) @ pattern_root.T
            observed = (latent < overlap.thresholds)[:, self.owners].astype(np.float64)
            draws[replicate] = nearest_correlation(_pairwise_correlation(values, observed))
        return draws


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Overlap:
    """Which values are observed: latent normals (d) below thresholds, correlated by `latent`."""

    thresholds: NDArray[np.float64]
    latent: Matrix


def overlap_model(num_records: Matrix) -> tuple[float, Overlap]:
    """The number of rows and a law of what is observed in them that gives the pairs' counts.

    The rows of all sites are not always known here; they are at least those that hold either
    variable of a pair, and n_i n_j / n_ij if variables are missing independently.
    """
    own = np.diag(num_records)
    either = own[:, None] + own[None, :] - num_records
    off = ~np.eye(len(own), dtype=bool)
    ratio = np.outer(own, own) / np.maximum(num_records, 1.0)
    total = float(max(either.max(), np.median(ratio[off])))
    shares = np.clip(own / total, *SHARE_LIMITS)
    thresholds = ndtri(shares)
    latent = _tetrachoric(thresholds, np.clip(num_records / total, 0.0, 1.0))
    return total, Overlap(thresholds=thresholds, latent=nearest_correlation(latent, floor=1e-6))


def _tetrachoric(thresholds: NDArray[np.float64], joint: Matrix) -> Matrix:
    """Latent correlations with which both normals lie below their thresholds that often."""
    i, j = np.triu_indices(len(thresholds), 1)
    low, high = np.full(len(i), -0.999), np.full(len(i), 0.999)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        is_low = _both_below(thresholds[i], thresholds[j], middle) < joint[i, j]
        low, high = np.where(is_low, middle, low), np.where(is_low, high, middle)
    # Who is observed nearly always says nothing about the others: there is no correlation to fit.
    is_complete = thresholds > ALWAYS
    found = np.where(is_complete[i] | is_complete[j], 0.0, (low + high) / 2)
    latent = np.eye(len(thresholds))
    latent[i, j] = latent[j, i] = found
    return latent


def _both_below(
    h: NDArray[np.float64], k: NDArray[np.float64], rho: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The bivariate normal distribution function, by quadrature over the correlation's angle.

    References
    ----------
    Drezner and Wesolowsky (1990), On the computation of the bivariate normal integral, Journal of
    Statistical Computation and Simulation 35.
    """
    nodes, weights = np.polynomial.legendre.leggauss(QUADRATURE_NODES)
    angle = np.arcsin(rho)[:, None] * (nodes + 1) / 2
    exponent = h[:, None] ** 2 + k[:, None] ** 2 - 2 * (h * k)[:, None] * np.sin(angle)
    density = np.exp(-exponent / (2 * np.cos(angle) ** 2)) / (2 * np.pi)
    below: NDArray[np.float64] = ndtr(h) * ndtr(k) + np.arcsin(rho) / 2 * (density @ weights)
    return below


def _pairwise_correlation(values: Matrix, observed: Matrix) -> Matrix:
    """Correlations over the rows of each pair, with the means and variances of those rows."""
    seen = values * observed
    count = np.maximum(observed.T @ observed, 2.0)
    means = (seen.T @ observed) / count
    squares = ((seen * values).T @ observed) / count - means**2
    cross = (seen.T @ seen) / count - means * means.T
    scale = np.sqrt(np.maximum(squares * squares.T, 1e-12))
    correlation = np.clip(cross / scale, -1.0, 1.0)
    np.fill_diagonal(correlation, 1.0)
    return np.asarray(correlation)


def _conditional(draws: Matrix, size: int) -> Matrix:
    """(replicates, size, size) covariance of the first features given the rest."""
    if draws.shape[1] == size:
        return draws
    given = draws[:, size:, size:]
    cross = draws[:, size:, :size]
    explained = cross.transpose(0, 2, 1) @ np.linalg.solve(given, cross)
    return np.asarray(draws[:, :size, :size] - explained)


def _whitened_cross(conditional: Matrix, width: int) -> Matrix:
    left = np.linalg.cholesky(conditional[:, :width, :width])
    right = np.linalg.cholesky(conditional[:, width:, width:])
    half = np.linalg.solve(left, conditional[:, :width, width:])
    return np.asarray(np.linalg.solve(right, half.transpose(0, 2, 1)).transpose(0, 2, 1))
