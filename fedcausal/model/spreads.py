"""The statistic "spreads": how the size of the residuals follows from the parents."""

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np

from fedcausal.data.table import Table, TableSource
from fedcausal.errors import ProtocolError
from fedcausal.model.families import is_centred
from fedcausal.model.family_basis import FloatArray
from fedcausal.model.family_gram import FamilyGram, decode_layout
from fedcausal.model.family_layout import MAX_PRODUCT, FamilyLayout, FamilySums, family_layouts
from fedcausal.model.fitted_mean import FittedMean, means_of, requested_means
from fedcausal.model.gram_fit import COEFFICIENT_STEPS, least_squares, smooth
from fedcausal.model.mechanism import Mechanism, NumericMechanism
from fedcausal.model.scaled_noise import ScaledNoiseMechanism
from fedcausal.model.spread import Spread, log_size, spread_family
from fedcausal.statistics.gram_kind import max_rows_per_site
from fedcausal.statistics.kind import Request
from fedcausal.study import Study
from fedcausal_privacy.statistic_spec import IntVector, Released, StatisticSpec

__all__ = ["Spreads", "decode_spreads", "spreads_request", "with_spreads"]


class Spreads:
    """The request for Grams of the log sizes of residuals and a small basis of their parents.

    Per numeric node with parents: what "families" holds of a family (`FamilyLayout`), with the
    log size of its residual about the fitted mean in the node's place.

    Privacy: leaves a site only through the gate and a secure sum, under the guards of the
    families: the columns of the parents are the same functions of their values, and a log size
    is one bounded number of a complete record.
    """

    name: ClassVar[str] = "spreads"
    part: ClassVar[Literal["graph", "model", "effects"]] = "effects"

    def spec(self, study: Study, request: Request, num_sites: int) -> StatisticSpec:
        """The public shape, bounds, counts and guards of the vector."""
        layouts = [layout for _, layout in _layouts(study, request)]
        return StatisticSpec(
            name=request.id(),
            length=layouts[-1].end,
            bound=max_rows_per_site(study, num_sites) * MAX_PRODUCT,
            min_cell=study.privacy.min_cell,
            counts=tuple(i for layout in layouts for i in layout.counts()),
            tables=tuple(t for layout in layouts for t in layout.count_tables()),
            guards=tuple(g for layout in layouts for g in layout.guards()),
            presence=tuple(i for layout in layouts for i in layout.presence),
        )

    def compute(
        self, study: Study, request: Request, source: TableSource, rng: np.random.Generator
    ) -> IntVector:
        """The site's vector."""
        placed = _layouts(study, request)
        totals = [layout.zero() for _, layout in placed]
        for batch in source.batches():
            totals = [
                total + _sums(mean, layout, batch)
                for total, (mean, layout) in zip(totals, placed, strict=True)
            ]
        return np.concatenate(
            [layout.vector(t) for t, (_, layout) in zip(totals, placed, strict=True)]
        )

    def width(self, study: Study, request: Request) -> int:
        """Parameters of the widest of these families."""
        return max(layout.family.width for _, layout in _layouts(study, request))


def spreads_request(families: Request, mechanisms: Mapping[str, Mechanism]) -> Request | None:
    """Ask for the sizes of residuals about means fitted to the answer of `families`.

    None when no numeric node has parents.
    """
    below = {n: m for n, m in mechanisms.items() if m.family.basis.terms}
    means = means_of(below)
    if not means:
        return None
    return Request(kind=Spreads.name, parameters={**families.parameters, "means": means})


def decode_spreads(
    study: Study, request: Request, released: Released, num_sites: int
) -> dict[str, Spread]:
    """The spread of every node where Schwarz's criterion says that it is not constant.

    A node whose sums were withheld keeps a constant one.
    """
    found: dict[str, Spread] = {}
    for _, layout in _layouts(study, request):
        if released.withheld[layout.start] or released.totals[layout.start] == 0:
            continue
        gram = decode_layout(layout, released, num_sites if layout.is_centred else 1)
        spread = _fitted(gram)
        if spread is not None:
            found[layout.family.node] = spread
    return found


def with_spreads(
    mechanisms: Mapping[str, Mechanism], spreads: Mapping[str, Spread]
) -> dict[str, Mechanism]:
    """The mechanisms with spreads of their own where there are any; the others as they are."""
    return {
        node: _scaled(m, spreads[node])
        if isinstance(m, NumericMechanism) and node in spreads
        else m
        for node, m in mechanisms.items()
    }


def _scaled(mechanism: NumericMechanism, spread: Spread) -> ScaledNoiseMechanism:
    return ScaledNoiseMechanism(
        family=mechanism.family,
        coefficients=mechanism.coefficients,
        covariance=mechanism.covariance,
        residual=mechanism.residual,
        dropped=mechanism.dropped,
        spread=spread,
    )


def _layouts(study: Study, request: Request) -> list[tuple[FittedMean, FamilyLayout]]:
    means = requested_means(study, request)
    if any(mean.spread is not None or not mean.family.basis.terms for mean in means):
        raise ProtocolError("spreads: means: expected nodes with parents, and no spread yet")
    families = [spread_family(mean.family) for mean in means]
    layouts = family_layouts(families, is_centred=is_centred(study))
    return list(zip(means, layouts, strict=True))


def _sums(mean: FittedMean, layout: FamilyLayout, batch: Table) -> FamilySums:
    mean.family.check_ranges({name: batch.column(name) for name in mean.family.members})
    values = batch.values.copy()
    own = batch.schema.index(layout.family.node)
    values[:, own] = log_size(mean.residuals(batch), mean.sd)
    return layout.sums_of(Table(batch.schema, values))


def _fitted(gram: FamilyGram) -> Spread | None:
    """The regression of the log size that Schwarz's criterion chooses; None for a constant."""
    first, price = gram.family.basis.num_features, float(np.log(gram.num_records))
    total = float(gram.products[first, first])
    best, slopes = 0.0, np.zeros(first)
    for found, effective in _candidates(gram):
        shared = float(gram.products[first, :first] @ found)
        bent = float(found @ gram.products[:first, :first] @ found)
        left = max(total - 2.0 * shared + bent, 1e-300)
        gain = gram.num_records * float(np.log(total / left)) if total > 0.0 else 0.0
        if gain - price * effective > best:
            best, slopes = gain - price * effective, found
    if best <= 0.0:
        return None
    intercept = gram.means[first] - gram.means[:first] @ slopes
    rounded = np.rint(np.array([intercept, *slopes]) * COEFFICIENT_STEPS) / COEFFICIENT_STEPS
    return Spread(basis=gram.family.basis, coefficients=rounded)


def _candidates(gram: FamilyGram) -> list[tuple[FloatArray, float]]:
    """Slopes and their number: splines or lines (whichever is better), or two degrees."""
    basis = gram.family.basis
    if basis.knots:
        slopes, _, effective = smooth(gram)
        return [(slopes[:, 0], effective)]
    found = []
    for degree in range(1, basis.degree + 1):
        within = np.array([term[0].degree <= degree for term in basis.terms])
        slopes, _, effective = least_squares(replace(gram, usable=gram.usable & within))
        found.append((slopes[:, 0], effective))
    return found
