"""What a noisy Gram says: a covariance that is positive definite, and how large its noise is."""

from dataclasses import dataclass

import numpy as np

from fedcausal.data.table import Matrix, Vector
from fedcausal.moments.covariance import BlockCovariance, GramNoise
from fedcausal.private.private_features import PrivateFeatures
from fedcausal.private.unclipping import unclipped

__all__ = ["NoisyTotals", "draw_noise", "noisy_covariance", "repaired"]

SMALLEST_VARIANCE = 0.05
"""Of a feature whose variance is about 1: below it noise is all there is to see."""

FLOOR = 1e-2
LOST = 0.3
"""Noise of a correlation above which a feature is named as drowned."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NoisyTotals:
    """A released noisy Gram in natural units.

    Attributes
    ----------
    num_records
        The noisy count of complete records.
    sums, products
        (p,) and (p, p) noisy sums of clipped features.
    deviation, sum_deviation
        Standard deviation of the noise of an entry of `products` (the root of 2 more on the
        diagonal) and of `sums`.
    """

    features: PrivateFeatures
    num_records: float
    sums: Vector
    products: Matrix
    deviation: float
    sum_deviation: float
    num_sites: int


def noisy_covariance(totals: NoisyTotals) -> BlockCovariance:
    """Correlations of the features, positive definite, with the noise that is in them.

    `num_records` is the effective number 1 / (1 / n + t^2), t the noise of a correlation, for
    searches that know of no noise; `noise` says the rest. What clipping bent is straightened as
    for normal rows. Everything is post-processing of one
    release: free of further privacy loss.
    """
    records = totals.num_records
    means = totals.sums / records
    covariance = totals.products / records - np.outer(means, means)
    variances = np.maximum(np.diagonal(covariance), SMALLEST_VARIANCE)
    deviations = totals.deviation / records / variances
    if totals.features.radius < totals.features.largest_norm:
        covariance = unclipped(covariance, totals.features.radius)
        variances = np.maximum(np.diagonal(covariance), SMALLEST_VARIANCE)
    matrix = covariance / np.sqrt(np.outer(variances, variances))
    np.fill_diagonal(matrix, 1.0)
    names = totals.features.schema.names
    blocks = totals.features.blocks
    noise = GramNoise(deviations=deviations, num_records=records)
    effective = np.array(
        [1.0 / (1.0 / records + float(np.mean(deviations[list(blocks[n])])) ** 2) for n in names]
    )
    return BlockCovariance(
        names=names,
        blocks=blocks,
        covariance=repaired(matrix, noise.floor),
        num_records=np.minimum.outer(effective, effective),
        responses=totals.features.responses,
        notes=_notes(totals, noise),
        noise=noise,
    )


def draw_noise(noise: GramNoise, rng: np.random.Generator, shape: tuple[int, ...] = ()) -> Matrix:
    """Symmetric matrices of the noise's law, (*shape, p, p): to simulate it, never to hide."""
    size = len(noise.deviations)
    drawn = rng.standard_normal((*shape, size, size))
    # (G + G') / sqrt 2 has variance 1 off the diagonal and 2 on it.
    symmetric = (drawn + np.swapaxes(drawn, -1, -2)) / np.sqrt(2.0)
    root = np.sqrt(noise.deviations)
    scaled: Matrix = symmetric * np.outer(root, root)
    return scaled


def repaired(matrix: Matrix, floor: float) -> Matrix:
    """The matrix with eigenvalues of at least `floor` and a unit diagonal."""
    eigenvalues, vectors = np.linalg.eigh(matrix)
    raised = (vectors * np.maximum(eigenvalues, floor)) @ vectors.T
    scale = np.sqrt(np.diagonal(raised))
    found: Matrix = raised / np.outer(scale, scale)
    found = (found + found.T) / 2.0
    np.fill_diagonal(found, 1.0)
    return found


def _notes(totals: NoisyTotals, noise: GramNoise) -> tuple[str, ...]:
    size, records = noise.typical, totals.num_records
    effective = 1.0 / (1.0 / records + size**2)
    said = [
        f"The graph was learnt from one noisy Gram: noise of {size:.2g} in a correlation, which "
        f"about {records:.0f} records tell as well as {effective:.0f} would without it. Rows with "
        "a missing value were left out"
    ]
    schema, blocks = totals.features.schema, totals.features.blocks
    drowned = [n for n in schema.names if float(noise.deviations[list(blocks[n])].min()) > LOST]
    if drowned:
        said.append(
            f"{', '.join(drowned)}: more noise than signal; edges of these variables are "
            "arbitrary. Narrow their bounds, raise privacy.graph.epsilon, or use fewer variables"
        )
    return tuple(said)
