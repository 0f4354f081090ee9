"""The sums of products in a vector, as matrices that can be checked and compared between sites."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fedcausal.data.table import Matrix, Vector
from fedcausal.model.families import Families, is_centred, layouts_of
from fedcausal.model.family_basis import UNIT as FAMILY_UNIT
from fedcausal.moments.basis import UNIT as BASIS_UNIT
from fedcausal.moments.scatter import SCATTER_UNIT, STANDARD_UNIT
from fedcausal.statistics.gram_kind import GramKind, basis_of, effects_of
from fedcausal.statistics.gram_layout import CentredLayout
from fedcausal.statistics.kind import Request
from fedcausal.study import Study
from fedcausal_privacy.statistic_spec import IntVector

__all__ = ["Moments", "moments_of"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Moments:
    """One matrix of centred sums of products, with what must bound it.

    Attributes
    ----------
    name
        Whose products these are, for a message.
    num_records
        Records behind the matrix.
    sums, sum_limits
        (p,) sum of each column, and the most that its records allow.
    square_limits
        (p,) the most that a sum of squares about the mean can be.
    products
        (p, p) sums of products about the means, in columns scaled to [-1, 1] at most.
    norms
        (p, p) the largest that Cauchy and Schwarz allow |products| to be.
    grid
        One step of the grid that a product was rounded to.
    is_complete
        Whether all products are over the same records, so that the matrix has no negative
        eigenvalue.
    """

    name: str
    num_records: int
    sums: Vector
    sum_limits: Vector
    square_limits: Vector
    products: Matrix
    norms: Matrix
    grid: float
    is_complete: bool


def moments_of(study: Study, request: Request, vector: IntVector) -> Iterator[Moments]:
    """The matrices of a vector (a site's, or a total): of a Gram one, of families one each.

    Kinds that hold no such sums, and sums about zero (`site_effects = "pool"`), have none.
    """
    if request.kind == GramKind.name and effects_of(study, request) != "pool":
        yield _of_gram(study, request, vector)
    elif request.kind == Families.name and is_centred(study):
        yield from _of_families(study, request, vector)


def _of_gram(study: Study, request: Request, vector: IntVector) -> Moments:
    layout = CentredLayout(basis_of(study, request))
    is_standard = effects_of(study, request) == "standardize"
    unit = STANDARD_UNIT if is_standard else SCATTER_UNIT
    squares = np.maximum(vector[layout.squares], 0) / unit
    owners, counts = layout.basis.owners, vector[layout.counts]
    crossed = squares[:, owners]
    bounds = np.array([feature.bound for feature in layout.basis.features], dtype=float)
    return Moments(
        name="the Gram",
        num_records=int(vector[0]),
        sums=vector[layout.sums].astype(float),
        sum_limits=bounds * np.maximum(vector[layout.observed], 0)[owners],
        square_limits=np.maximum(np.diag(counts), 0)[owners]
        * _largest_square(bounds, is_standard),
        products=vector[layout.products] / unit,
        norms=np.sqrt(crossed * crossed.T),
        grid=1.0 / unit,
        is_complete=bool(np.all(counts == vector[0])),
    )


def _largest_square(bounds: Vector, is_standard: bool) -> Vector:
    """Of one record about the mean, scaled: a quarter of its range; in standard units, 1."""
    return np.ones(len(bounds)) if is_standard else np.maximum((bounds / BASIS_UNIT) ** 2, 0.25)


def _of_families(study: Study, request: Request, vector: IntVector) -> Iterator[Moments]:
    for layout in layouts_of(study, request):
        m = layout.family.num_columns
        upper = np.triu_indices(m)
        products: Matrix = np.zeros((m, m))
        products[upper] = vector[layout.first_product : layout.end] / float(FAMILY_UNIT) ** 2
        products = np.triu(products) + np.triu(products, 1).T
        roots = np.sqrt(np.maximum(np.diag(products), 0.0))
        counts = np.maximum(vector[layout.first_count : layout.first_product], 0)
        yield Moments(
            name=f"the family of {layout.family.node}",
            num_records=int(vector[layout.start]),
            sums=vector[layout.first_sum : layout.first_count].astype(float),
            sum_limits=np.array(layout.family.units(), dtype=float) * counts,
            square_limits=np.full(m, float(max(vector[layout.start], 0))),
            products=products,
            norms=np.outer(roots, roots),
            grid=float(FAMILY_UNIT) ** -2,
            is_complete=True,
        )
