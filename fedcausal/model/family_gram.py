"""The released Gram of one family: means and products about them, ready for regression."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcausal.errors import FedCausalError
from fedcausal.model.families import is_centred, layouts_of
from fedcausal.model.family_basis import UNIT, Family, FloatArray
from fedcausal.model.family_layout import FamilyLayout, centre
from fedcausal.statistics.kind import Request
from fedcausal.study import Study
from fedcausal_privacy.statistic_spec import Released

__all__ = ["FamilyGram", "decode_families", "decode_layout"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyGram:
    """Pooled means of a family's columns and their products about the (site) means.

    Attributes
    ----------
    family
        The node, its parents and the meaning of the columns (features first).
    num_records, num_means
        Complete records, and how many means each column was centred by (sites, or 1).
    means
        (num_columns,) pooled means.
    products
        (num_columns, num_columns) sums of products about the means.
    usable
        (num_features,) features which no withheld cell touches; the others carry no slope.
    withheld_levels
        Levels of the node whose counts were withheld; they share evenly what is left.
    """

    family: Family
    num_records: int
    num_means: int
    means: FloatArray
    products: FloatArray
    usable: NDArray[np.bool_]
    withheld_levels: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for array in (self.means, self.products, self.usable):
            array.setflags(write=False)

    @property
    def dropped(self) -> tuple[str, ...]:
        """Labels of the features without a slope."""
        basis = self.family.basis
        return tuple(basis.label(int(i)) for i in np.flatnonzero(~self.usable))


def decode_families(
    study: Study, request: Request, released: Released, num_sites: int
) -> dict[str, FamilyGram]:
    """Read every family's Gram from the released total.

    Raises
    ------
    FedCausalError
        A family has no released record; the message names its node and what to change.
    """
    centred = is_centred(study)
    layouts = layouts_of(study, request)
    return {
        layout.family.node: decode_layout(layout, released, num_sites if centred else 1)
        for layout in layouts
    }


def decode_layout(layout: FamilyLayout, released: Released, num_means: int) -> FamilyGram:
    """Read one family's Gram from the total that holds it.

    Raises
    ------
    FedCausalError
        The family has no released record.
    """
    family, totals, centred = layout.family, released.totals, layout.is_centred
    num_records = int(totals[layout.start])
    if released.withheld[layout.start] or num_records == 0:
        raise FedCausalError(_no_records(family))
    sums = totals[layout.first_sum : layout.first_count]
    counts = totals[layout.first_count : layout.first_product] if centred else num_records
    products, known = _triangle(layout, released)
    if not centred:
        products = centre(products, sums, num_records, family.units())
    products = np.triu(products) + np.triu(products, 1).T
    known_sums = ~released.withheld[layout.first_sum : layout.first_count]
    usable = _usable(known, known_sums, family.basis.num_features)
    units = np.array(family.units(), dtype=float)
    gram = np.where(known, products / float(UNIT) ** 2, 0.0)
    levels = _withheld_levels(family, known_sums)
    return FamilyGram(
        family=family,
        num_records=num_records,
        num_means=num_means,
        means=_means(family, sums / units / np.maximum(counts, 1), levels),
        products=_spread(family, gram, known),
        usable=usable,
        withheld_levels=levels,
    )


def _triangle(
    layout: FamilyLayout, released: Released
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The products (upper triangle filled) and the symmetric mask of those that were released."""
    m = layout.family.num_columns
    upper = np.triu_indices(m)
    products = np.zeros((m, m), dtype=np.int64)
    products[upper] = released.totals[layout.first_product : layout.end]
    known = np.zeros((m, m), dtype=np.bool_)
    known[upper] = ~released.withheld[layout.first_product : layout.end]
    return products, known | known.T


def _usable(
    known: NDArray[np.bool_], known_sums: NDArray[np.bool_], num_features: int
) -> NDArray[np.bool_]:
    """Drop features until no product between two kept ones is withheld, worst first."""
    usable = known_sums[:num_features] & known.diagonal()[:num_features]
    while True:
        gaps = ~known[:num_features, :num_features] & np.multiply.outer(usable, usable)
        if not gaps.any():
            return usable
        usable[len(usable) - 1 - int(np.argmax(gaps.sum(axis=1)[::-1]))] = False


def _withheld_levels(family: Family, known_sums: NDArray[np.bool_]) -> tuple[int, ...]:
    if not family.num_levels:
        return ()
    own = known_sums[family.basis.num_features :]
    return tuple(int(level) for level in np.flatnonzero(~own))


def _means(family: Family, means: FloatArray, withheld: tuple[int, ...]) -> FloatArray:
    """Withheld levels of the node share evenly what the others leave of 1."""
    if not withheld:
        return means
    own = family.basis.num_features + np.arange(family.num_levels)
    hidden = own[list(withheld)]
    seen = np.setdiff1d(own, hidden)
    filled = means.copy()
    filled[hidden] = max(1.0 - float(means[seen].sum()), 0.0) / len(hidden)
    return filled


def _spread(family: Family, gram: FloatArray, known: NDArray[np.bool_]) -> FloatArray:
    """Products of a feature with withheld levels: an even share, since a row sums to zero."""
    if not family.num_levels:
        return gram
    first = family.basis.num_features
    filled = gram.copy()
    for i in range(first):
        hidden = first + np.flatnonzero(~known[i, first:])
        if len(hidden):
            filled[i, hidden] = -gram[i, first:].sum() / len(hidden)
            filled[hidden, i] = filled[i, hidden]
    return filled


def _no_records(family: Family) -> str:
    parents = ", ".join(family.basis.parents) or "no parents"
    return (
        f"no model of {family.node!r}: fewer complete records in it and its parents ({parents}) "
        f"than privacy.min_cell allows to show; declare fewer parents by [knowledge] or add rows"
    )
