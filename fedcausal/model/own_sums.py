"""The statistic "own_sums": features of users' own mechanisms, and products of two of them."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from fedcausal.data.table import Table, TableSource
from fedcausal.errors import FedCausalError, ProtocolError
from fedcausal.model.family_basis import UNIT, Family, FloatArray, Range, family_of_degree
from fedcausal.model.family_layout import MAX_PRODUCT
from fedcausal.model.own_mechanism import OwnMechanism, OwnTotals, OwnVariable
from fedcausal.model.own_node import (
    MOST_FEATURES,
    OwnNode,
    features_of,
    fit_own,
    num_features_of,
    own_mechanism,
    own_variable,
)
from fedcausal.statistics.gram_kind import max_rows_per_site
from fedcausal.statistics.kind import Request
from fedcausal.study import Study
from fedcausal_privacy.canonical import JsonValue
from fedcausal_privacy.statistic_spec import (
    CountTable,
    Guard,
    IntVector,
    Released,
    StatisticSpec,
)

__all__ = ["OwnSums", "fit_own_mechanisms", "own_sums_request"]

CHUNK_ROWS = 2**14
"""Rows per product: 2^14 products below 2^38 stay exact in float64 (2^52)."""
MOST_CELLS = 256
"""Combinations of levels of one variable's causes: each is counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sums:
    """One mechanism's part of the vector: records, cells, sums, upper triangle of products.

    `shape` are the numbers of levels of the causes that are no numbers, which `levelled` names.
    """

    family: Family
    name: str
    version: str
    num_features: int
    about: OwnVariable
    start: int

    @property
    def levelled(self) -> tuple[str, ...]:
        return tuple(n for n in self.about.parents if n in self.about.num_levels)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.about.num_levels[name] for name in self.levelled)

    @property
    def num_cells(self) -> int:
        return int(np.prod(self.shape)) if self.shape else 0

    @property
    def first_sum(self) -> int:
        return self.start + 1 + self.num_cells

    @property
    def end(self) -> int:
        k = self.num_features
        return self.first_sum + k + k * (k + 1) // 2

    def cells(self) -> range:
        return range(self.start + 1, self.first_sum)

    def tables(self) -> tuple[CountTable, ...]:
        return (CountTable(cells=tuple(self.cells()), shape=self.shape),) if self.shape else ()

    def guards(self) -> tuple[Guard, ...]:
        """A sum is over all records, so that any withheld cell takes it along."""
        sums = tuple(range(self.first_sum, self.end))
        everything = tuple(range(self.start + 1, self.end))
        few = [Guard(count=self.start, dependents=everything)]
        return (*few, *(Guard(count=cell, dependents=sums) for cell in self.cells()))

    def sums_of(self, own: OwnMechanism, batch: Table) -> IntVector:
        """The part of one batch; additive over batches."""
        members = self.family.members
        columns = {name: batch.column(name) for name in members}
        self.family.check_ranges(columns)
        complete = np.flatnonzero(~np.any([np.isnan(c) for c in columns.values()], axis=0))
        total = np.zeros(self.end - self.start, dtype=np.int64)
        for at in range(0, len(complete), CHUNK_ROWS):
            rows = complete[at : at + CHUNK_ROWS]
            total += self._chunk(own, {name: column[rows] for name, column in columns.items()})
        return total

    def _chunk(self, own: OwnMechanism, columns: Mapping[str, FloatArray]) -> IntVector:
        value = columns[self.family.node]
        parents = {name: columns[name] for name in self.about.parents}
        found = features_of(self.name, own, self.num_features, value=value, parents=parents)
        whole = np.rint(found * UNIT)
        upper = np.triu_indices(self.num_features)
        parts = [np.array([len(value)]), self._counts(columns), whole.sum(axis=0)]
        return np.concatenate([*parts, (whole.T @ whole)[upper]]).astype(np.int64)

    def _counts(self, columns: Mapping[str, FloatArray]) -> IntVector:
        if not self.shape:
            return np.zeros(0, dtype=np.int64)
        codes = [columns[name].astype(np.int64) for name in self.levelled]
        counts = np.bincount(np.ravel_multi_index(codes, self.shape), minlength=self.num_cells)
        return counts.astype(np.int64)

    def totals(self, released: Released) -> OwnTotals:
        """What was released of it.

        Raises
        ------
        FedCausalError
            It was withheld.
        """
        node, number = self.family.node, int(released.totals[self.start])
        if released.withheld[self.start : self.end].any() or number == 0:
            raise FedCausalError(
                f"no mechanism of {node!r}: fewer complete records in it and its causes, or in a "
                "combination of their levels, than privacy.min_cell allows to show; remove "
                f"model.mechanisms.{node}, or add rows"
            )
        k, inside = self.num_features, released.totals[self.first_sum : self.end]
        products = np.zeros((k, k))
        products[np.triu_indices(k)] = inside[k:] / float(UNIT) ** 2
        products = np.triu(products) + np.triu(products, 1).T
        return OwnTotals(num_records=number, sums=inside[:k] / float(UNIT), products=products)


class OwnSums:
    """The request for sums of features, and of their products, of users' own mechanisms.

    Per variable that `model.mechanisms` names: the records that are complete in it and its
    causes, their counts by the causes' levels, sums of the features that the named package
    makes of each record, and sums of products of two.

    Privacy: leaves a site only through the gate and a secure sum. The package runs at the site,
    where its operator installed it and approved it by name (`policy.mechanisms`). A count below
    `privacy.min_cell` withholds every sum of the variable. What a feature singles out within
    numbers is the package's: nothing here can tell.
    """

    name: ClassVar[str] = "own_sums"
    part: ClassVar[Literal["graph", "model", "effects"]] = "effects"

    def spec(self, study: Study, request: Request, num_sites: int) -> StatisticSpec:
        """The public shape, bounds, counts and guards of the vector; no package is needed."""
        parts = _parts(study, request)
        return StatisticSpec(
            name=request.id(),
            length=parts[-1].end,
            bound=max_rows_per_site(study, num_sites) * MAX_PRODUCT,
            min_cell=study.privacy.min_cell,
            counts=tuple(i for part in parts for i in (part.start, *part.cells())),
            tables=tuple(table for part in parts for table in part.tables()),
            guards=tuple(guard for part in parts for guard in part.guards()),
        )

    def compute(
        self, study: Study, request: Request, source: TableSource, rng: np.random.Generator
    ) -> IntVector:
        """The site's vector; exact integers, whatever the order or the batches of its rows."""
        parts = _parts(study, request)
        owns = [own_mechanism(part.name, part.version, part.about) for part in parts]
        for part, own in zip(parts, owns, strict=True):
            if num_features_of(part.name, own) != part.num_features:
                raise ProtocolError(f"own_sums: {part.family.node}: another number of features")
        totals = [np.zeros(part.end - part.start, dtype=np.int64) for part in parts]
        for batch in source.batches():
            totals = [
                total + part.sums_of(own, batch)
                for total, part, own in zip(totals, parts, owns, strict=True)
            ]
        return np.concatenate(totals)

    def width(self, study: Study, request: Request) -> int:
        """Parameters of the widest of these sums, with the constant."""
        return 1 + max(part.num_features for part in _parts(study, request))


def own_sums_request(
    study: Study, parents: Mapping[str, tuple[str, ...]], ranges: Mapping[str, Range]
) -> Request | None:
    """Ask for the sums of the study's own mechanisms; None where it names none.

    Raises
    ------
    InputError, FedCausalError
        A package is not installed here, or fails.
    """
    nodes: dict[str, JsonValue] = {}
    involved: set[str] = set()
    for node, named in sorted(study.model.mechanisms.items()):
        if node not in parents:
            continue
        above = [name for name in study.schema().names if name in parents[node]]
        about = _about(study, node, above, ranges)[1]
        own = own_mechanism(named.name, named.version, about)
        nodes[node] = {
            "name": named.name,
            "version": named.version,
            "parents": list(above),
            "features": num_features_of(named.name, own),
        }
        involved |= {node, *above}
    if not nodes:
        return None
    known: dict[str, JsonValue] = {
        name: [float(low), float(high)]
        for name, (low, high) in sorted(ranges.items())
        if name in involved
    }
    return Request(kind=OwnSums.name, parameters={"nodes": nodes, "ranges": known})


def fit_own_mechanisms(study: Study, request: Request, released: Released) -> dict[str, OwnNode]:
    """Every mechanism of a user's own, fitted to the released sums.

    Raises
    ------
    FedCausalError
        Sums were withheld, or a package breaks its contract; the message names the variable.
    """
    return {
        part.family.node: fit_own(
            part.name,
            part.version,
            own_mechanism(part.name, part.version, part.about),
            family=part.family,
            totals=part.totals(released),
        )
        for part in _parts(study, request)
    }


def _parts(study: Study, request: Request) -> list[_Sums]:
    """The request, held against the study that names the mechanisms."""
    asked, named = request.parameters.get("nodes"), study.model.mechanisms
    if not isinstance(asked, Mapping) or not asked or not set(asked) <= set(named):
        raise ProtocolError("own_sums: nodes: expected variables of model.mechanisms")
    ranges = _ranges(request.parameters.get("ranges"))
    found: list[_Sums] = []
    for node, value in sorted(asked.items()):
        own = named[node]
        if not isinstance(value, Mapping) or value.get("name") != own.name:
            raise ProtocolError(f"own_sums: {node}: expected the mechanism of the study")
        count, parents = value.get("features"), value.get("parents")
        if value.get("version") != own.version or not _is_count(count):
            raise ProtocolError(f"own_sums: {node}: expected its version and 1 to 64 features")
        family, about = _about(study, node, _names(study, node, parents), ranges)
        start = found[-1].end if found else 0
        found.append(
            _Sums(
                family=family,
                name=own.name,
                version=own.version,
                num_features=int(str(count)),
                about=about,
                start=start,
            )
        )
        if found[-1].num_cells > MOST_CELLS:
            raise ProtocolError(
                f"own_sums: {node}: {found[-1].num_cells} combinations of its causes' levels, "
                f"and at most {MOST_CELLS} are counted; remove model.mechanisms.{node}"
            )
    return found


def _about(
    study: Study, node: str, parents: list[str], ranges: Mapping[str, Range]
) -> tuple[Family, OwnVariable]:
    schema = study.schema()
    family = family_of_degree(schema, node, parents, ranges=ranges, degree=1)
    return family, own_variable(family, {name: schema[name].num_levels for name in parents})


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST_FEATURES


def _names(study: Study, node: str, value: JsonValue) -> list[str]:
    names = study.schema().names
    listed = list(value) if isinstance(value, list | tuple) else []
    is_ordered = all(
        names.index(str(a)) < names.index(str(b))
        for a, b in itertools.pairwise(listed)
        if a in names and b in names
    )
    if not isinstance(value, list | tuple) or node in listed or not is_ordered:
        raise ProtocolError(f"own_sums: {node}: parents: expected its causes in schema order")
    if any(name not in names for name in listed):
        raise ProtocolError(f"own_sums: {node}: parents: expected the study's variables")
    return [str(name) for name in listed]


def _ranges(value: JsonValue) -> dict[str, Range]:
    found: dict[str, Range] = {}
    for name, pair in value.items() if isinstance(value, Mapping) else ():
        ends = pair if isinstance(pair, list | tuple) and len(pair) == 2 else ()
        numbers = [float(end) for end in ends if isinstance(end, int | float)]
        if (
            len(numbers) != 2
            or not np.isfinite(numbers[1] - numbers[0])
            or numbers[0] >= numbers[1]
        ):
            raise ProtocolError("own_sums: ranges: expected {variable: [lo, hi]} with lo < hi")
        found[name] = (numbers[0], numbers[1])
    return found
