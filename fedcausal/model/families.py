"""The statistic "families": for every node, the exact Gram of its parents' features and itself."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from fedcausal.errors import ProtocolError
from fedcausal.model.family_basis import UNIT, Family, FloatArray, Range, family_basis
from fedcausal.statistics.gram_kind import max_rows_per_site
from fedcausal.statistics.kind import Request
from fedcausal.study import Study
from fedcausal.table import Table, TableSource
from fedcausal_privacy.canonical import JsonValue
from fedcausal_privacy.statistic_spec import CountTable, Guard, IntVector, StatisticSpec

__all__ = [
    "Cells",
    "Families",
    "FamilyLayout",
    "families_request",
    "family_layouts",
    "is_centred",
    "layouts_of",
    "requested_families",
]

CHUNK_ROWS = 2**14
"""Rows per product: 2^14 products below 2^38 stay exact in float64 (2^52)."""
MAX_PRODUCT = 2**38

IntMatrix = NDArray[np.int64]
Levels = frozenset[tuple[str, int]]
Entry = tuple[int, Levels]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """Some cells of one cross table of categorical members of a family.

    `cells` are (level of each variable, ...); a complete table lists all of them, row-major.
    """

    variables: tuple[str, ...]
    shape: tuple[int, ...]
    cells: tuple[tuple[int, ...], ...]
    complete: bool

    def count(self, columns: Mapping[str, FloatArray]) -> IntVector:
        """Number of records in each cell."""
        codes = [columns[name].astype(np.int64) for name in self.variables]
        flat = np.ravel_multi_index(codes, self.shape)
        counts = np.bincount(flat, minlength=int(np.prod(self.shape)))
        wanted = np.ravel_multi_index(np.array(self.cells).T, self.shape)
        cells: IntVector = counts[wanted].astype(np.int64)
        return cells


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyLayout:
    """Where one family's numbers lie: records, cells, sums, and the products' upper triangle.

    A product of two indicators about zero counts the records of a cell. About the sites' means
    it does not: what each site subtracts is unknown outside. So `is_centred` decides which cells
    a product shows.
    """

    family: Family
    is_centred: bool
    tables: tuple[Cells, ...]
    start: int

    @property
    def num_cells(self) -> int:
        """Number of cell counts."""
        return sum(len(t.cells) for t in self.tables)

    @property
    def first_cell(self) -> int:
        """Index of the first cell count."""
        return self.start + 1

    @property
    def first_sum(self) -> int:
        """Index of the first column sum."""
        return self.first_cell + self.num_cells

    @property
    def first_product(self) -> int:
        """Index of the first product."""
        return self.first_sum + self.family.num_columns

    @property
    def end(self) -> int:
        """One past the last entry."""
        m = self.family.num_columns
        return self.first_product + m * (m + 1) // 2

    def table_slices(self) -> Iterator[tuple[Cells, int]]:
        """Every table with the index of its first cell."""
        at = self.first_cell
        for table in self.tables:
            yield table, at
            at += len(table.cells)

    def counts(self) -> tuple[int, ...]:
        """Entries that count records."""
        return tuple(range(self.start, self.first_sum))

    def count_tables(self) -> tuple[CountTable, ...]:
        """The complete tables, for secondary suppression."""
        return tuple(
            CountTable(cells=tuple(range(at, at + len(t.cells))), shape=t.shape)
            for t, at in self.table_slices()
            if t.complete
        )

    def guards(self) -> tuple[Guard, ...]:
        """A withheld cell takes along every finer cell, sum and product over its records."""
        entries = [*self._cells(), *self._entries()]
        everything = tuple(range(self.first_cell, self.end))
        found = [Guard(count=self.start, dependents=everything)]
        for cell, inside in self._cells():
            over = {i for i, levels in entries if inside <= levels and i != cell}
            if dependents := tuple(sorted(over)):
                found.append(Guard(count=cell, dependents=dependents))
        return tuple(found)

    def zero(self) -> IntVector:
        """The vector of no records."""
        return np.zeros(self.end - self.start, dtype=np.int64)

    def raw(self, batch: Table) -> IntVector:
        """Counts, cells, sums and uncentred products of a batch: additive over batches."""
        num_columns = self.family.num_columns
        total = self.zero()
        for columns in _complete_chunks(batch, self.family.members):
            quantised = self.family.quantise(columns)
            exact = quantised.astype(np.float64)
            products = (exact.T @ exact).astype(np.int64)
            parts = [table.count(columns) for table in self.tables]
            sums, upper = quantised.sum(axis=0), products[np.triu_indices(num_columns)]
            total += np.concatenate([np.array([len(quantised)]), *parts, sums, upper])
        return total

    def centred(self, raw: IntVector) -> IntVector:
        """The same vector with the products taken about the means."""
        m = self.family.num_columns
        first_sum, first_product = self.first_sum - self.start, self.first_product - self.start
        rows, columns = np.triu_indices(m)
        products = np.zeros((m, m), dtype=np.int64)
        products[rows, columns] = raw[first_product:]
        about = centre(products, raw[first_sum:first_product], int(raw[0]), self.family.units())
        return np.concatenate([raw[:first_product], about[rows, columns]])

    def _cells(self) -> Iterator[Entry]:
        """Every cell count with the levels of its records."""
        for table, at in self.table_slices():
            for offset, cell in enumerate(table.cells):
                yield at + offset, frozenset(zip(table.variables, cell, strict=True))

    def _entries(self) -> Iterator[Entry]:
        """Every sum and product with the cells whose records it sums over.

        A product about the sites' means shows either column's cell, not their intersection.
        """
        sets = self.family.level_sets
        for i, levels in enumerate(sets):
            yield self.first_sum + i, levels
        rows, columns = np.triu_indices(len(sets))
        for k, (row, column) in enumerate(zip(rows, columns, strict=True)):
            if self.is_centred:
                yield self.first_product + k, sets[row]
                yield self.first_product + k, sets[column]
            else:
                yield self.first_product + k, sets[row] | sets[column]


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
        )

    def compute(
        self, study: Study, request: Request, source: TableSource, rng: np.random.Generator
    ) -> IntVector:
        """The site's vector; exact integers, whatever the order or the batches of its rows."""
        layouts = layouts_of(study, request)
        totals = [layout.zero() for layout in layouts]
        for batch in source.batches():
            totals = [v + layout.raw(batch) for v, layout in zip(totals, layouts, strict=True)]
        if is_centred(study):
            totals = [layout.centred(v) for v, layout in zip(totals, layouts, strict=True)]
        return np.concatenate(totals)

    def width(self, study: Study, request: Request) -> int:
        """Parameters of the widest family."""
        return max(family.width for family in requested_families(study, request))


def families_request(
    edges: Sequence[tuple[str, str]], nodes: Sequence[str], ranges: Mapping[str, Range]
) -> Request:
    """Ask for the families of a DAG given by its nodes and its (parent, child) edges.

    `ranges` are public or released ranges of numeric variables; declared bounds stand in for
    those that are missing.
    """
    return Request(
        kind=Families.name,
        parameters={
            "nodes": list(nodes),
            "edges": sorted([parent, child] for parent, child in edges),
            "ranges": {name: [float(a), float(b)] for name, (a, b) in sorted(ranges.items())},
        },
    )


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
    if not isinstance(known, Sequence) or not set(known) <= set(schema.names):
        raise ProtocolError("families: nodes: expected a list of the study's variables")
    nodes = [name for name in schema.names if name in known]
    unknown = {name for edge in edges for name in edge} - set(nodes)
    if unknown or not nodes:
        raise ProtocolError(f"families: edges: unknown variables {sorted(unknown)}")
    return tuple(
        family_basis(
            schema,
            node,
            [parent for parent in schema.names if (parent, node) in edges],
            ranges=ranges,
            degree=study.model.degree,
            max_width=study.model.max_width,
        )
        for node in nodes
    )


def is_centred(study: Study) -> bool:
    """Whether each site centres its columns before the products."""
    return study.discovery.site_effects != "pool"


def layouts_of(study: Study, request: Request) -> tuple[FamilyLayout, ...]:
    """The layouts of a request's families, one after another in one vector."""
    return family_layouts(requested_families(study, request), is_centred=is_centred(study))


def family_layouts(families: Sequence[Family], *, is_centred: bool) -> tuple[FamilyLayout, ...]:
    """Consecutive layouts of some families in one vector."""
    layouts: list[FamilyLayout] = []
    start = 0
    for family in families:
        tables = tuple(_tables(family, is_centred=is_centred))
        layout = FamilyLayout(family=family, is_centred=is_centred, tables=tables, start=start)
        layouts.append(layout)
        start = layout.end
    return tuple(layouts)


def centre(
    products: IntMatrix, sums: IntVector, num_records: int, units: Sequence[int]
) -> IntMatrix:
    """Products about the means, P - s s' / n, in units of 2^-38 for every pair of columns.

    Formed in unbounded integers and rounded once, half up.
    """
    if num_records == 0:
        return products
    lifts: NDArray[Any] = UNIT // np.array(units, dtype=object)
    total: NDArray[Any] = sums.astype(object)
    numerator = products.astype(object) * num_records - np.multiply.outer(total, total)
    numerator *= np.multiply.outer(lifts, lifts)
    quotient = (2 * numerator + num_records) // (2 * num_records)
    return np.asarray(quotient, dtype=np.int64)


def _tables(family: Family, *, is_centred: bool) -> Iterator[Cells]:
    """Complete one- and two-way tables of the categorical members, then the larger cells in use.

    Centred families show the cells of single columns only, so only those tables are sent.
    """
    levels = {family.node: family.num_levels} if family.num_levels else {}
    for name, level in sorted({pair for s in family.level_sets for pair in s}):
        levels[name] = max(levels.get(name, 0), level + 1)
    cells = _shown_cells(family.level_sets, is_centred=is_centred)
    wanted = {tuple(sorted(name for name, _ in cell)) for cell in cells}
    for size in (1, 2):
        for names in itertools.combinations(sorted(levels), size):
            if size == 1 or names in wanted:
                shape = tuple(levels[name] for name in names)
                every = tuple(itertools.product(*(range(k) for k in shape)))
                yield Cells(variables=names, shape=shape, cells=every, complete=True)
    yield from _larger_cells(cells, levels)


def _shown_cells(sets: Sequence[Levels], *, is_centred: bool) -> set[Levels]:
    """The cells whose counts could be read from a sum or a product."""
    if is_centred:
        return set(sets)
    return {a | b for a, b in itertools.combinations_with_replacement(sets, 2)}


def _larger_cells(cells: set[Levels], levels: Mapping[str, int]) -> Iterator[Cells]:
    found: dict[tuple[str, ...], set[tuple[int, ...]]] = {}
    for shown in cells:
        names = tuple(sorted({name for name, _ in shown}))
        if 3 <= len(names) == len(shown):
            cell = dict(shown)
            found.setdefault(names, set()).add(tuple(cell[name] for name in names))
    for names, inside in sorted(found.items()):
        shape = tuple(levels[name] for name in names)
        yield Cells(variables=names, shape=shape, cells=tuple(sorted(inside)), complete=False)


def _complete_chunks(batch: Table, members: Sequence[str]) -> Iterator[dict[str, FloatArray]]:
    columns = {name: batch.column(name) for name in members}
    complete = np.flatnonzero(~np.any([np.isnan(c) for c in columns.values()], axis=0))
    for start in range(0, len(complete), CHUNK_ROWS):
        rows = complete[start : start + CHUNK_ROWS]
        yield {name: column[rows] for name, column in columns.items()}


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


def _pairs(value: JsonValue, remedy: str) -> list[tuple[JsonValue, JsonValue]]:
    if not isinstance(value, list):
        raise ProtocolError(f"families: {remedy}")
    if any(not isinstance(pair, list) or len(pair) != 2 for pair in value):
        raise ProtocolError(f"families: {remedy}")
    return [(pair[0], pair[1]) for pair in value]
