"""The differences between sites' columns, variable by site, before anything runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from fedcausal.data.coercion import ColumnMap, Reading
from fedcausal.data.sources import to_arrow
from fedcausal.data.table import Vector
from fedcausal.errors import DataError
from fedcausal.schema import Schema, Variable, did_you_mean
from fedcausal_privacy.canonical import JsonValue

__all__ = ["Cell", "SiteComparison", "Status", "compare_sites"]


OFTEN = 0.2
"""Share of missing values from which on a column is remarked upon."""
RARE = 5
"""A level with fewer records than this at a site is called rare there ..."""
ENOUGH_FOR_LEVELS = 50
"""... if the site has this many records: in a handful, every level is rare."""


MAX_SHOWN = 20
"""Lines of errors, and of the table, that a person reads."""


class Status(StrEnum):
    """What was found in one column of one site, the worst first."""

    NO_COLUMN = "no column"
    NOT_NUMBERS = "not numbers"
    INFINITE = "infinite"
    OUT_OF_BOUNDS = "beyond bounds"
    UNLISTED = "unlisted"
    ABSENT = "not collected"
    ALL_MISSING = "all missing"
    CONSTANT = "constant"
    OTHER_SCALE = "other scale"
    COERCED = "coerced"
    OFTEN_MISSING = "often missing"
    RARE_LEVELS = "rare levels"
    OK = "ok"

    @property
    def is_error(self) -> bool:
        """Whether a run cannot start with it."""
        return self in _ERRORS

    @property
    def is_empty(self) -> bool:
        """Whether the site has no value of the variable."""
        return self in (Status.NO_COLUMN, Status.ABSENT, Status.ALL_MISSING)


_ERRORS = frozenset(
    {
        Status.NO_COLUMN,
        Status.NOT_NUMBERS,
        Status.INFINITE,
        Status.OUT_OF_BOUNDS,
        Status.UNLISTED,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One column of one site: its status, a few words, and what to do about an error."""

    status: Status
    text: str
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteComparison:
    """The table of cells by (variable, site).

    Privacy: counts of rows and of unlisted levels appear, and the ratio of medians where a unit
    may differ; values and level names do not. A comparison is made where all tables are
    (simulation) or of one site's own table; it is not sent.
    """

    variables: tuple[str, ...]
    sites: tuple[str, ...]
    num_rows: Mapping[str, int]
    cells: Mapping[tuple[str, str], Cell]

    def errors(self) -> list[str]:
        """Everything that keeps a run from starting, with its remedy."""
        few = [
            f"{site}: expected at least 2 rows, got {n}; check the file"
            for site, n in self.num_rows.items()
            if n < 2
        ]
        nowhere = [name for name in self.variables if self._is_nowhere(name)]
        unfit = [
            f"{site}:{name}: {cell.remedy}"
            for (name, site), cell in self.cells.items()
            if cell.status.is_error and name not in nowhere
        ]
        return [*few, *unfit, *filter(None, map(self._variable_error, self.variables))]

    def raise_for_errors(self) -> None:
        """Raise a `DataError` with the table below the errors, if there are any.

        Of many errors the first are shown, and of a table that is longer than a screen nothing.
        """
        errors = self.errors()
        if not errors:
            return
        more = len(errors) - MAX_SHOWN
        shown = [*errors[:MAX_SHOWN], *([f"and {more} more like these"] if more > 0 else [])]
        picture = self.render()
        if picture.count("\n") < MAX_SHOWN:
            shown += ["", picture]
        raise DataError("\n".join(shown))

    def render(self, width: int = 80) -> str:
        """The cells that are not plainly ok, as plain text of at most `width` columns."""
        names = [n for n in self.variables if any(self._differs(n, s) for s in self.sites)]
        sites = [s for s in self.sites if any(self._differs(n, s) for n in names)]
        fine = len(self.sites) - len(sites)
        if not names:
            return f"All {len(self.variables)} variables fit at all {len(self.sites)} sites."
        column = max(13, min(18, max(len(s) for s in sites)))
        first = max(8, min(20, max(len(n) for n in names)))
        per_panel = max(1, (width - first) // (column + 1))
        panels = [
            self._panel(names, sites[i : i + per_panel], first, column)
            for i in range(0, len(sites), per_panel)
        ]
        rest = [f"All variables fit at {fine} further site{'s' * (fine > 1)}."] if fine else []
        return "\n\n".join([*panels, *rest])

    def to_json(self) -> dict[str, JsonValue]:
        """The whole table as a JSON object."""
        return {
            "sites": [{"name": s, "num_rows": self.num_rows[s]} for s in self.sites],
            "variables": list(self.variables),
            "cells": [
                {"variable": n, "site": s, "status": cell.status.value, "text": cell.text}
                for (n, s), cell in self.cells.items()
            ],
            "errors": list(self.errors()),
        }

    def _differs(self, name: str, site: str) -> bool:
        return self.cells[name, site].status is not Status.OK

    def _variable_error(self, name: str) -> str:
        statuses = [self.cells[name, site].status for site in self.sites]
        if all(status.is_empty for status in statuses):
            return f"{name}: no site has it{self._nearest(name)}"
        if all(status.is_empty or status is Status.CONSTANT for status in statuses):
            return f"{name}: constant at every site; remove variables.{name} from the study"
        return ""

    def _is_nowhere(self, name: str) -> bool:
        return all(self.cells[name, site].status is Status.NO_COLUMN for site in self.sites)

    def _nearest(self, name: str) -> str:
        """What to do about a variable that no site has: perhaps it is misspelt."""
        remedy = f"; remove variables.{name} from the study"
        guesses = {
            self.cells[name, site].remedy.partition("did you mean ")[2] for site in self.sites
        }
        close = sorted(guess.removesuffix("?") for guess in guesses if guess)
        return f"{remedy}, or rename it to {close[0]}" if close else remedy

    def _panel(self, names: list[str], sites: list[str], first: int, column: int) -> str:
        header = " " * first + "".join(f" {_fit(site, column)}" for site in sites)
        lines = [
            _fit(name, first)
            + "".join(f" {_fit(self.cells[name, site].text, column)}" for site in sites)
            for name in names
        ]
        return "\n".join(line.rstrip() for line in [header, *lines])


def compare_sites(
    schema: Schema,
    tables: Mapping[str, Any],
    *,
    mappings: Mapping[str, ColumnMap] | None = None,
) -> SiteComparison:
    """Compare the columns that a study uses over sites; other columns are not looked at.

    Parameters
    ----------
    tables
        Site -> Arrow table, pandas frame or path.
    mappings
        Site -> its column map, where it has one.
    """
    mappings = mappings or {}
    cells: dict[tuple[str, str], Cell] = {}
    quartiles: dict[tuple[str, str], Vector] = {}
    num_rows: dict[str, int] = {}
    for site, data in tables.items():
        table = to_arrow(data)
        num_rows[site] = int(table.num_rows)
        for variable in schema:
            mapping = mappings.get(site, ColumnMap())
            cell, values = _cell(table, variable, mapping)
            cells[variable.name, site] = cell
            if variable.is_numeric and not cell.status.is_error and values.size >= 10:
                quartiles[variable.name, site] = np.quantile(values, [0.25, 0.5, 0.75])
    _accept_common_types(cells, schema, tuple(tables))
    _mark_other_scales(cells, quartiles)
    return SiteComparison(
        variables=schema.names, sites=tuple(tables), num_rows=num_rows, cells=cells
    )


def _accept_common_types(
    cells: dict[tuple[str, str], Cell], schema: Schema, sites: tuple[str, ...]
) -> None:
    """A type that every site has (text, in CSV files) is no difference between sites."""
    for name in schema.names:
        coerced = [s for s in sites if cells[name, s].status is Status.COERCED]
        if len({cells[name, s].text for s in coerced}) == 1 and not any(
            cells[name, s].status is Status.OK for s in sites
        ):
            for site in coerced:
                cells[name, site] = Cell(status=Status.OK, text="ok")


def _mark_other_scales(
    cells: dict[tuple[str, str], Cell], quartiles: Mapping[tuple[str, str], Vector]
) -> None:
    """A site whose middle half is apart from every other site's, by a factor of 5 or more."""
    for (name, site), own in quartiles.items():
        others = [q for (n, s), q in quartiles.items() if n == name and s != site]
        if len(others) < 2 or cells[name, site].status not in (Status.OK, Status.COERCED):
            continue
        typical = float(np.median([q[1] for q in others]))
        is_apart = all(own[0] > q[2] or own[2] < q[0] for q in others)
        if is_apart and own[1] * typical > 0 and not 0.2 < own[1] / typical < 5:
            text = f"{own[1] / typical:.2g} x others"
            cells[name, site] = Cell(status=Status.OTHER_SCALE, text=text)


def _cell(table: Any, variable: Variable, mapping: ColumnMap) -> tuple[Cell, Vector]:
    """What to say of one column, and its values that are present."""
    column, nothing = mapping.column(variable.name), np.empty(0)
    if not column:
        return Cell(status=Status.ABSENT, text="not collected"), nothing
    if column not in table.column_names:
        remedy = f"there is no column {column!r}{did_you_mean(column, table.column_names)}"
        return Cell(status=Status.NO_COLUMN, text="no column", remedy=remedy), nothing
    reading = mapping.read(table.column(column), variable)
    present = reading.values[~np.isnan(reading.values)]
    return _fault(reading) or _remark(reading, present, variable), present


def _fault(reading: Reading) -> Cell | None:
    """Rows that keep a run from starting."""
    faults = [
        (reading.not_numbers, Status.NOT_NUMBERS, f"{reading.not_numbers} not numbers"),
        (reading.infinite, Status.INFINITE, f"{reading.infinite} infinite"),
        (reading.beyond, Status.OUT_OF_BOUNDS, f"{reading.beyond} beyond"),
        (reading.fractions, Status.NOT_NUMBERS, f"{reading.fractions} no counts"),
        (reading.unlisted, Status.UNLISTED, f"{reading.unlisted_levels} levels new"),
    ]
    remedy = "; ".join(reading.problems())
    found = [Cell(status=s, text=text, remedy=remedy) for n, s, text in faults if n]
    return found[0] if found else None


def _remark(reading: Reading, present: Vector, variable: Variable) -> Cell:
    if not present.size:
        return Cell(status=Status.ALL_MISSING, text="all missing")
    if present.min() == present.max():
        return Cell(status=Status.CONSTANT, text="constant")
    missing = 1.0 - present.size / reading.values.size
    if missing >= OFTEN:
        return Cell(status=Status.OFTEN_MISSING, text=f"{missing:.0%} missing")
    if variable.num_levels and present.size >= ENOUGH_FOR_LEVELS:
        counts = np.bincount(present.astype(np.int64), minlength=variable.num_levels)
        rare = int(np.count_nonzero(counts < RARE))
        if rare:
            return Cell(status=Status.RARE_LEVELS, text=f"{rare} rare level{'s' * (rare > 1)}")
    if reading.coerced:
        return Cell(status=Status.COERCED, text=f"from {reading.found}")
    return Cell(status=Status.OK, text="ok")


def _fit(text: str, width: int) -> str:
    return text.ljust(width) if len(text) <= width else text[: width - 1] + "~"
