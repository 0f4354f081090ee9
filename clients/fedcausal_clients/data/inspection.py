"""What a study needs of a site's data, what is there and what is missing; nothing leaves."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import wrap
from typing import Any, Literal

import numpy as np

from fedcausal.console import WIDTH, table
from fedcausal.data.coercion import ColumnMap, Reading, unlisted_words
from fedcausal.data.comparison import OFTEN
from fedcausal.data.rows import Rows
from fedcausal.data.sources import batch_size, in_batches
from fedcausal.data.units import Conversion, conversion_of
from fedcausal.errors import DataError, InputError
from fedcausal.schema import Schema, Variable, did_you_mean
from fedcausal.study import Study
from fedcausal_clients.config_section import SITE_FILE
from fedcausal_clients.data.site_data import site_rows
from fedcausal_clients.data.survey import Moments
from fedcausal_clients.site_config import SiteConfig
from fedcausal_privacy.canonical import JsonValue, fingerprint

__all__ = ["ColumnFinding", "Inspection", "inspect_data", "inspection_lines"]

Status = Literal["ok", "warning", "failed"]

# Free text has endless words; a few are enough to see what a column holds.
_MAX_WORDS = 200
_MAX_SHOWN_WORDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnFinding:
    """One variable of the study in this site's data.

    Privacy: counts of rows, and words of at least `policy.min_cell` rows; for the operator.
    """

    variable: str
    column: str
    status: Status
    found: str = ""
    unit: str = ""
    missing: float = 0.0
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, JsonValue]:
        """The finding as a JSON object."""
        return {
            "variable": self.variable,
            "column": self.column,
            "status": self.status,
            "type": self.found,
            "unit": self.unit,
            "missing": self.missing,
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """A site's data against a study; `faults` are about all of them, `notes` no reason to stop."""

    site: str
    study: str
    num_rows: int
    columns: tuple[ColumnFinding, ...]
    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def is_ready(self) -> bool:
        """Whether a run of the study can read these data."""
        return not self.faults and all(c.status != "failed" for c in self.columns)

    def to_json(self) -> dict[str, JsonValue]:
        """The inspection as a JSON object."""
        return {
            "site": self.site,
            "study": self.study,
            "ready": self.is_ready,
            "num_rows": self.num_rows,
            "columns": [column.to_json() for column in self.columns],
            "faults": list(self.faults),
            "notes": list(self.notes),
        }


@dataclass(slots=True)
class _Tally:
    """What was seen of one variable so far."""

    missing: int = 0
    not_numbers: int = 0
    infinite: int = 0
    beyond: int = 0
    unlisted: int = 0
    words: Counter[str] = field(default_factory=Counter)
    moments: Moments = field(default_factory=Moments)
    found: set[str] = field(default_factory=set)

    def add(self, reading: Reading, words: Mapping[str, int]) -> None:
        present = reading.values[~np.isnan(reading.values)]
        unfit = reading.not_numbers + reading.infinite + reading.beyond + reading.unlisted
        self.missing += reading.values.size - present.size - unfit
        self.not_numbers += reading.not_numbers
        self.infinite += reading.infinite
        self.beyond += reading.beyond
        self.unlisted += reading.unlisted
        self.moments = self.moments + Moments.of(present)
        self.found.add(reading.found)
        for word, count in words.items():
            if word in self.words or len(self.words) < _MAX_WORDS:
                self.words[word] += count


def inspect_data(home: Path, study: Study) -> Inspection:
    """Read all of a site's rows once and compare them with what a study needs.

    Memory does not grow with the rows. Nothing is written and nothing leaves.

    Raises
    ------
    InputError
        The site file is wrong, or its source cannot be read at all.
    """
    config = SiteConfig.load(home)
    if config.site.role != "site":
        raise InputError(f"{home}: a steward has no data; name a site's folder")
    schema, refused = study.schema(), {}
    conversions: dict[str, Conversion] = {}
    for name, unit in config.units.items():
        if name in schema:
            try:
                conversions[name] = conversion_of(schema[name], unit.site_unit())
            except DataError as error:
                refused[name] = f"{SITE_FILE}: units.{error}"
    mapping = ColumnMap(columns=config.columns, levels=config.levels, conversions=conversions)
    rows = site_rows(config, home)
    header = rows.header()
    tallies, num_rows = _tallies(rows, header, schema, mapping)
    columns = tuple(
        _finding(v, config, mapping, header, tallies.get(v.name), num_rows, refused.get(v.name))
        for v in schema
    )
    return Inspection(
        site=config.site.name,
        study=study.hash(),
        num_rows=num_rows,
        columns=columns,
        faults=tuple(_row_faults(config, study, num_rows)),
        notes=(*_unused(config, schema), *_undeclared(config, schema)),
    )


def inspection_lines(found: Inspection, *, brief: bool = False) -> list[str]:
    """The inspection for a terminal of 80 columns."""
    verdict = "fits the study" if found.is_ready else "does NOT fit the study"
    first = f"{found.site}: {found.num_rows} rows, {verdict} {fingerprint(found.study)[:9]}..."
    failed = [c for c in found.columns if c.status == "failed"]
    lines = [first, *(f"failed: {fault}" for fault in found.faults)]
    shown = failed if brief else found.columns
    if shown:
        header = ("", "variable", "column", "type", "missing", "found")
        lines += ["", *table(header, [_row(c) for c in shown], indent=0)]
    if brief:
        return lines
    told = (wrap(f"note: {n}", WIDTH, subsequent_indent="  ") for n in found.notes)
    return [*lines, *(line for note in told for line in note)]


def _tallies(
    rows: Rows, header: list[str], schema: Schema, mapping: ColumnMap
) -> tuple[dict[str, _Tally], int]:
    """One pass over the columns that are there."""
    there = {v.name: mapping.column(v.name) for v in schema}
    there = {name: column for name, column in there.items() if header.count(column) == 1}
    tallies = {name: _Tally() for name in there}
    wanted = list(dict.fromkeys(there.values())) or header[:1]
    num_rows = 0
    for batch in in_batches(rows, wanted, batch_size(schema)):
        num_rows += batch.num_rows
        for name, column in there.items():
            values, variable = batch.column(column), schema[name]
            reading = mapping.read(values, variable)
            levels = mapping.levels.get(name)
            words = unlisted_words(values, variable, levels) if reading.unlisted else {}
            tallies[name].add(reading, words)
    return tallies, num_rows


def _finding(
    variable: Variable,
    config: SiteConfig,
    mapping: ColumnMap,
    header: list[str],
    tally: _Tally | None,
    num_rows: int,
    refused: str | None,
) -> ColumnFinding:
    name = variable.name
    column = mapping.column(name)
    unit = _unit(variable, config)
    if not column:
        note = "not collected here (columns in site.toml)"
        return ColumnFinding(
            variable=name, column="-", status="warning", unit=unit, missing=1.0, notes=(note,)
        )
    if tally is None:
        note = (
            "the column is there twice" if column in header else _no_column(name, column, header)
        )
        return ColumnFinding(
            variable=name, column=column, status="failed", unit=unit, notes=(note,)
        )
    faults = [*([refused] if refused else []), *_faults(tally, variable, config)]
    notes = [*faults, *_remarks(tally, num_rows)]
    return ColumnFinding(
        variable=name,
        column=column,
        status="failed" if faults else "warning" if notes else "ok",
        found=", ".join(sorted(tally.found)),
        unit=unit,
        missing=tally.missing / num_rows if num_rows else 1.0,
        notes=tuple(notes),
    )


def _no_column(name: str, column: str, header: list[str]) -> str:
    return (
        f"there is no such column{did_you_mean(column, header)}; in site.toml: [columns] "
        f'{name} = "its name here", or "" if you have none'
    )


def _faults(tally: _Tally, variable: Variable, config: SiteConfig) -> list[str]:
    """What makes a run refuse, with its remedy."""
    reading = Reading(
        variable=variable,
        values=np.empty(0),
        found="",
        not_numbers=tally.not_numbers,
        infinite=tally.infinite,
        beyond=tally.beyond,
        unlisted=tally.unlisted,
    )
    faults = reading.problems()
    if tally.unlisted:
        faults.append(_words(tally, config.policy.min_cell))
    share = tally.moments.share
    if not faults and variable.is_numeric and share > config.policy.max_dominance:
        faults.append(
            f"one record has {share:.0%} of the squares about the mean "
            f"(policy.max_dominance = {config.policy.max_dominance:g}); check its unit"
        )
    return faults


def _words(tally: _Tally, min_cell: int) -> str:
    """Words of enough rows, the most frequent first; the others are counted."""
    often = [(w, n) for w, n in tally.words.most_common() if n >= min_cell]
    shown = [f"{word[:30]!r} in {count} rows" for word, count in often[:_MAX_SHOWN_WORDS]]
    rest = len(tally.words) - len(shown)
    if rest:
        shown.append(f"{rest} further words")
    return "unlisted: " + ", ".join(shown)


def _remarks(tally: _Tally, num_rows: int) -> list[str]:
    """What does not stop a run, and is worth knowing before it."""
    if tally.missing == num_rows:
        return ["no value at all"]
    remarks = []
    if tally.missing >= OFTEN * num_rows:
        remarks.append("often missing")
    if tally.moments.count and tally.moments.lowest == tally.moments.highest:
        remarks.append("constant here")
    return remarks


def _row_faults(config: SiteConfig, study: Study, num_rows: int) -> list[str]:
    policy, limit = config.policy, study.privacy.max_rows
    faults = []
    if num_rows < policy.min_rows:
        faults.append(f"{num_rows} rows, and policy.min_rows is {policy.min_rows}")
    if limit is not None and num_rows > limit:
        faults.append(f"{num_rows} rows, and the study's privacy.max_rows is {limit}")
    return faults


def _unused(config: SiteConfig, schema: Schema) -> list[str]:
    """Names of the site file that this study does not have: meant for another one, or misspelt."""
    sections: Mapping[str, Mapping[str, Any]] = {
        "columns": config.columns,
        "levels": config.levels,
        "units": config.units,
    }
    return [
        f"{SITE_FILE}: {key}.{name}: the study has no such variable"
        f"{did_you_mean(name, schema.names)}"
        for key, section in sections.items()
        for name in section
        if name not in schema
    ]


def _undeclared(config: SiteConfig, schema: Schema) -> list[str]:
    """Units that the study declares and the site file does not: they are taken on trust."""
    names = [
        f"{v.name} ({v.unit})"
        for v in schema
        if v.unit and v.is_numeric and v.name not in config.units
    ]
    if not names:
        return []
    return [f"taken to be in the study's unit, [units] does not say: {', '.join(names)}"]


def _unit(variable: Variable, config: SiteConfig) -> str:
    here = config.units.get(variable.name)
    if here is None or here.unit == variable.unit:
        return variable.unit
    return f"{here.unit} -> {variable.unit}"


def _row(found: ColumnFinding) -> tuple[str, ...]:
    unit = f"{found.unit}; " if "->" in found.unit else ""
    return (
        found.status if found.status != "ok" else "",
        _cut(found.variable),
        _cut(found.column),
        found.found[:12],
        f"{found.missing:.0%}",
        unit + ("; ".join(found.notes) or "ok"),
    )


def _cut(name: str) -> str:
    return name if len(name) <= 14 else name[:13] + "~"
