"""From a site's columns to the study's types: what is lossless is coerced, the rest refused."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fedcausal.data.levels import MISSING_WORDS, LevelMatcher
from fedcausal.data.table import Table, Vector
from fedcausal.data.units import Conversion
from fedcausal.errors import DataError
from fedcausal.schema import Kind, Schema, Variable, did_you_mean

__all__ = [
    "MAX_MAGNITUDE",
    "ColumnMap",
    "Reading",
    "check_columns",
    "coerce",
    "not_counts",
    "read_column",
    "unlisted_words",
]

# Without declared bounds a number is placed on a public dyadic scale that ends here.
MAX_MAGNITUDE = 2.0**40
# A bound met up to rounding (float32 files) is met: half a step of the 2^-20 grid.
BOUND_SLACK = 2.0**-21

_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$|^[+-]?(inf|infinity)$"


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnMap:
    """How one site names and measures things.

    Attributes
    ----------
    columns
        Variable -> the site's column. An empty name says that the site does not have the
        variable: all its rows are missing.
    levels
        Variable -> (the site's word -> the study's level).
    conversions
        Variable -> from the site's unit to the study's.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    levels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    conversions: Mapping[str, Conversion] = field(default_factory=dict)

    def column(self, name: str) -> str:
        """The site's column that holds a variable."""
        return self.columns.get(name, name)

    def read(self, column: Any, variable: Variable) -> "Reading":
        """Coerce one Arrow column of the site to a variable's numbers or codes."""
        return read_column(
            column,
            variable,
            self.levels.get(variable.name),
            self.conversions.get(variable.name),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reading:
    """One column after coercion, with the number of rows that do not fit.

    `values` has NaN where a row is missing or does not fit; `found` is the type that came and
    `coerced` says whether it differed from what the variable's kind stores. No field holds a
    value of a record.
    """

    variable: Variable
    values: Vector
    found: str
    coerced: bool = False
    not_numbers: int = 0
    infinite: int = 0
    beyond: int = 0
    fractions: int = 0
    unlisted: int = 0
    unlisted_levels: int = 0

    def problems(self) -> list[str]:
        """What does not fit, each with its remedy; empty when every row fits."""
        key = f"variables.{self.variable.name}"
        faults = [
            (self.not_numbers, "not a number", f"correct them, or add the code to {key}.missing"),
            (self.infinite, "infinite", f"correct them, or add the code to {key}.missing"),
            (
                self.beyond,
                _beyond(self.variable),
                f"correct them, add their code to {key}.missing, or widen {key}.bounds",
            ),
            (
                self.fractions,
                "no count (0 or a whole number above)",
                f'correct them, or write {key}.kind = "continuous"',
            ),
            (
                self.unlisted,
                "a level that the study does not list",
                f"add it to {key}.categories, or map it in site.toml under "
                f"[levels.{self.variable.name}]",
            ),
        ]
        return [f"{what} in {_rows(n)}; {remedy}" for n, what, remedy in faults if n]


def coerce(
    table: Any, schema: Schema, *, site: str = "data", mapping: ColumnMap | None = None
) -> Table:
    """The rows of an Arrow table as the study's types.

    Parameters
    ----------
    table
        A `pyarrow.Table` whose columns have the names of the variables, or those that
        `mapping` gives.
    site
        Named in errors.

    Raises
    ------
    DataError
        Naming site:column, the number of rows and the remedy; never a value.
    """
    mapping = mapping or ColumnMap()
    check_columns(table.column_names, schema, site=site, mapping=mapping)
    readings = [mapping.read(_column(table, mapping.column(v.name)), v) for v in schema]
    problems = [
        f"{site}:{mapping.column(reading.variable.name)}: {text}"
        for reading in readings
        for text in reading.problems()
    ]
    if problems:
        raise DataError("\n".join(problems))
    return Table(schema, np.column_stack([r.values for r in readings]))


def check_columns(header: list[str], schema: Schema, *, site: str, mapping: ColumnMap) -> None:
    """Refuse a header that lacks a column of the study or has it twice."""
    problems = []
    for name in schema.names:
        column = mapping.column(name)
        if not column:
            continue
        if column not in header:
            remedy = did_you_mean(column, header)
            problems.append(
                f"{site}:{column}: there is no such column{remedy} "
                f'(in site.toml: [columns] {name} = "its name here", or "" if you have none)'
            )
        elif header.count(column) > 1:
            problems.append(f"{site}:{column}: the column is there twice; rename one of them")
    if problems:
        raise DataError("\n".join(problems))


def _column(table: Any, name: str) -> Any:
    return table.column(name) if name else pa.nulls(table.num_rows)


def read_column(
    column: Any,
    variable: Variable,
    levels: Mapping[str, str] | None = None,
    conversion: Conversion | None = None,
) -> Reading:
    """Coerce one Arrow column to a variable's numbers or codes; nothing is refused here.

    Codes for "missing" are those of the column as it is, bounds those after the conversion.
    """
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if variable.categories:
        return _read_levels(array, variable, levels or {})
    return _read_numbers(array, variable, conversion)


def _read_numbers(array: Any, variable: Variable, conversion: Conversion | None) -> Reading:
    values, not_numbers = _as_numbers(array, variable)
    for code in variable.missing:
        if isinstance(code, float):
            values[values == code] = np.nan
    if conversion is not None:
        values = conversion.apply(values)
    infinite = np.isinf(values)
    outside = _is_outside(values, variable) & ~infinite
    values[infinite | outside] = np.nan
    odd = not_counts(values) if variable.kind is Kind.COUNT else np.zeros(len(values), np.bool_)
    values[odd] = np.nan
    if variable.bounds is not None:
        np.clip(values, *variable.bounds, out=values)
    return Reading(
        variable=variable,
        values=values,
        found=str(array.type),
        coerced=not (pa.types.is_floating(array.type) or pa.types.is_integer(array.type)),
        not_numbers=not_numbers,
        infinite=int(infinite.sum()),
        beyond=int(outside.sum()),
        fractions=int(odd.sum()),
    )


def not_counts(values: Vector) -> NDArray[np.bool_]:
    """Which values are neither missing nor whole numbers of 0 or more."""
    return np.asarray(~np.isnan(values) & ((values < 0) | (values != np.rint(values))))


def _as_numbers(array: Any, variable: Variable) -> tuple[Vector, int]:
    """Numbers with NaN for missing, and how many rows hold something else."""
    kind, types = array.type, pa.types
    if types.is_string(kind) or types.is_large_string(kind):
        return _parse_numbers(array, variable)
    if types.is_boolean(kind):
        array = pc.cast(array, pa.uint8())
    elif types.is_decimal(kind):
        # Through its digits: Arrow's own cast of a decimal is not the nearest number.
        array = pc.cast(array, pa.string())
    elif not (types.is_integer(kind) or types.is_floating(kind)):
        return np.full(len(array), np.nan), len(array) - array.null_count
    return _to_float(pc.cast(array, pa.float64(), safe=False)), 0


def _parse_numbers(array: Any, variable: Variable) -> tuple[Vector, int]:
    text = pc.utf8_lower(pc.utf8_trim_whitespace(array))
    codes = [code.strip().lower() for code in variable.missing if isinstance(code, str)]
    absent = pc.is_in(text, value_set=pa.array([*MISSING_WORDS, *codes], text.type))
    text = pc.if_else(absent, None, text)
    try:
        return _to_float(pc.cast(text, pa.float64())), 0
    except pa.ArrowInvalid:
        good = pc.fill_null(pc.match_substring_regex(text, _NUMBER), False)
        bad = len(text) - text.null_count - (pc.sum(good).as_py() or 0)
        return _to_float(pc.cast(pc.if_else(good, text, None), pa.float64())), int(bad)


def _to_float(array: Any) -> Vector:
    values: Vector = pc.fill_null(array, float("nan")).to_numpy(zero_copy_only=False)
    return np.array(values, dtype=np.float64)


def _is_outside(values: Vector, variable: Variable) -> NDArray[np.bool_]:
    if variable.bounds is None:
        return np.abs(values) >= MAX_MAGNITUDE
    lo, hi = variable.bounds
    slack = BOUND_SLACK * (hi - lo)
    return (values < lo - slack) | (values > hi + slack)


def _read_levels(array: Any, variable: Variable, levels: Mapping[str, str]) -> Reading:
    matcher = LevelMatcher(variable, levels)
    encoded = pc.dictionary_encode(array, null_encoding="mask")
    words = [_as_word(v) for v in encoded.dictionary.to_pylist()]
    codes = [matcher.code(word) for word in words]
    unlisted = np.array([c is None for c in codes], dtype=bool)
    table = np.array([np.nan if c is None else c for c in codes] + [np.nan])
    rows = pc.fill_null(encoded.indices, len(words)).to_numpy(zero_copy_only=False)
    return Reading(
        variable=variable,
        values=table[rows],
        found=str(array.type),
        coerced=not (pa.types.is_string(array.type) or pa.types.is_large_string(array.type)),
        unlisted=int(np.append(unlisted, False)[rows].sum()),
        unlisted_levels=int(unlisted.sum()),
    )


def unlisted_words(
    column: Any, variable: Variable, levels: Mapping[str, str] | None = None
) -> dict[str, int]:
    """A column's words that are no level of the variable, with their numbers of rows.

    Privacy: values of records; for the site's own operator, and only those of enough rows.
    """
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    matcher = LevelMatcher(variable, levels or {})
    found = pc.value_counts(array.drop_null())
    words = [(_as_word(each["values"].as_py()), each["counts"].as_py()) for each in found]
    return {word: count for word, count in words if matcher.code(word) is None}


def _as_word(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.17g}" if isinstance(value, float) else str(value)


def _beyond(variable: Variable) -> str:
    if variable.bounds is None:
        return f"beyond 2^40 (about {MAX_MAGNITUDE:.1e}), the limit without declared bounds,"
    lo, hi = variable.bounds
    return f"beyond the declared bounds [{lo:g}, {hi:g}]"


def _rows(count: int) -> str:
    return f"{count} row" if count == 1 else f"{count} rows"
