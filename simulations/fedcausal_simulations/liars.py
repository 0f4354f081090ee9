"""Simulated sites that lie: what a site sends instead of what its rows give."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np

from fedcausal.model.families import Families, layouts_of
from fedcausal.statistics.gram_kind import GramKind, basis_of
from fedcausal.statistics.gram_layout import CentredLayout
from fedcausal.statistics.kind import Request
from fedcausal.study import Study
from fedcausal_privacy.statistic_spec import IntVector

__all__ = ["Lie", "lying", "told"]

Lie = Literal["scaled", "swollen", "flipped", "negated", "fewer"]

FACTORS: Mapping[str, int] = {"scaled": 1000, "swollen": 10}
FEWER = 5


def told(lie: Lie, study: Study, request: Request, vector: IntVector) -> IntVector:
    """What a liar sends for a centred Gram or for families; the truth for all else.

    scaled: products a thousand times too large, beyond what rows can give. swollen: ten times,
    which bounds may allow. flipped: as if every other variable had the other sign, which rows
    could give. negated: all numbers with the other sign. fewer: a fifth of the records, with the
    products of all.
    """
    if request.kind not in (GramKind.name, Families.name):
        return vector
    if lie == "negated":
        return -vector
    found = vector.copy()
    for products, signs, counts in _places(study, request):
        if lie == "flipped":
            found[products] = vector[products] * signs
        elif lie == "fewer":
            found[counts] = vector[counts] // FEWER
        else:
            found[products] = vector[products] * FACTORS[lie]
    return found


@contextmanager
def lying(lies: Mapping[str, Lie]) -> Iterator[None]:
    """Let simulated sites lie, by name, in this process (in-process engine).

    Privacy: only sites of a simulation; a real site runs in a process of its own.
    """
    from fedcausal_clients import site_node

    honest = site_node._vector

    def vector(home: Any, study: Study, asked: Any, *rest: Any) -> IntVector:
        true = honest(home, study, asked, *rest)
        lie = lies.get(home.name) if home.config.simulation is not None else None
        return true if lie is None else told(lie, study, asked.request, true)

    vars(site_node)["_vector"] = vector
    try:
        yield
    finally:
        vars(site_node)["_vector"] = honest


def _places(study: Study, request: Request) -> Iterator[tuple[IntVector, IntVector, IntVector]]:
    """Per matrix: where its products (and squares) stand, their signs, and its counts."""
    sign = {name: -1 if i % 2 else 1 for i, name in enumerate(study.schema().names)}
    if request.kind == GramKind.name:
        layout = CentredLayout(basis_of(study, request))
        owners = [sign[feature.variable] for feature in layout.basis.features]
        products = layout.products[np.triu_indices(len(owners))]
        squares = layout.squares.ravel()
        signs = np.outer(owners, owners)[np.triu_indices(len(owners))]
        yield (
            np.concatenate([products, squares]),
            np.concatenate([signs, np.ones(len(squares), dtype=np.int64)]),
            np.concatenate([[0], layout.observed, np.unique(layout.counts)]),
        )
        return
    for family in layouts_of(study, request):
        own = [np.prod([sign[name] for name in names]) for names in family.family.column_variables]
        signs = np.outer(own, own)[np.triu_indices(len(own))]
        counts = [family.start, *range(family.first_count, family.first_product)]
        yield np.arange(family.first_product, family.end), signs, np.array(counts)
