"""Released contingency tables with their gaps filled, smaller tables first."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from fedcausal.errors import InputError
from fedcausal.schema import Schema
from fedcausal.scores.contingency import Counts, Mask, complete
from fedcausal.statistics.tables_kind import ReleasedTables

__all__ = ["CompletedTables", "Places", "margins_of"]

Places = tuple[int, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class CompletedTables:
    """Counts of records by set of variables (ascending positions in the schema).

    Withheld cells have the values that agree with the margins (`contingency.complete`), so that a
    table can be had for every set whose pairs were released. A variable with missing values has
    one more level for them; `table` leaves it out.

    Attributes
    ----------
    schema
        Of the study; every variable has levels.
    missing
        Positions of the variables that may have missing values: all of them until the first
        tables have shown who has some.
    num_records
        Records of all sites; 0 before the first tables.
    released
        Completed tables of the released sets.
    withheld
        Their shares of withheld cells.
    gaps
        What was shown of those with withheld cells, and which cells were withheld.

    Assumptions: values missing completely at random. Privacy: reads released totals only.
    """

    schema: Schema
    missing: frozenset[int]
    num_records: int = 0
    released: Mapping[Places, Counts] = field(default_factory=dict)
    withheld: Mapping[Places, float] = field(default_factory=dict)
    gaps: Mapping[Places, tuple[Counts, Mask]] = field(default_factory=dict)

    @classmethod
    def begin(cls, schema: Schema) -> "CompletedTables":
        """No tables yet; a variable without levels is refused."""
        continuous = [v.name for v in schema if not v.categories]
        if continuous:
            raise InputError(
                f"variable {continuous[0]!r} has no levels, and tables need them; "
                'write discovery.tests = "gram"'
            )
        return cls(schema=schema, missing=frozenset(range(len(schema))))

    @cached_property
    def levels(self) -> tuple[int, ...]:
        """Number of levels of every variable."""
        return tuple(len(v.categories) for v in self.schema)

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Levels of every variable in a table, with that of missing values."""
        return tuple(n + (k in self.missing) for k, n in enumerate(self.levels))

    @cached_property
    def missing_names(self) -> tuple[str, ...]:
        """Names of the variables that may have missing values."""
        return tuple(self.schema.names[k] for k in sorted(self.missing))

    def take(self, tables: ReleasedTables) -> "CompletedTables":
        """Complete the tables of one round, each from its completed margins."""
        here = self if self.num_records else self._counted(tables)
        released, withheld, all_gaps = dict(here.released), dict(here.withheld), dict(here.gaps)
        for places in sorted(tables.tables, key=len):
            if places not in released:
                inside = tuple(slice(here.sizes[k]) for k in places)
                counts, gaps = tables.table(places)
                gaps = gaps[inside]
                shown = counts[inside].astype(np.float64)
                margins = [released[m] for m in margins_of(places)]
                released[places] = complete(
                    shown, gaps, margins, at_most=np.where(gaps, shown, 0.0)
                )
                withheld[places] = float(gaps.mean())
                if gaps.any():
                    all_gaps[places] = (shown, gaps)
        return replace(here, released=released, withheld=withheld, gaps=all_gaps)

    def around(self, expected: Callable[[Places], Counts]) -> "CompletedTables":
        """Complete the released tables once more, close to the positive counts of a model."""
        released = dict(self.released)
        for places in sorted(self.gaps, key=len):
            shown, gaps = self.gaps[places]
            released[places] = complete(
                shown,
                gaps,
                [released[m] for m in margins_of(places)],
                at_most=np.where(gaps, shown, 0.0),
                start=expected(places),
            )
        return replace(self, released=released)

    def table(self, places: Places) -> Counts:
        """Records with a value for each variable of a set, axes in the order given."""
        ordered = tuple(sorted(places))
        counts = np.transpose(self._full(ordered), [ordered.index(k) for k in places])
        return counts[tuple(slice(self.levels[k]) for k in places)]

    def _full(self, places: Places) -> Counts:
        """A released table; from its margins alone where it was not asked for."""
        found = self.released.get(places)
        if found is None:
            found = self._derived.get(places)
        if found is None:
            margins = [self._full(m) for m in margins_of(places)]
            shape = [self.sizes[k] for k in places]
            found = complete(np.zeros(shape), np.ones(shape, dtype=bool), margins)
            self._derived[places] = found
        return found

    @cached_property
    def _derived(self) -> dict[Places, Counts]:
        return {}

    def _counted(self, tables: ReleasedTables) -> "CompletedTables":
        """Read the number of records and who has missing values from the first round."""
        total, withheld = tables.table(())
        if withheld.any():
            raise InputError(
                "discovery: there are fewer records than privacy.min_cell in all; "
                "let more sites join"
            )
        seen = {place for places in tables.tables for place in places}
        return replace(
            self,
            num_records=int(total),
            missing=frozenset(k for k in seen if _has_missing(tables, k)),
        )


def margins_of(places: Places) -> list[Places]:
    """A set without each of its variables in turn."""
    return [places[:axis] + places[axis + 1 :] for axis in range(len(places))]


def _has_missing(tables: ReleasedTables, place: int) -> bool:
    counts, withheld = tables.table((place,))
    return bool(counts[-1]) or bool(withheld[-1])
