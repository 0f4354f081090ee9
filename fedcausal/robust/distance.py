"""How far each site's covariances lie from those that most sites share."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincinv

from fedcausal.data.table import Matrix, Vector

__all__ = ["MOST_WEIGHT", "remoteness", "weights"]

LEVEL = 0.01
"""Chance that a study sets an honest site aside, where sites differ by sampling alone."""

SLACK = 2.0
"""By how much the limit grows where honest sites differ by more than sampling."""

MOST_WEIGHT = 4.0
"""A site counts as at most this many times the median number of records."""

RIDGE = 0.01
"""Added to unit variances: collinear columns tell nothing more."""

STARTS = 25
STEPS = 10
_Stack = NDArray[np.float64]


def weights(counts: Sequence[int]) -> Vector:
    """(K,) what each site's sums count: 1, or less where it claims far more records than most.

    The bound holds what a site gains by claiming records that it has not.

    >>> weights([100, 100, 1000]).tolist()
    [1.0, 1.0, 0.4]
    """
    records = np.asarray(counts, dtype=float)
    found: Vector = np.minimum(1.0, MOST_WEIGHT * np.median(records) / np.maximum(records, 1.0))
    return found


def remoteness(blocks: Sequence[tuple[Sequence[int], _Stack]], most: int) -> Vector:
    """(K,) distance of each site from what the K - `most` closest share; above 1 lies apart.

    The distance is the likelihood ratio of one Gaussian covariance against the shared one,

        D_k = n_k (tr C^-1 C_k - log det C^-1 C_k - p),

    summed over the blocks, once of the covariances and once of the correlations, which sites that
    differ in their noise share more nearly. Its limit is the quantile of chi-square with the free
    entries of C_k, widened by the spread that the closest sites show themselves: sites that
    differ honestly widen it, and means are in no covariance. Blocks overlap, so that their sum
    has the tail of the largest alone. C is found as the minimum covariance determinant is: from
    a site as a start, the closest K - `most` again and again.

    Parameters
    ----------
    blocks
        For each matrix that the sites sent: the records of each site, and the (K, p, p) centred
        sums of products.
    most
        Sites that may lie, fewer than K / 3.

    Assumptions: more than two thirds of the sites send what their rows give, and their
    covariances share more with each other than with the liars'. Liars who stay within that
    spread are not seen.

    References
    ----------
    Rousseeuw and Van Driessen (1999), A fast algorithm for the minimum covariance determinant
    estimator; Anderson (2003), Multivariate Statistical Analysis, section 10.8.
    """
    covariances = [_scaled(counts, products) for counts, products in blocks]
    correlations = [(n, _correlations(stack)) for n, stack in covariances if stack.shape[1] > 1]
    return np.maximum(_relative(covariances, most, 1), _relative(correlations, most, -1))


def _relative(blocks: Sequence[tuple[Vector, _Stack]], most: int, sign: int) -> Vector:
    """The summed distances over their limit; `sign` is -1 where variances are none of the sum."""
    free = [p * (p + sign) // 2 for p in (stack.shape[1] for _, stack in blocks)]
    if not sum(free):
        return np.zeros(len(blocks[0][0]) if blocks else 1)
    distances = np.sum([_from_shared(n, stack, most) for n, stack in blocks], axis=0)
    distances = distances * max(free) / sum(free)
    num_sites, largest = len(distances), max(free)
    share = (num_sites - most) / num_sites
    closest = np.sort(distances)[: num_sites - most]
    spread = max(1.0, float(np.median(closest)) / _chi_square(0.5 * share, largest))
    slack = 1.0 + (SLACK - 1.0) * min(1.0, 2.0 * (spread - 1.0))
    limit = spread * slack * _chi_square(1.0 - LEVEL / num_sites, largest)
    relative: Vector = distances / limit
    return relative


def _from_shared(records: Vector, stack: _Stack, most: int) -> Vector:
    stack = stack + RIDGE * np.eye(stack.shape[1])
    return _distances(records, stack, _shared(records, stack, len(records) - most))


def _shared(records: Vector, stack: _Stack, num_close: int) -> Matrix:
    """The covariance of the sites that agree most."""
    best: tuple[float, Matrix] | None = None
    for start in range(0, len(stack), -(-len(stack) // STARTS)):
        centre, closest = stack[start], np.arange(0)
        for _ in range(STEPS):
            distances = _distances(records, stack, centre)
            closer = np.sort(np.argsort(distances, kind="stable")[:num_close])
            if np.array_equal(closer, closest):
                break
            closest = closer
            centre = np.average(stack[closest], axis=0, weights=records[closest])
        within = float(_distances(records, stack, centre)[closest].sum())
        if best is None or within < best[0] * (1.0 - 1e-9):
            best = within, centre
    if best is None:
        raise ValueError("no sites to compare")
    return best[1]


def _distances(records: Vector, stack: _Stack, centre: Matrix) -> Vector:
    inverse = np.linalg.inv(np.linalg.cholesky(centre))
    ratios = np.linalg.eigvalsh(inverse @ stack @ inverse.T)
    ratios = np.maximum(ratios, 1e-6)
    found: Vector = records * (ratios - 1.0 - np.log(ratios)).sum(axis=1)
    return found


def _scaled(counts: Sequence[int], products: _Stack) -> tuple[Vector, _Stack]:
    """Records that count, and covariances with every column in units of its median variance.

    A column that hardly any site varies in is out. One that does not vary at a site tells nothing
    there: it gets unit variance.
    """
    records = np.maximum(np.asarray(counts, dtype=float), 1.0)
    stack = products / records[:, None, None]
    variances = np.maximum(np.diagonal(stack, axis1=1, axis2=2), 0.0)
    middle = np.median(variances, axis=0)
    kept = np.flatnonzero(middle > 0.0)
    roots = np.sqrt(middle[kept])
    scaled = stack[:, kept][:, :, kept] / np.outer(roots, roots)
    scaled[:, range(len(kept)), range(len(kept))] = np.where(
        variances[:, kept] > 0.0, variances[:, kept] / middle[kept], 1.0
    )
    return records * weights(counts), scaled


def _correlations(stack: _Stack) -> _Stack:
    roots = np.sqrt(np.diagonal(stack, axis1=1, axis2=2))
    found: _Stack = stack / (roots[:, :, None] * roots[:, None, :])
    return found


def _chi_square(probability: float, free: int) -> float:
    return float(2.0 * gammaincinv(free / 2.0, probability))
