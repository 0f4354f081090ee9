"""What a site may send: the public shape and bounds of one summed vector."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fedcausal_privacy.canonical import JsonValue, json_hash
from fedcausal_privacy.errors import ProtocolError

__all__ = [
    "CountTable",
    "Guard",
    "IntVector",
    "RecordGroups",
    "Released",
    "StatisticSpec",
]

IntVector = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class CountTable:
    """A complete cross table whose cells are entries of the vector.

    `cells` are the indices of the cells, `shape` the table's shape (row-major). A table is
    complete when its cells sum to totals that are public or released as well, so that one
    withheld cell could be computed from the others: suppression must then withhold a second one.

    `axes` number the variables of the table, ascending: tables of one vector that have axes are
    about the same records, every margin of one is among them, and what they say together is
    examined (`fedcausal_privacy.disclosure.overlapping_tables`). A table of a smaller `stage` was
    released by an earlier request, and is withheld now as it was then.
    """

    cells: tuple[int, ...]
    shape: tuple[int, ...]
    axes: tuple[int, ...] = ()
    stage: int = 0

    def __post_init__(self) -> None:
        if int(np.prod(self.shape)) != len(self.cells):
            raise ProtocolError(f"a table of shape {self.shape} has not {len(self.cells)} cells")
        if self.axes and (
            len(self.axes) != len(self.shape) or sorted(set(self.axes)) != [*self.axes]
        ):
            raise ProtocolError(f"a table of shape {self.shape} has not the axes {self.axes}")

    def to_json(self) -> JsonValue:
        """The table as a JSON value."""
        content: dict[str, JsonValue] = {"cells": list(self.cells), "shape": list(self.shape)}
        return {**content, "axes": list(self.axes), "stage": self.stage} if self.axes else content

    @classmethod
    def from_json(cls, value: dict[str, JsonValue]) -> "CountTable":
        """Rebuild a table from `to_json`."""
        return cls(
            cells=_integers(value["cells"]),
            shape=_integers(value["shape"]),
            axes=_integers(value.get("axes", [])),
            stage=_integer(value.get("stage", 0)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """Entries that must be withheld whenever the count entry `count` is withheld."""

    count: int
    dependents: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordGroups:
    """Disjoint groups of records, of which every entry of the vector weighs a whole one alike.

    `listed` are the entries that count the groups in the sums: where one counts fewer than
    `min_records` (and above zero), the whole vector is withheld. `others` counts the records that
    are in no sum; it is withheld itself where it is that small.
    """

    min_records: int
    listed: tuple[int, ...]
    others: int

    def entries(self) -> tuple[int, ...]:
        """All entries that count records."""
        return (*self.listed, self.others)


@dataclass(frozen=True, slots=True, kw_only=True)
class StatisticSpec:
    """The public description of one summed vector; sites and coordinator derive it independently.

    `bound` limits the absolute value of every entry of ANY ONE site's vector. `limbs` is 2 for
    sums in Z_2^64 (statistics) and 1 for sums in Z_2^32 (model updates). `counts` are the entries
    that count records: a total below `min_cell` (and above zero) is withheld at release, with
    what `tables` and `guards` make depend on it. `presence` are the entries that count sites: a
    total below `min_present` (and above zero) is withheld the same way, because a sum to which
    one site alone contributes is that site's value. With `shows_small` a withheld cell of a table
    may be shown to be small (`fedcausal_privacy.disclosure.small_counts`). `min_summands` is the
    number of sites among which noise is divided (0: no shares of noise): a total of fewer is never
    formed. `groups` vouch that no few records are in the sums for what they lack.
    """

    name: str
    length: int
    bound: int
    limbs: Literal[1, 2] = 2
    min_cell: int = 0
    counts: tuple[int, ...] = ()
    tables: tuple[CountTable, ...] = ()
    guards: tuple[Guard, ...] = field(default=())
    presence: tuple[int, ...] = ()
    min_present: int = 2
    shows_small: bool = False
    min_summands: int = 0
    groups: RecordGroups | None = None

    def __post_init__(self) -> None:
        if self.length < 1 or self.bound < 0:
            raise ProtocolError(f"statistic {self.name!r} has no length or a negative bound")
        entries = [*self.counts, *self.presence, *(i for t in self.tables for i in t.cells)]
        entries += [i for g in self.guards for i in (g.count, *g.dependents)]
        entries += [] if self.groups is None else self.groups.entries()
        if any(not 0 <= i < self.length for i in entries):
            raise ProtocolError(f"statistic {self.name!r} marks entries outside its vector")

    def check_range(self, num_sites: int) -> None:
        """Prove that the total of `num_sites` vectors stays inside 63 (one limb: 31) bits."""
        limit = 2 ** (63 if self.limbs == 2 else 31)
        if num_sites * self.bound >= limit:
            raise ProtocolError(
                f"statistic {self.name!r}: {num_sites} sites times the bound {self.bound} "
                f"leaves {limit.bit_length() - 1} bits; lower privacy.max_rows"
            )

    def check_summands(self, num_sites: int) -> None:
        """Refuse a total of too few sites: the noise of the missing ones would be missing."""
        if num_sites < self.min_summands:
            raise ProtocolError(
                f"statistic {self.name!r}: its noise is divided among {self.min_summands} sites, "
                f"and a total of {num_sites} would have too little; start the run again when all "
                "are back, or without the missing ones"
            )

    def to_json(self) -> dict[str, JsonValue]:
        """The spec as a JSON value (what is hashed and signed)."""
        content: dict[str, JsonValue] = {
            "name": self.name,
            "length": self.length,
            "bound": self.bound,
            "limbs": self.limbs,
            "min_cell": self.min_cell,
            "counts": list(self.counts),
            "tables": [table.to_json() for table in self.tables],
            "guards": [{"count": g.count, "dependents": list(g.dependents)} for g in self.guards],
            "presence": list(self.presence),
            "min_present": self.min_present,
            "shows_small": self.shows_small,
            "min_summands": self.min_summands,
        }
        return content if self.groups is None else {**content, "groups": _grouped(self.groups)}

    @classmethod
    def from_json(cls, value: dict[str, JsonValue]) -> "StatisticSpec":
        """Rebuild a spec from `to_json`; anything else is a `ProtocolError`."""
        try:
            return cls(
                name=str(value["name"]),
                length=_integer(value["length"]),
                bound=_integer(value["bound"]),
                limbs=1 if value["limbs"] == 1 else 2,
                min_cell=_integer(value["min_cell"]),
                counts=_integers(value["counts"]),
                tables=tuple(CountTable.from_json(t) for t in _objects(value["tables"])),
                guards=tuple(
                    Guard(count=_integer(g["count"]), dependents=_integers(g["dependents"]))
                    for g in _objects(value["guards"])
                ),
                presence=_integers(value["presence"]),
                min_present=_integer(value["min_present"]),
                shows_small=_boolean(value["shows_small"]),
                min_summands=_integer(value["min_summands"]),
                groups=_groups(value["groups"]) if "groups" in value else None,
            )
        except (KeyError, TypeError, ValueError):
            raise ProtocolError("a statistic's description cannot be read") from None

    def digest(self) -> str:
        """SHA-256 of the canonical JSON: two parties agree on a statistic by its digest."""
        return json_hash(self.to_json())


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """A released total: the integers, and which of them the cell rule withheld.

    A withheld entry is zero, or `min_cell` - 1, its largest possible value, where the statistic
    `shows_small` and the rule says that the count is small.
    """

    totals: IntVector
    withheld: NDArray[np.bool_]

    def __post_init__(self) -> None:
        if self.totals.shape != self.withheld.shape or self.totals.ndim != 1:
            raise ProtocolError("totals and their withheld marks differ in shape")
        for array in (self.totals, self.withheld):
            array.setflags(write=False)


def _grouped(groups: RecordGroups) -> JsonValue:
    return [groups.min_records, list(groups.listed), groups.others]


def _groups(value: JsonValue) -> RecordGroups:
    if not isinstance(value, list):
        raise TypeError("not a list")
    least, listed, others = value
    return RecordGroups(
        min_records=_integer(least), listed=_integers(listed), others=_integer(others)
    )


def _integer(value: JsonValue) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError("not an integer")
    return value


def _boolean(value: JsonValue) -> bool:
    if not isinstance(value, bool):
        raise TypeError("not true or false")
    return value


def _integers(value: JsonValue) -> tuple[int, ...]:
    if not isinstance(value, list):
        raise TypeError("not a list")
    return tuple(_integer(v) for v in value)


def _objects(value: JsonValue) -> list[dict[str, JsonValue]]:
    if not isinstance(value, list) or not all(isinstance(v, dict) for v in value):
        raise TypeError("not a list of objects")
    return value
