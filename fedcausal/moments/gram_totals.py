"""Released totals of the Gram in natural scale, and the block covariance they give."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from fedcausal.data.table import Matrix, Vector
from fedcausal.errors import DataError
from fedcausal.moments.basis import Basis, IntMatrix
from fedcausal.moments.covariance import BlockCovariance

__all__ = ["GramTotals", "block_covariance", "matrix_findings", "nearest_correlation"]

EIGENVALUE_FLOOR = 1e-8
"""Smallest eigenvalue of a usable correlation matrix; Cholesky in float64 succeeds above it."""

COLLINEAR = 1e-7
"""Eigenvalues this close to zero are exact dependences: the grid of features blurs them less."""

MIN_LOADING = 0.05
"""A column takes part in a dependence when its loading exceeds this."""

DETERMINED = 1e-6
"""A polynomial with less variance of its own than this tells nothing new."""


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

    What was raised, what is collinear and which variables do not vary everywhere is in `notes`.

    Assumptions: values missing completely at random.

    Raises
    ------
    DataError
        When a variable is constant at every site, or no site has it, or there are no more records
        than features.

    References
    ----------
    Lauritzen (1996), Graphical Models; pairwise deletion: Little and Rubin (2019), section 3.4.
    """
    reasons = _unusable_features(totals)
    _refuse_dead_variables(totals, reasons)
    reasons.update(_unpaired_variables(totals, reasons))
    correlation = _correlation(totals)
    reasons.update(_needless_polynomials(totals.basis, correlation, reasons))
    basis = totals.basis
    kept = [i for i in range(basis.num_features) if i not in reasons]
    names = tuple(dict.fromkeys(basis.features[i].variable for i in kept))
    chosen = [basis.schema.index(name) for name in names]
    blocks: dict[str, tuple[int, ...]] = {
        name: tuple(k for k, i in enumerate(kept) if basis.features[i].variable == name)
        for name in names
    }
    records = np.maximum(totals.counts - totals.num_means, 0)[np.ix_(chosen, chosen)]
    _refuse_too_few(records, len(kept))
    chosen_matrix = correlation[np.ix_(kept, kept)]
    labels = [basis.features[i].label for i in kept]
    responses = {
        name: tuple(k for k in rows if basis.features[kept[k]].degree == 1)
        for name, rows in blocks.items()
    }
    return BlockCovariance(
        names=names,
        blocks=blocks,
        covariance=nearest_correlation(chosen_matrix),
        num_records=records.astype(np.float64),
        dropped=tuple((basis.features[i].label, reasons[i]) for i in sorted(reasons)),
        responses=responses,
        notes=(*_absences(totals, names), *matrix_findings(chosen_matrix, labels)),
    )


def matrix_findings(matrix: Matrix, labels: Sequence[str]) -> tuple[str, ...]:
    """What is wrong with a correlation matrix, as sentences that name its columns.

    >>> matrix_findings(np.array([[1.0, 1.0], [1.0, 1.0]]), ["weight", "mass"])[0][:34]
    'weight and mass are collinear: eac'
    """
    if not len(matrix):
        return ()
    eigenvalues, vectors = np.linalg.eigh(matrix)
    found = []
    for k in np.flatnonzero(np.abs(eigenvalues) < COLLINEAR):
        involved = np.flatnonzero(np.abs(vectors[:, k]) > MIN_LOADING).tolist()
        found.append(
            f"{_listed([labels[i] for i in involved])} are collinear: each is a linear function "
            "of the others, so edges between and around them are arbitrary; remove one of them"
        )
    if eigenvalues[0] <= -COLLINEAR:
        involved = np.flatnonzero(np.abs(vectors[:, 0]) > MIN_LOADING).tolist()
        found.append(
            f"The pairs' sums of {_listed([labels[i] for i in involved])} rest on different "
            f"records and fit no single covariance (smallest eigenvalue {eigenvalues[0]:.2g}); it "
            "was replaced by a positive definite one close to it: treat their edges with care, or "
            "remove the one that is missing most often"
        )
    return tuple(found)


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else "".join(names)


def _absences(totals: GramTotals, names: Sequence[str]) -> Iterator[str]:
    """Variables that do not vary at every site, where each site subtracts its own means."""
    sites = np.diag(totals.num_means)
    for name in names if sites.max() > 1 else ():
        varying = int(sites[totals.basis.schema.index(name)])
        if varying < totals.num_sites:
            yield (
                f"{name} is constant or missing at {totals.num_sites - varying} of "
                f"{totals.num_sites} sites, which add nothing to its pairs"
            )


def _needless_polynomials(
    basis: Basis, correlation: Matrix, reasons: Mapping[int, str]
) -> dict[int, str]:
    """Polynomials that lower degrees of the same variable determine: it has few values."""
    more: dict[int, str] = {}
    for name in basis.schema.names:
        kept: list[int] = []
        for i in (i for i in basis.block(name) if i not in reasons):
            if basis.features[i].degree > 1 and kept:
                cross = correlation[kept, i]
                inner = correlation[np.ix_(kept, kept)]
                if 1.0 - cross @ np.linalg.solve(inner, cross) < DETERMINED:
                    more[i] = f"determined by lower degrees of {name}"
                    continue
            kept.append(i)
    return more


def _refuse_too_few(records: IntMatrix, num_features: int) -> None:
    if records.size and records.max() <= num_features:
        raise DataError(
            f"discovery: expected more records than features, got {int(records.max())} (after "
            f"the sites' means) for {num_features}; let more sites join, remove variables, or "
            "choose a lower discovery.basis"
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
        if not totals.observed[v]:
            raise DataError(f"{name}: no site has it; remove variables.{name} from the study")
        is_numeric = basis.schema[name].is_numeric
        seen = ", seen to a millionth of its bounds" if is_numeric else ""
        remedy = f", or narrow variables.{name}.bounds" if is_numeric else ""
        raise DataError(
            f"{name}: it is constant at every site{seen}; remove variables.{name} from the "
            f"study{remedy}"
        )


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
