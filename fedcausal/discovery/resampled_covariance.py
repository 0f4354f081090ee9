"""Bootstrap covariances of a site's own rows, in two passes over its batches."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcausal.data.table import Table, TableSource
from fedcausal.moments.covariance import BlockCovariance
from fedcausal.schema import Schema

__all__ = ["bootstrap_covariances"]

Matrix = NDArray[np.float64]

# A feature varies when its variance, in units of the first batch's, exceeds this.
MIN_VARIANCE = 1e-9

# Pairwise deletion can leave a matrix indefinite: eigenvalues are lifted to this.
MIN_EIGENVALUE = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class _Encoding:
    """Numbers by mean and scale of the first batch; levels as indicators.

    `owner[f]` is the variable of feature f, `level[f]` its level (-1 for numbers).
    """

    owner: NDArray[np.int64]
    level: NDArray[np.int64]
    shift: Matrix
    scale: Matrix

    @classmethod
    def from_batch(cls, schema: Schema, batch: Table) -> "_Encoding":
        features = [
            (i, level)
            for i, variable in enumerate(schema)
            for level in ([-1] if variable.is_numeric else range(variable.num_levels))
        ]
        observed = ~np.isnan(batch.values)
        count = np.maximum(observed.sum(axis=0), 1)
        filled = np.where(observed, batch.values, 0.0)
        shift = filled.sum(axis=0) / count
        spread = np.sqrt((np.where(observed, batch.values - shift, 0.0) ** 2).sum(axis=0) / count)
        owner = np.array([i for i, _ in features], dtype=np.int64)
        return cls(
            owner=owner,
            level=np.array([level for _, level in features], dtype=np.int64),
            shift=shift,
            scale=np.where(spread > 0, spread, 1.0),
        )

    def features(self, batch: Table) -> tuple[Matrix, Matrix]:
        """Zero-filled features (n, p) and observation marks (n, d)."""
        observed = ~np.isnan(batch.values)
        standard = np.where(observed, (batch.values - self.shift) / self.scale, 0.0)
        indicator = batch.values[:, self.owner] == self.level
        return (
            np.where(self.level < 0, standard[:, self.owner], indicator.astype(np.float64)),
            observed.astype(np.float64),
        )


def bootstrap_covariances(
    source: TableSource, num_resamples: int, rng: np.random.Generator
) -> Iterator[BlockCovariance | None]:
    """Covariances of multinomial resamples of the rows; None where nothing varies.

    Features that do not vary in a resample are left out, and variables without features. With
    missing values the covariances are pairwise, repaired to be positive definite.

    Assumptions: rows are exchangeable; values missing completely at random.
    Privacy: functions of records; they stay at the site.
    """
    sizes = [batch.num_rows for batch in source.batches()]
    first = next(iter(source.batches()), None)
    if first is None:
        yield from (None for _ in range(num_resamples))
        return
    encoding = _Encoding.from_batch(source.schema, first)
    draws = rng.multinomial(sum(sizes), np.array(sizes) / sum(sizes), size=num_resamples)
    num_features, num_variables = len(encoding.owner), len(source.schema)
    products = np.zeros((num_resamples, num_features, num_features))
    sums = np.zeros((num_resamples, num_features, num_variables))
    counts = np.zeros((num_resamples, num_variables, num_variables))
    for position, batch in enumerate(source.batches()):
        features, observed = encoding.features(batch)
        for resample, size in enumerate(draws[:, position]):
            rows = rng.integers(batch.num_rows, size=size)
            weight = np.bincount(rows, minlength=batch.num_rows)[:, None]
            products[resample] += (features * weight).T @ features
            sums[resample] += (features * weight).T @ observed
            counts[resample] += (observed * weight).T @ observed
    for moments in zip(products, sums, counts, strict=True):
        yield _block_covariance(source.schema, encoding, *moments)


def _block_covariance(
    schema: Schema, encoding: _Encoding, products: Matrix, sums: Matrix, counts: Matrix
) -> BlockCovariance | None:
    owner = encoding.owner
    pairs = np.maximum(counts[np.ix_(owner, owner)], 1.0)
    mean = sums[:, owner] / pairs
    covariance = products / pairs - mean * mean.T
    varying = np.flatnonzero(np.diagonal(covariance) > MIN_VARIANCE)
    blocks = {
        variable.name: kept
        for i, variable in enumerate(schema)
        if (kept := _independent(varying[owner[varying] == i], encoding.level))
    }
    rows = [row for kept in blocks.values() for row in kept]
    if not rows:
        return None
    chosen = covariance[np.ix_(rows, rows)]
    deviation = np.sqrt(np.diagonal(chosen))
    correlation = chosen / np.outer(deviation, deviation)
    if counts.min() < counts.max():
        correlation = _positive_definite(correlation)
    usable = [schema.index(name) for name in blocks]
    places = iter(range(len(rows)))
    return BlockCovariance(
        names=tuple(blocks),
        blocks={name: tuple(next(places) for _ in kept) for name, kept in blocks.items()},
        covariance=correlation,
        num_records=np.maximum(counts[np.ix_(usable, usable)] - 1.0, 0.0),
    )


def _independent(features: NDArray[np.int64], level: NDArray[np.int64]) -> list[int]:
    """A variable's features without the first level that occurs, which the others determine."""
    return [int(f) for f in (features[1:] if np.any(level[features] >= 0) else features)]


def _positive_definite(correlation: Matrix) -> Matrix:
    values, vectors = np.linalg.eigh(correlation)
    repaired = (vectors * np.maximum(values, MIN_EIGENVALUE)) @ vectors.T
    deviation = np.sqrt(np.diagonal(repaired))
    return np.asarray(repaired / np.outer(deviation, deviation))
