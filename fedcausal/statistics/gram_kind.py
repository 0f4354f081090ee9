"""The "gram" statistic: one vector per site from which the whole graph is learnt."""

import math
from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np

from fedcausal.data.table import TableSource
from fedcausal.errors import DataError
from fedcausal.moments.basis import STANDARD_RANGE, UNIT, Basis
from fedcausal.moments.gram import MAX_RECORDS, Gram
from fedcausal.moments.gram_totals import GramTotals
from fedcausal.moments.scatter import SCATTER_UNIT, STANDARD_UNIT, Scatter, centred, standardized
from fedcausal.statistics.gram_layout import CentredLayout, PooledLayout
from fedcausal.statistics.kind import Request
from fedcausal.study import Study
from fedcausal_privacy.canonical import JsonValue
from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.statistic_spec import IntVector, Released, StatisticSpec

__all__ = [
    "GramKind",
    "SiteEffects",
    "basis_of",
    "compared_effects",
    "effects_of",
    "gram_release",
    "gram_request",
    "max_rows_per_site",
    "site_scales",
]

SiteEffects = Literal["center", "standardize", "pool"]

# The largest square of a scaled feature, in units of the common grid: (2^19)^2.
_SQUARE_BOUND = 2**38


class GramKind:
    """Sums of products of features, treated for site effects as the study says.

    `center`: each site subtracts its own means, exactly, before the sums are added.
    `standardize`: each site adds n r, its own correlations times its records.
    `pool`: raw integers; the total is the same for any partition of the rows over sites.

    Polynomials of a basis are of the number (or its asinh) over its public range; with
    `standardize` of the number in the site's own standard deviations, which takes a pass over the
    rows more.

    Assumptions: linear dependence between features; with missing values, missing completely at
    random (each pair of variables uses the records that have both).

    Privacy: one vector of integers leaves the site, through a secure sum. Totals of fewer than
    `min_cell` records are withheld with all that depends on them.
    """

    name: ClassVar[str] = "gram"
    part: ClassVar[Literal["graph"]] = "graph"

    def spec(self, study: Study, request: Request, num_sites: int) -> StatisticSpec:
        """The public shape and bounds of the vector."""
        layout = _layout(effects_of(study, request), basis_of(study, request))
        spec = StatisticSpec(
            name=request.id(),
            length=layout.length,
            bound=max_rows_per_site(study, num_sites) * _SQUARE_BOUND + 1,
            min_cell=study.privacy.min_cell,
            counts=layout.count_entries(),
            tables=layout.tables(),
            guards=layout.guards(),
            presence=layout.presence_entries(),
        )
        spec.check_range(num_sites)
        return spec

    def compute(
        self, study: Study, request: Request, source: TableSource, rng: np.random.Generator
    ) -> IntVector:
        """The site's vector; memory does not grow with the number of rows."""
        effects, basis = effects_of(study, request), basis_of(study, request)
        if effects == "standardize" and not basis.is_linear:
            basis = basis.with_scales(site_scales(basis, source))
        gram = Gram.from_source(basis, source)
        cap = max_rows_per_site(study, study.privacy.min_sites)
        if not 2 <= gram.num_rows <= cap:
            raise DataError(
                f"expected 2 to {cap} rows at one site, got {gram.num_rows}; "
                "check the data, or change privacy.max_rows of the study"
            )
        if effects == "pool":
            return _pooled_vector(gram)
        if effects == "standardize":
            return _centred_vector(gram, standardized(gram))
        return _centred_vector(gram, centred(gram))

    def width(self, study: Study, request: Request) -> int:
        """Number of features."""
        return basis_of(study, request).num_features


def gram_request(
    ranges: Mapping[str, tuple[float, float]] | None = None,
    *,
    site_effects: SiteEffects | None = None,
) -> Request:
    """The coordinator's request.

    `ranges` are released ones, for variables without bounds; `site_effects` asks for another
    treatment than the study declares, to compare the graphs.
    """
    public: JsonValue = {name: [lo, hi] for name, (lo, hi) in sorted((ranges or {}).items())}
    parameters: dict[str, JsonValue] = {"ranges": public}
    if site_effects is not None:
        parameters["site_effects"] = site_effects
    return Request(kind=GramKind.name, parameters=parameters)


def basis_of(study: Study, request: Request) -> Basis:
    """The basis that a request means; malformed ranges are a `ProtocolError`."""
    ranges = request.parameters.get("ranges", {})
    if not isinstance(ranges, Mapping) or set(request.parameters) - {"ranges", "site_effects"}:
        raise ProtocolError("a gram request has ranges, perhaps site effects, and nothing else")
    known = {name: _pair(value) for name, value in ranges.items()}
    return Basis.legendre(study.schema(), study.degrees(), known, study.heavy())


def effects_of(study: Study, request: Request) -> SiteEffects:
    """How a request treats site effects: as the study declares, unless it asks to compare.

    Raises
    ------
    ProtocolError
        The request asks for raw sums where the study's sites agreed to center or standardize.
    """
    wanted = request.parameters.get("site_effects", study.discovery.site_effects)
    for known in ("center", "standardize", "pool"):
        if wanted == known and (known != "pool" or study.discovery.site_effects == "pool"):
            found: SiteEffects = known
            return found
    raise ProtocolError("a gram request asks for site effects that the study does not allow")


def compared_effects(study: Study) -> SiteEffects | None:
    """The other treatment to learn a graph with: center against standardize; none for pool.

    None either where every site's sums are released by themselves: one Gram is enough then.
    """
    if study.federation.robust:
        return None
    others: dict[str, SiteEffects] = {"center": "standardize", "standardize": "center"}
    return others.get(study.discovery.site_effects)


def site_scales(basis: Basis, source: TableSource) -> dict[str, tuple[float, float]]:
    """The site's own mean and three standard deviations of every scaled number that varies."""
    linear = basis.lines()
    gram, scales = Gram.from_source(linear, source), dict[str, tuple[float, float]]()
    for i, feature in enumerate(linear.features):
        own = int(linear.owners[i])
        count, total = int(gram.counts[own, own]), int(gram.values[i, own])
        spread = count * int(gram.squares[i, own]) - total * total
        if feature.level is None and spread > 0:
            deviation = math.sqrt(spread) / count / UNIT
            scales[feature.variable] = (total / count / UNIT, STANDARD_RANGE * deviation)
    return scales


def max_rows_per_site(study: Study, num_sites: int) -> int:
    """Most rows that one site may have so that no total leaves 63 bits."""
    most = MAX_RECORDS // num_sites
    return most if study.privacy.max_rows is None else min(study.privacy.max_rows, most)


def gram_release(study: Study, request: Request, released: Released, num_sites: int) -> GramTotals:
    """Read a released total.

    Parameters
    ----------
    released
        The total of `num_sites` vectors of `GramKind.compute`, with withheld entries marked.

    Raises
    ------
    ProtocolError
        When the total has another length than the study and request imply.
    """
    effects = effects_of(study, request)
    layout = _layout(effects, basis_of(study, request))
    if released.totals.shape != (layout.length,):
        raise ProtocolError(
            f"expected a gram total of length {layout.length}, got {released.totals.size}"
        )
    if isinstance(layout, PooledLayout):
        return _read_pooled(layout, released, num_sites)
    unit = STANDARD_UNIT if effects == "standardize" else SCATTER_UNIT
    return _read_centred(layout, released, num_sites, unit)


def _layout(effects: SiteEffects, basis: Basis) -> CentredLayout | PooledLayout:
    return PooledLayout(basis) if effects == "pool" else CentredLayout(basis)


def _centred_vector(gram: Gram, scatter: Scatter) -> IntVector:
    layout = CentredLayout(gram.basis)
    vector = np.zeros(layout.length, dtype=np.int64)
    vector[0] = gram.num_rows
    vector[layout.observed] = np.diag(gram.counts)
    vector[layout.counts] = scatter.counts
    vector[layout.sites] = scatter.counts > 0
    vector[layout.sums] = gram.values[np.arange(layout.num_features), gram.basis.owners]
    vector[layout.products] = scatter.products
    vector[layout.squares] = scatter.squares
    return vector


def _pooled_vector(gram: Gram) -> IntVector:
    layout = PooledLayout(gram.basis)
    vector = np.zeros(layout.length, dtype=np.int64)
    vector[0] = gram.num_rows
    vector[layout.counts] = gram.counts
    vector[layout.values] = gram.values
    vector[layout.squares] = gram.squares
    sent = layout.products >= 0
    vector[layout.products[sent]] = gram.products[sent]
    return vector


def _read_centred(
    layout: CentredLayout, released: Released, num_sites: int, unit: int
) -> GramTotals:
    totals, withheld = released.totals, released.withheld
    owners = layout.basis.owners
    withheld_squares = withheld[layout.squares][:, owners]
    return GramTotals(
        basis=layout.basis,
        num_sites=num_sites,
        num_rows=int(totals[0]),
        observed=totals[layout.observed],
        counts=totals[layout.counts],
        num_means=totals[layout.sites],
        sums=totals[layout.sums],
        products=totals[layout.products] / unit,
        squares=totals[layout.squares] / unit,
        withheld_features=withheld[layout.sums],
        withheld_products=withheld[layout.products] | withheld_squares | withheld_squares.T,
    )


def _read_pooled(layout: PooledLayout, released: Released, num_sites: int) -> GramTotals:
    totals, withheld = released.totals, released.withheld
    basis, owners = layout.basis, layout.basis.owners
    features = np.arange(basis.num_features)
    values, sent = totals[layout.values], layout.products >= 0
    products = np.where(sent, totals[layout.products], 0)
    products[layout.levels, layout.levels] = values[layout.levels, owners[layout.levels]]
    gram = Gram(
        basis=basis,
        num_rows=int(totals[0]),
        counts=totals[layout.counts],
        values=values,
        squares=totals[layout.squares],
        products=products,
    )
    scatter = centred(gram)
    withheld_sums = (withheld[layout.values] | withheld[layout.squares])[:, owners]
    return GramTotals(
        basis=basis,
        num_sites=num_sites,
        num_rows=gram.num_rows,
        observed=np.diag(gram.counts),
        counts=scatter.counts,
        num_means=(scatter.counts > 0).astype(np.int64),
        sums=values[features, owners],
        products=scatter.products / SCATTER_UNIT,
        squares=scatter.squares / SCATTER_UNIT,
        withheld_features=withheld[layout.values][features, owners],
        withheld_products=(withheld[layout.products] & sent) | withheld_sums | withheld_sums.T,
    )


def _pair(value: JsonValue) -> tuple[float, float]:
    if isinstance(value, list | tuple) and len(value) == 2:
        lo, hi = value
        if isinstance(lo, int | float) and isinstance(hi, int | float):
            return float(lo), float(hi)
    raise ProtocolError("a range is a list [lo, hi] of two numbers")
