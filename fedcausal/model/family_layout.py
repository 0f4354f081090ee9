"""Where the numbers of a graph's families lie in their vector, and how rows add up to them."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedcausal.data.table import Table
from fedcausal.model.family_basis import UNIT, Family, FloatArray
from fedcausal_privacy.statistic_spec import CountTable, Guard, IntVector

__all__ = ["MAX_PRODUCT", "Cells", "FamilyLayout", "FamilySums", "centre", "family_layouts"]

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

    Two sums of one column over slightly different records give away the records between them. So
    a centred family adds up each column, and counts each table, over all records that have the
    column's own variables: the same sum in every family. Only products need complete records.
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
    def presence(self) -> tuple[int, ...]:
        """Index of the number of sites with complete records (centred families)."""
        return (self.start + 1,) if self.is_centred else ()

    @property
    def first_cell(self) -> int:
        """Index of the first cell count."""
        return self.start + 1 + len(self.presence)

    @property
    def first_sum(self) -> int:
        """Index of the first column sum."""
        return self.first_cell + self.num_cells

    @property
    def first_count(self) -> int:
        """Index of the number of records behind the first sum (centred families)."""
        return self.first_sum + self.family.num_columns

    @property
    def first_product(self) -> int:
        """Index of the first product."""
        return self.first_count + (self.family.num_columns if self.is_centred else 0)

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
        behind = range(self.first_count, self.first_product)
        return (self.start, *range(self.first_cell, self.first_sum), *behind)

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
        found += [Guard(count=i, dependents=(self.start, *everything)) for i in self.presence]
        found += [
            Guard(count=count, dependents=(self.first_sum + i,))
            for i, count in enumerate(range(self.first_count, self.first_product))
        ]
        for cell, inside in self._cells():
            over = {i for i, levels in entries if inside <= levels and i != cell}
            if dependents := tuple(sorted(over)):
                found.append(Guard(count=cell, dependents=dependents))
        return tuple(found)

    def zero(self) -> "FamilySums":
        """The sums of no records."""
        m = self.family.num_columns
        return FamilySums(
            num_records=0,
            cells=np.zeros(self.num_cells, dtype=np.int64),
            sums=np.zeros(m, dtype=np.int64),
            counts=np.zeros(m, dtype=np.int64),
            complete=np.zeros(m, dtype=np.int64),
            products=np.zeros((m, m), dtype=np.int64),
        )

    def sums_of(self, batch: Table) -> "FamilySums":
        """Counts, cells, sums and products about zero of a batch: additive over batches."""
        total = self.zero()
        for columns in _chunks(batch, self.family.members):
            total = total + self._sums_of_chunk(columns)
        return total

    def vector(self, sums: "FamilySums") -> IntVector:
        """What is sent: of a centred family, the products about the site's means."""
        upper, products = np.triu_indices(self.family.num_columns), sums.products
        if not self.is_centred:
            parts = [sums.cells, sums.complete]
        else:
            present = np.array([sums.num_records > 0], dtype=np.int64)
            parts = [present, sums.cells, sums.sums, sums.counts]
            units = self.family.units()
            products = centre(products, sums.complete, sums.num_records, units)
        return np.concatenate([np.array([sums.num_records]), *parts, products[upper]])

    def _sums_of_chunk(self, columns: Mapping[str, FloatArray]) -> "FamilySums":
        observed = {name: ~np.isnan(column) for name, column in columns.items()}
        complete = np.all(list(observed.values()), axis=0)
        quantised = self.family.quantise(_filled(self.family, columns))
        exact = quantised[complete].astype(np.float64)
        has = np.column_stack(
            [np.all([observed[v] for v in own], axis=0) for own in self.family.column_variables]
        )
        counted = [self._count(t, columns, observed, complete) for t in self.tables]
        return FamilySums(
            num_records=int(complete.sum()),
            cells=np.concatenate([np.zeros(0, dtype=np.int64), *counted]),
            sums=np.where(has, quantised, 0).sum(axis=0),
            counts=has.sum(axis=0),
            complete=quantised[complete].sum(axis=0),
            products=(exact.T @ exact).astype(np.int64),
        )

    def _count(
        self,
        table: Cells,
        columns: Mapping[str, FloatArray],
        observed: Mapping[str, NDArray[np.bool_]],
        complete: NDArray[np.bool_],
    ) -> IntVector:
        rows = complete
        if self.is_centred:
            rows = np.all([observed[name] for name in table.variables], axis=0)
        return table.count({name: columns[name][rows] for name in table.variables})

    def _cells(self) -> Iterator[Entry]:
        """Every cell count with the levels of its records."""
        for table, at in self.table_slices():
            for offset, cell in enumerate(table.cells):
                yield at + offset, frozenset(zip(table.variables, cell, strict=True))

    def _entries(self) -> Iterator[Entry]:
        """Every sum and product with the cells whose records it sums over.

        A product about the sites' means shows either column's cell, not their intersection.
        """
        sets, first_sum, first = self.family.level_sets, self.first_sum, self.first_product
        for i, levels in enumerate(sets):
            yield first_sum + i, levels
        rows, columns = np.triu_indices(len(sets))
        for k, (row, column) in enumerate(zip(rows, columns, strict=True)):
            if self.is_centred:
                yield first + k, sets[row]
                yield first + k, sets[column]
            else:
                yield first + k, sets[row] | sets[column]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FamilySums:
    """Exact sums of one family over some records of one site: an additive monoid.

    `sums` and `counts` are over the records that have a column's own variables; `complete` and
    `products` over those that have all of the family's.
    """

    num_records: int
    cells: IntVector
    sums: IntVector
    counts: IntVector
    complete: IntVector
    products: IntMatrix

    def __add__(self, other: "FamilySums") -> "FamilySums":
        return FamilySums(
            num_records=self.num_records + other.num_records,
            cells=self.cells + other.cells,
            sums=self.sums + other.sums,
            counts=self.counts + other.counts,
            complete=self.complete + other.complete,
            products=self.products + other.products,
        )


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


def _chunks(batch: Table, members: Sequence[str]) -> Iterator[dict[str, FloatArray]]:
    for start in range(0, batch.num_rows, CHUNK_ROWS):
        rows = slice(start, start + CHUNK_ROWS)
        yield {name: batch.column(name)[rows] for name in members}


def _filled(family: Family, columns: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """The columns with a harmless value where one is missing: such records are masked out."""
    ranges = dict(family.basis.ranges)
    if family.range is not None:
        ranges[family.node] = family.range
    return {
        name: np.where(np.isnan(column), ranges[name][0] if name in ranges else 0.0, column)
        for name, column in columns.items()
    }
