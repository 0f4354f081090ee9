"""Released totals of the Gram in natural scale, and the block covariance they give."""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from fedcausal.basis import Basis, IntMatrix
from fedcausal.covariance import BlockCovariance
from fedcausal.errors import DataError
from fedcausal.table import Matrix, Vector

__all__ = ["GramTotals", "block_covariance", "nearest_correlation"]

EIGENVALUE_FLOOR = 1e-8
"""Smallest eigenvalue of a usable correlation matrix; Cholesky in float64 succeeds above it."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GramTotals:
    """What the coordinator learns from one released Gram (p features, d variables).

    Attributes
    ----------
    num_rows
        Records of all sites (0 when withheld).
    observed
        (d,) records that have each variable.
    counts
        (d, d) records that count for each pair: both variables observed, and varying at the site.
    num_means
        (d, d) means subtracted for each pair: one per site that has it, or one when pooled.
    sums
        (p,) integer sums of each feature over all sites.
    products, squares
        (p, p) and (p, d) centred sums in units of the scaled features.
    withheld_features, withheld_products
        (p,) and (p, p): what the cell rule withheld.
    """

    basis: Basis
    num_sites: int
    num_rows: int
    observed: NDArray[np.int64]
    counts: IntMatrix
    num_means: IntMatrix
    sums: NDArray[np.int64]
    products: Matrix
    squares: Matrix
    withheld_features: NDArray[np.bool_]
    withheld_products: NDArray[np.bool_]

    def __post_init__(self) -> None:
        for name in (f.name for f in fields(self)):
            array = getattr(self, name)
            if isinstance(array, np.ndarray):
                array = array.copy()
                array.setflags(write=False)
                object.__setattr__(self, name, array)

    def means(self) -> Vector:
        """(p,) mean of each scaled feature over all sites; NaN where withheld or unobserved."""
        records = self.observed[self.basis.owners]
        known = (records > 0) & ~self.withheld_features
        means: Vector = np.full(len(records), np.nan)
        np.divide(self.sums / self.basis.units, records, out=means, where=known)
        return means


def block_covariance(totals: GramTotals) -> BlockCovariance:
    """The correlation-like matrix over all usable features.

    r_ij = S_ij / sqrt(S_ii S_jj), all three over the records of the pair; without missing values
    this is the correlation matrix of the centred features. One level of each complete categorical
    variable is left out (the first), for its indicator is a constant less the others. With
    missing values the matrix may have negative eigenvalues: they are raised, the unit diagonal is
    restored.

    Assumptions: values missing completely at random.

    Raises
    ------
    DataError
        When a variable is constant at every site, or no site has it.

    References
    ----------
    Lauritzen (1996), Graphical Models; pairwise deletion: Little and Rubin (2019), section 3.4.
    """
    reasons = _unusable_features(totals)
    _refuse_dead_variables(totals, reasons)
    reasons.update(_unpaired_variables(totals, reasons))
    basis = totals.basis
    kept = [i for i in range(basis.num_features) if i not in reasons]
    names = tuple(dict.fromkeys(basis.features[i].variable for i in kept))
    chosen = [basis.schema.index(name) for name in names]
    blocks: dict[str, tuple[int, ...]] = {
        name: tuple(k for k, i in enumerate(kept) if basis.features[i].variable == name)
        for name in names
    }
    records = np.maximum(totals.counts - totals.num_means, 0)[np.ix_(chosen, chosen)]
    return BlockCovariance(
        names=names,
        blocks=blocks,
        covariance=nearest_correlation(_correlation(totals)[np.ix_(kept, kept)]),
        num_records=records.astype(np.float64),
        dropped=tuple((basis.features[i].label, reasons[i]) for i in sorted(reasons)),
    )


def nearest_correlation(matrix: Matrix, *, floor: float = EIGENVALUE_FLOOR) -> Matrix:
    """Raise eigenvalues below `floor`, then restore the unit diagonal; else return as is."""
    if not len(matrix):
        return matrix
    eigenvalues, vectors = np.linalg.eigh(matrix)
    if eigenvalues[0] >= floor:
        return matrix
    # Rescaling to a unit diagonal shrinks eigenvalues, by at most the largest diagonal entry.
    clipped = np.maximum(eigenvalues, 2 * floor * max(1.0, _excess(eigenvalues)))
    repaired: Matrix = (vectors * clipped) @ vectors.T
    scale = np.sqrt(np.diag(repaired))
    repaired = repaired / np.outer(scale, scale)
    repaired = (repaired + repaired.T) / 2
    np.fill_diagonal(repaired, 1.0)
    return repaired


def _excess(eigenvalues: Vector) -> float:
    """By how much clipping can inflate the diagonal."""
    return float(1.0 - np.minimum(eigenvalues, 0.0).sum())


def _correlation(totals: GramTotals) -> Matrix:
    deviations = np.sqrt(np.maximum(totals.squares, 0.0))[:, totals.basis.owners]
    norms = deviations * deviations.T
    correlation: Matrix = np.zeros_like(totals.products)
    np.divide(totals.products, norms, out=correlation, where=norms > 0)
    np.clip(correlation, -1.0, 1.0, out=correlation)
    np.fill_diagonal(correlation, 1.0)
    return correlation


def _unusable_features(totals: GramTotals) -> dict[int, str]:
    """Feature -> why it is left out: withheld, constant, or the reference of its variable."""
    basis = totals.basis
    reasons: dict[int, str] = {}
    for name in basis.schema.names:
        block, own = basis.block(name), basis.schema.index(name)
        for i in block:
            if totals.withheld_features[i] or totals.withheld_products[i, i]:
                reasons[i] = "withheld: too few records"
            elif totals.squares[i, own] <= 0:
                reasons[i] = "constant at every site"
        usable = [i for i in block if i not in reasons]
        has_withheld = any(reasons.get(i, "").startswith("withheld") for i in block)
        if not basis.schema[name].is_numeric and usable and not has_withheld:
            reasons[usable[0]] = "reference level"
    return reasons


def _refuse_dead_variables(totals: GramTotals, reasons: dict[int, str]) -> None:
    basis = totals.basis
    for v, name in enumerate(basis.schema.names):
        block = basis.block(name)
        if any(reasons.get(i, "") != "constant at every site" for i in block):
            continue
        fault = "no site has it" if not totals.observed[v] else "it is constant at every site"
        raise DataError(f"{name}: {fault}; remove variables.{name} from the study")


def _unpaired_variables(totals: GramTotals, reasons: dict[int, str]) -> dict[int, str]:
    """Leave out variables, worst first, until every remaining pair has records and no secrets."""
    basis, more = totals.basis, dict[int, str]()
    unpaired = _unpaired(totals, [i for i in range(basis.num_features) if i not in reasons])
    while unpaired.any():
        lacking = unpaired.sum(axis=0)
        worst = max(range(len(lacking)), key=lambda v: (lacking[v], -totals.observed[v], v))
        other = basis.schema.names[int(np.argmax(unpaired[worst]))]
        for i in basis.block(basis.schema.names[worst]):
            more.setdefault(i, reasons.get(i, f"too few records together with {other}"))
        unpaired[worst, :] = unpaired[:, worst] = False
    return more


def _unpaired(totals: GramTotals, usable: list[int]) -> NDArray[np.bool_]:
    """(d, d): pairs of usable variables without records to spare or with a withheld sum."""
    owners = totals.basis.owners[usable]
    unpaired = np.zeros_like(totals.counts, dtype=bool)
    alive = np.unique(owners)
    square = np.ix_(alive, alive)
    unpaired[square] = (totals.counts <= totals.num_means)[square]
    secret = totals.withheld_products[np.ix_(usable, usable)]
    np.logical_or.at(unpaired, (owners[:, None], owners[None, :]), secret)
    return unpaired
