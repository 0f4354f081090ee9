"""The "tables" statistic: contingency tables of many sets of variables in one vector."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import combinations
from typing import ClassVar, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from fedcausal.data.table import Table, TableSource
from fedcausal.errors import DataError, InputError, ProtocolError
from fedcausal.statistics.gram_kind import max_rows_per_site
from fedcausal.statistics.kind import Request
from fedcausal.study import Study
from fedcausal_privacy.canonical import JsonValue
from fedcausal_privacy.disclosure.joint_bounds import MAX_JOINT_CELLS, num_joint_cells
from fedcausal_privacy.statistic_spec import (
    CountTable,
    Guard,
    IntVector,
    Released,
    StatisticSpec,
)

__all__ = [
    "MAX_ROUND_CELLS",
    "MAX_TABLE_CELLS",
    "ReleasedTables",
    "TablesKind",
    "num_cells",
    "requests_before",
    "tables_release",
    "tables_request",
]

MAX_TABLE_CELLS = 2**12
"""Cells of one table; a larger one is nearly empty at any size of study that tests it."""

MAX_ROUND_CELLS = 2**19
"""Cells of all tables of one round: about 16 MB of ciphertexts from each site."""

Places = tuple[int, ...]
Scalar = TypeVar("Scalar", bound=np.generic)


class TablesKind:
    """Counts of records per combination of levels, for every set of variables that is asked for.

    Every margin of a requested table is in the vector as well, down to the number of records: the
    total of a margin decides what is withheld of the finer tables. Rows are counted, not
    suppressed, at the site; the cell rule works on totals, so that the released tables do not
    depend on how the rows are split over sites.

    A variable named in the request's `missing` has one more level, for records without a value.

    Privacy: one vector of counts leaves the site, through a secure sum. A total below `min_cell`
    is withheld with partners in its table, and a withheld cell takes all finer cells with it, in
    this round and, since the rule reads nothing but the table and its margins, in every other.
    Of a withheld cell below released margins it is said that it is small, where that leaves its
    count open (`fedcausal_privacy.disclosure.small_counts`). What all tables of a study say
    together is examined (`fedcausal_privacy.disclosure.overlapping_tables`): a request names
    those made before it, whose tables are summed once more and withheld as they were, and a site
    refuses one that leaves any of its own answers out.
    """

    name: ClassVar[str] = "tables"
    part: ClassVar[Literal["graph"]] = "graph"

    def spec(self, study: Study, request: Request, num_sites: int) -> StatisticSpec:
        """All entries are counts; each set is a complete table below its margins."""
        if study.privacy.graph is not None:
            raise InputError(
                "discovery.tests: tables have no private form; "
                'write tests = "gram" under privacy.graph.epsilon'
            )
        return _spec(
            _layout(study, request),
            request.id(),
            max_rows_per_site(study, num_sites),
            study.privacy.min_cell,
        )

    def compute(
        self, study: Study, request: Request, source: TableSource, rng: np.random.Generator
    ) -> IntVector:
        """The site's counts; memory does not grow with the number of rows."""
        layout = _layout(study, request)
        vector = np.zeros(layout.length, dtype=np.int64)
        for batch in source.batches():
            layout.add(batch, vector)
        cap = max_rows_per_site(study, study.privacy.min_sites)
        if vector[0] > cap:
            raise DataError(
                f"expected at most {cap} rows at one site, got {vector[0]}; "
                "check the data, or change privacy.max_rows of the study"
            )
        return vector

    def width(self, study: Study, request: Request) -> int:
        """Zero: counts are guarded by the smallest cell of the totals, not by their number."""
        return 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReleasedTables:
    """Released totals of one round, by set of variables (positions in the study's schema).

    `tables[places]` is (counts, withheld), one axis per variable in schema order; the last index
    of an axis counts missing values where the request says so (`extra`). The count of a withheld
    cell is zero, or the largest that it can be where it is known to be small.
    """

    tables: Mapping[Places, tuple[NDArray[np.int64], NDArray[np.bool_]]]
    extra: frozenset[int]

    def table(self, places: Iterable[int]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Counts and withheld marks of one set, axes in schema order."""
        return self.tables[tuple(sorted(places))]


def tables_request(
    sets: Iterable[Sequence[str]], missing: Iterable[str] = (), before: Sequence[Request] = ()
) -> Request:
    """Ask for the tables of some sets of variables; `missing` may have missing values.

    `before` are the requests for tables that were made already, in their order.
    """
    wanted: JsonValue = [list(names) for names in sorted({tuple(sorted(s)) for s in sets})]
    asked: dict[str, JsonValue] = {"sets": wanted, "missing": sorted(missing)}
    earlier: list[JsonValue] = [
        {key: value for key, value in request.parameters.items() if key != "before"}
        for request in before
    ]
    parameters = {**asked, "before": earlier} if earlier else asked
    return Request(kind=TablesKind.name, parameters=parameters)


def requests_before(request: Request) -> tuple[Request, ...]:
    """The earlier requests that one names, each with those before it.

    Raises
    ------
    ProtocolError
        When what it names are no requests for tables.
    """
    earlier = request.parameters.get("before", [])
    if not isinstance(earlier, list | tuple) or not all(isinstance(e, Mapping) for e in earlier):
        raise ProtocolError("a request for tables lists those before it")
    found = list[Request]()
    for one in earlier:
        rest: JsonValue = list(earlier[: len(found)])
        parameters = {**one, "before": rest} if found else one
        found.append(Request(kind=TablesKind.name, parameters=parameters))
    return tuple(found)


def tables_release(study: Study, request: Request, released: Released) -> ReleasedTables:
    """Read a released total.

    Raises
    ------
    ProtocolError
        When the total has another length than the study and request imply.
    """
    layout = _layout(study, request)
    if released.totals.shape != (layout.length,):
        raise ProtocolError(f"expected {layout.length} counts, got {released.totals.size}")
    return ReleasedTables(
        tables={
            places: (layout.view(places, released.totals), layout.view(places, released.withheld))
            for places in layout.starts
        },
        extra=layout.extra,
    )


def num_cells(sizes: Sequence[int], sets: Iterable[Places]) -> int:
    """Cells of some tables with all their margins, by the number of levels of every variable.

    >>> num_cells([2, 3], [(0, 1)])
    12
    """
    return sum(_product(sizes, places) for places in _closure(sets))


@dataclass(frozen=True)
class _Layout:
    """Tables one after another, smaller sets first; each row-major, axes in schema order."""

    sizes: tuple[int, ...]
    extra: frozenset[int]
    rounds: tuple[tuple[Places, ...], ...]

    @property
    def sets(self) -> tuple[Places, ...]:
        """The sets of this request and of those before it."""
        return tuple(places for sets in self.rounds for places in sets)

    @cached_property
    def stages(self) -> dict[Places, int]:
        """The first request that has released each table."""
        stages = dict[Places, int]()
        for stage, sets in enumerate(self.rounds):
            stages |= {p: stage for p in _closure(sets) if p not in stages}
        return stages

    @cached_property
    def starts(self) -> dict[Places, int]:
        """First entry of every table, margins included; the empty set counts the records."""
        starts, at = {}, 0
        for places in _closure(self.sets):
            starts[places] = at
            at += _product(self.sizes, places)
        return starts

    @cached_property
    def length(self) -> int:
        """Length of the vector."""
        return num_cells(self.sizes, self.sets)

    def shape(self, places: Places) -> Places:
        """Levels of each variable of a set."""
        return tuple(self.sizes[place] for place in places)

    def entries(self, places: Places) -> NDArray[np.int64]:
        """Indices of a table's cells, one axis per variable."""
        size = _product(self.sizes, places)
        return (self.starts[places] + np.arange(size)).reshape(self.shape(places))

    def view(self, places: Places, vector: NDArray[Scalar]) -> NDArray[Scalar]:
        """A table's part of a vector."""
        start = self.starts[places]
        part = vector[start : start + _product(self.sizes, places)]
        return part.reshape(self.shape(places))

    def add(self, batch: Table, vector: IntVector) -> None:
        """Count a batch into the vector, in place."""
        codes = _codes(batch, self.sizes, self.extra)
        done: dict[Places, NDArray[np.int64]] = {}
        for places in reversed(self.starts):
            if places not in done:
                done[places] = self._count(codes, places)
            self.view(places, vector)[...] += done[places]
            for axis in range(len(places)):
                margin = places[:axis] + places[axis + 1 :]
                if margin not in done:
                    done[margin] = done[places].sum(axis=axis)

    def _count(self, codes: NDArray[np.int64], places: Places) -> NDArray[np.int64]:
        shape = self.shape(places)
        flat = np.ravel_multi_index([codes[place] for place in places], shape)
        counts = np.bincount(flat, minlength=_product(self.sizes, places))
        return counts.reshape(shape).astype(np.int64)

    def tables(self) -> tuple[CountTable, ...]:
        """Every set of at least one variable is a complete table."""
        return tuple(
            CountTable(
                cells=tuple(self.entries(p).ravel().tolist()),
                shape=self.shape(p),
                axes=p,
                stage=self.stages[p],
            )
            for p in self.starts
            if p
        )

    def guards(self) -> tuple[Guard, ...]:
        """A withheld cell takes along the cells that add up to it in each next finer table."""
        found = []
        for places in self.starts:
            for axis in range(len(places)):
                margin = self.entries(places[:axis] + places[axis + 1 :]).ravel()
                finer = np.moveaxis(self.entries(places), axis, -1).reshape(len(margin), -1)
                found += [
                    Guard(count=count, dependents=tuple(dependents))
                    for count, dependents in zip(margin.tolist(), finer.tolist(), strict=True)
                ]
        return tuple(found)


@lru_cache(maxsize=4)
def _spec(layout: _Layout, name: str, bound: int, min_cell: int) -> StatisticSpec:
    return StatisticSpec(
        name=name,
        length=layout.length,
        bound=bound,
        min_cell=min_cell,
        shows_small=True,
        counts=(0,),
        tables=layout.tables(),
        guards=layout.guards(),
    )


def _layout(study: Study, request: Request) -> _Layout:
    schema = study.schema()
    places = {name: place for place, name in enumerate(schema.names)}
    rounds = tuple(_wanted(r, places) for r in (*requests_before(request), request))
    extra = request.parameters.get("missing", [])
    with_missing = frozenset(p for (p,) in _places([[name] for name in _listed(extra)], places))
    for place in {place for sets in rounds for wanted in sets for place in wanted}:
        if not schema.variables[place].categories:
            raise InputError(
                f"variable {schema.names[place]!r} has no levels, and a table needs them; "
                'write discovery.tests = "gram"'
            )
    sizes = tuple(len(v.categories) + (i in with_missing) for i, v in enumerate(schema))
    _check_size(sizes, [wanted for sets in rounds for wanted in sets])
    return _Layout(sizes, with_missing, rounds)


def _wanted(request: Request, places: Mapping[str, int]) -> tuple[Places, ...]:
    """The sets that one request asks for, as positions in the schema."""
    sets = [_listed(names) for names in _listed(request.parameters.get("sets"))]
    if not sets:
        raise ProtocolError("a request for tables lists sets of variables")
    return _places(sets, places)


def _places(sets: Iterable[Sequence[JsonValue]], places: Mapping[str, int]) -> tuple[Places, ...]:
    if any(name not in places for names in sets for name in names):
        raise ProtocolError("a request for tables names a variable that the study has not")
    return tuple(tuple(sorted({places[str(name)] for name in names})) for names in sets)


def _listed(value: JsonValue) -> Sequence[JsonValue]:
    if not isinstance(value, list | tuple):
        raise ProtocolError("a request for tables lists sets of variables")
    return value


def _check_size(sizes: Places, sets: Sequence[Places]) -> None:
    largest = max(_product(sizes, places) for places in sets)
    if largest > MAX_TABLE_CELLS:
        raise InputError(
            f"a table of {largest} cells was asked for, at most {MAX_TABLE_CELLS} are allowed; "
            'merge rare levels, or write discovery.tests = "gram"'
        )
    used = {place for places in sets for place in places}
    if num_joint_cells([sizes[place] for place in used]) > MAX_JOINT_CELLS:
        raise InputError(
            f"what the tables of {len(used)} variables say together cannot be examined; "
            'merge rare levels, leave variables out, or write discovery.tests = "gram"'
        )
    total = num_cells(sizes, sets)
    if total > MAX_ROUND_CELLS:
        raise InputError(
            f"the tables of one round have {total} cells, at most {MAX_ROUND_CELLS} are allowed; "
            'lower discovery.alpha, add knowledge, or write discovery.tests = "gram"'
        )


def _codes(batch: Table, sizes: Places, extra: frozenset[int]) -> NDArray[np.int64]:
    """(d, n) codes, the last level for missing values where the request has one."""
    codes = np.zeros((len(sizes), batch.num_rows), dtype=np.int64)
    for place, variable in enumerate(batch.schema):
        if not variable.categories:
            continue
        column = batch.values[:, place]
        is_missing = np.isnan(column)
        if is_missing.any() and place not in extra:
            raise DataError(
                f"{variable.name}: it had no missing values before, and has some now; "
                "keep the rows of a site as they are during a run"
            )
        codes[place] = np.where(is_missing, len(variable.categories), column)
    return codes


def _closure(sets: Iterable[Places]) -> list[Places]:
    """All subsets of some sets, smaller ones first."""
    found = {part for s in sets for size in range(len(s) + 1) for part in combinations(s, size)}
    return sorted(found, key=lambda places: (len(places), places))


def _product(sizes: Sequence[int], places: Places) -> int:
    product = 1
    for place in places:
        product *= sizes[place]
    return product
