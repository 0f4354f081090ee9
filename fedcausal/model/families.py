"""The statistic "families": for every node, the exact Gram of its parents' features and itself."""

import functools
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import numpy as np

from fedcausal.data.table import TableSource
from fedcausal.errors import ProtocolError
from fedcausal.model.family_basis import Family, Range, family_basis, family_of_knots
from fedcausal.model.family_layout import MAX_PRODUCT, FamilyLayout, family_layouts
from fedcausal.model.family_terms import Knots
from fedcausal.schema import Schema, Variable
from fedcausal.statistics.gram_kind import max_rows_per_site
from fedcausal.statistics.kind import Request
from fedcausal.study import Study
from fedcausal_privacy.canonical import JsonValue
from fedcausal_privacy.statistic_spec import IntVector, StatisticSpec

__all__ = [
    "Families",
    "checked_knots",
    "families_request",
    "is_centred",
    "layouts_of",
    "requested_families",
]


LEAST_GAP = 2.0**-9
"""Between knots: splines closer than that differ by less than what their sums are rounded to."""


class Families:
    """The request for the Grams of all families of a model DAG.

    One vector holds, for every node, over its records that are complete in the node and its
    parents: the number of records, cell counts of its categorical members, the sums of the
    columns and their products. With `discovery.site_effects` other than "pool" each site
    centres its columns first, so that slopes are slopes within a site.

    Privacy: leaves a site only through the gate and a secure sum. Cells below
    `privacy.min_cell` are withheld from the total together with every sum and product over
    their records (a product about the sites' means is no count: it goes with its own columns'
    cells only); one- and two-way tables are complete, so secondary suppression applies to
    them. Cells of three and more variables are suppressed one by one.
    """

    name: ClassVar[str] = "families"
    part: ClassVar[Literal["graph", "model", "effects"]] = "effects"

    def spec(self, study: Study, request: Request, num_sites: int) -> StatisticSpec:
        """The public shape, bounds, counts and guards of the vector."""
        layouts = layouts_of(study, request)
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
        """The site's vector; exact integers, whatever the order or the batches of its rows."""
        layouts = layouts_of(study, request)
        totals = [layout.zero() for layout in layouts]
        for batch in source.batches():
            totals = [t + layout.sums_of(batch) for t, layout in zip(totals, layouts, strict=True)]
        vectors = [layout.vector(t) for t, layout in zip(totals, layouts, strict=True)]
        return np.concatenate(vectors)

    def width(self, study: Study, request: Request) -> int:
        """Parameters of the widest family."""
        return max(family.width for family in requested_families(study, request))


def families_request(
    edges: Sequence[tuple[str, str]],
    nodes: Sequence[str],
    ranges: Mapping[str, Range],
    knots: Mapping[str, Knots] | None = None,
) -> Request:
    """Ask for the families of a DAG given by its nodes and its (parent, child) edges.

    `ranges` are public or released ranges of numeric variables; declared bounds stand in for
    those that are missing. With `knots` (of every numeric parent) families are splines.
    """
    parameters: dict[str, JsonValue] = {
        "nodes": list(nodes),
        "edges": sorted([parent, child] for parent, child in edges),
        "ranges": {name: [float(a), float(b)] for name, (a, b) in sorted(ranges.items())},
    }
    if knots:
        parameters["knots"] = {name: list(own) for name, own in sorted(knots.items())}
    return Request(kind=Families.name, parameters=parameters)


def requested_families(study: Study, request: Request) -> tuple[Family, ...]:
    """The families of a request in schema order, derived from public values alone.

    Raises
    ------
    ProtocolError
        The request is malformed or names unknown variables.
    """
    schema = study.schema()
    edges = _edges(request.parameters.get("edges"))
    ranges = _ranges(request.parameters.get("ranges", {}))
    known = request.parameters.get("nodes", list(schema.names))
    if not isinstance(known, Sequence) or not all(_is_one_of(schema.names, n) for n in known):
        raise ProtocolError("families: nodes: expected a list of the study's variables")
    nodes = [name for name in schema.names if name in known]
    unknown = {name for edge in edges for name in edge} - set(nodes)
    if unknown or not nodes:
        raise ProtocolError(f"families: edges: unknown variables {sorted(unknown)}")
    parents = {n: [name for name in schema.names if (name, n) in edges] for n in nodes}
    if "knots" in request.parameters:
        above = {parent for own in parents.values() for parent in own}
        knots = checked_knots(study, request.parameters["knots"], above)
        return tuple(_of_knots(schema, node, parents[node], ranges, knots) for node in nodes)
    section = study.model
    return tuple(
        family_basis(
            schema,
            node,
            parents[node],
            ranges=ranges,
            degree=section.degree,
            max_width=section.max_width,
        )
        for node in nodes
    )


def _of_knots(
    schema: Schema,
    node: str,
    parents: Sequence[str],
    ranges: Mapping[str, Range],
    knots: Mapping[str, Knots],
) -> Family:
    """One family, made once: a round reads its request at every step, with thousands of terms."""
    involved = (node, *parents)
    return _made(
        tuple(schema[name] for name in involved),
        tuple((name, ranges[name]) for name in involved if name in ranges),
        tuple((name, knots[name]) for name in parents if name in knots),
    )


@functools.lru_cache(maxsize=256)
def _made(
    variables: tuple[Variable, ...],
    ranges: tuple[tuple[str, Range], ...],
    knots: tuple[tuple[str, Knots], ...],
) -> Family:
    node, *parents = (variable.name for variable in variables)
    return family_of_knots(
        Schema(variables), node, parents, ranges=dict(ranges), knots=dict(knots)
    )


def is_centred(study: Study) -> bool:
    """Whether each site centres its columns before the products."""
    return study.discovery.site_effects != "pool"


def layouts_of(study: Study, request: Request) -> tuple[FamilyLayout, ...]:
    """The layouts of a request's families, one after another in one vector."""
    return family_layouts(requested_families(study, request), is_centred=is_centred(study))


def _pairs(value: JsonValue, remedy: str) -> list[tuple[JsonValue, JsonValue]]:
    if not isinstance(value, list):
        raise ProtocolError(f"families: {remedy}")
    if any(not isinstance(pair, list) or len(pair) != 2 for pair in value):
        raise ProtocolError(f"families: {remedy}")
    return [(pair[0], pair[1]) for pair in value]


def _is_one_of(names: Sequence[str], name: object) -> bool:
    return isinstance(name, str) and name in names


def _edges(value: JsonValue) -> set[tuple[str, str]]:
    return {(str(a), str(b)) for a, b in _pairs(value, "edges: expected [[parent, child], ...]")}


def _ranges(value: JsonValue) -> dict[str, Range]:
    remedy = "ranges: expected {variable: [lo, hi]}"
    if not isinstance(value, Mapping):
        raise ProtocolError(f"families: {remedy}")
    found: dict[str, Range] = {}
    for name, (low, high) in zip(value, _pairs(list(value.values()), remedy), strict=True):
        if not isinstance(low, int | float) or not isinstance(high, int | float):
            raise ProtocolError(f"families: {remedy}")
        if not (np.isfinite(high - low) and low < high):
            raise ProtocolError(f"families: {remedy} with lo < hi")
        found[name] = (float(low), float(high))
    return found


def checked_knots(study: Study, value: JsonValue, parents: set[str]) -> dict[str, Knots]:
    """Knots of every numeric parent: at most `model.knots`, increasing within (-1, 1).

    Raises
    ------
    ProtocolError
        They are something else.
    """
    numeric = {name for name in parents if study.schema()[name].is_numeric}
    most = study.model.knots
    remedy = f"knots: expected up to {most} increasing numbers in (-1, 1) for each numeric parent"
    if not isinstance(value, Mapping) or set(value) != numeric:
        raise ProtocolError(f"families: {remedy}")
    found: dict[str, Knots] = {}
    for name, own in value.items():
        if not isinstance(own, list) or not all(isinstance(k, int | float) for k in own):
            raise ProtocolError(f"families: {remedy}")
        edges = np.array([-1.0, *own, 1.0])
        if len(own) > most or not np.all(np.diff(edges) >= LEAST_GAP):
            raise ProtocolError(f"families: {remedy}")
        found[name] = tuple(float(k) for k in own)
    return found
