"""Between data frames in a user's words and columns of numbers and codes."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from fedcausal.data.coercion import not_counts, read_column
from fedcausal.data.levels import LevelMatcher
from fedcausal.errors import InputError
from fedcausal.schema import Kind, Schema, Variable

__all__ = [
    "FEW_WORDS",
    "check_share",
    "do_codes",
    "extrapolation_warnings",
    "far_records",
    "few_columns",
    "read_frame",
    "source_of",
    "value_code",
    "value_name",
    "write_column",
    "write_frame",
    "write_parts",
]

FloatArray = NDArray[np.float64]

FEW_WORDS = 64
"""Records up to which looking levels up one by one is quicker than by columns."""


def read_frame(frame: pd.DataFrame, schema: Schema, names: Iterable[str]) -> dict[str, FloatArray]:
    """Columns of a frame as numbers and codes, NaN for missing.

    Declared bounds are not enforced: a model's own predictions may leave them. `far_records`
    tells of records that do.

    Raises
    ------
    InputError
        A column is absent or holds something that its variable cannot be.
    """
    wanted = list(names)
    for name in wanted:
        if name not in frame.columns:
            raise InputError(f"{source_of(frame)}:{name}: the column is needed and absent; add it")
    source = source_of(frame)
    frame = frame.copy(deep=False)
    frame.attrs = {}  # pandas copies them with every column that is looked at
    found = _numbers(frame, schema, wanted) | _words(frame, schema, wanted)
    read = {n: found[n] if n in found else _read(frame[n], schema[n], source) for n in wanted}
    for name in (name for name in wanted if schema[name].kind is Kind.COUNT):
        if odd := int(np.count_nonzero(not_counts(read[name]))):
            raise InputError(
                f"{source}:{name}: {odd} value{'s' * (odd > 1)} that are no counts (0 or a whole "
                "number above); correct the column"
            )
    return read


def write_frame(
    columns: Mapping[str, FloatArray], schema: Schema, names: Iterable[str], index: pd.Index
) -> pd.DataFrame:
    """A frame of some columns: numbers as they are, codes as the names of their levels.

    Numbers are written as one block: a table of many columns takes as long as one of few.
    """
    wanted = list(names)
    if 0 < len(index) <= FEW_WORDS and any(schema[name].categories for name in wanted):
        return pd.DataFrame(few_columns(columns, schema, wanted), index=index)
    parts = write_parts(columns, schema, wanted, index)
    return parts[0] if len(parts) == 1 else pd.concat(parts, axis=1)[wanted]


def write_parts(
    columns: Mapping[str, FloatArray], schema: Schema, names: Iterable[str], index: pd.Index
) -> list[pd.DataFrame]:
    """The same in one frame of all numbers and one of all levels, where there are such."""
    wanted = list(names)
    numbers = [name for name in wanted if not schema[name].categories]
    block = np.array([columns[name] for name in numbers], dtype=float).reshape(-1, len(index)).T
    frame = pd.DataFrame(block, columns=pd.Index(numbers, dtype=object), index=index)
    named = [name for name in wanted if schema[name].categories]
    if not named:
        return [frame]
    if 0 < len(index) <= FEW_WORDS:
        words = pd.DataFrame(few_columns(columns, schema, named), index=index, copy=False)
    else:
        own = {name: write_column(columns[name], schema[name]) for name in named}
        words = pd.DataFrame(own, index=index)
    return [frame, words] if numbers else [words]


def source_of(frame: pd.DataFrame) -> str:
    """What errors call a frame: the file it was read from, where its `attrs` say so."""
    return str(frame.attrs.get("source", "frame"))


def write_column(values: FloatArray, variable: Variable) -> NDArray[np.float64] | list[str]:
    """Numbers as they are, codes as the names of their levels."""
    if not variable.categories:
        return values
    return [variable.categories[int(code)] for code in values]


def check_share(extrapolate: float) -> None:
    """Refuse what is no share of the bounds' width: `InputError`."""
    if not 0.0 <= extrapolate <= 1.0:
        raise InputError(f"extrapolate: expected a share from 0 to 1, got {extrapolate:g}")


def do_codes(
    do: Mapping[str, float | str] | None,
    schema: Schema,
    ranges: Mapping[str, tuple[float, float]],
    *,
    beyond: float = 0.0,
) -> dict[str, float]:
    """The values of do() as numbers and codes, checked against the schema and the ranges.

    Raises
    ------
    InputError
        An unknown variable or level, or a value beyond the bounds: there the model would
        extrapolate.
    """
    return {
        name: value_code(schema[name], value, ranges.get(name), beyond=beyond)
        for name, value in (do or {}).items()
    }


def value_code(
    variable: Variable,
    value: float | str,
    interval: tuple[float, float] | None = None,
    *,
    beyond: float = 0.0,
) -> float:
    """One value as a number within `interval`, or as the code of a level.

    `beyond` widens the interval at either end by this share of its width; see
    `extrapolation_warnings`.
    """
    if variable.categories:
        return _level(variable, value)
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise InputError(f"do {variable.name}: expected a number, got {value!r}") from None
    low, high = interval or variable.bounds or (-np.inf, np.inf)
    if variable.kind is Kind.COUNT and not (number >= 0 and number == np.rint(number)):
        raise InputError(
            f"do {variable.name}: expected a count (0 or a whole number above), got {value!r}"
        )
    slack = beyond * (high - low) if np.isfinite(high - low) else 0.0
    if not np.isfinite(number):
        raise InputError(
            f"do {variable.name}: expected a finite number within [{low:g}, {high:g}], got {value}"
        )
    if not low - slack <= number <= high + slack:
        raise InputError(
            f"do {variable.name}: expected a value within [{low:g}, {high:g}], where the sites "
            f"have data, got {number:g}; beyond it the model would extrapolate by "
            f"{_distance(number, low, high)}"
        )
    return number


def extrapolation_warnings(
    do: Mapping[str, float], schema: Schema, ranges: Mapping[str, tuple[float, float]]
) -> tuple[str, ...]:
    """A sentence for every value of do() that lies beyond where the sites have data."""
    return tuple(
        f"{name} = {value:g} lies outside [{low:g}, {high:g}] by {_distance(value, low, high)}: "
        "the answer rests on a straight line beyond all data"
        for name, value in do.items()
        if name in ranges and not schema[name].categories
        for low, high in [ranges[name]]
        if not low <= value <= high
    )


def far_records(
    columns: Mapping[str, FloatArray], schema: Schema, ranges: Mapping[str, tuple[float, float]]
) -> list[str]:
    """For each column how many records lie beyond where the sites have data, and the farthest."""
    names = [name for name in columns if name in ranges]
    values = np.array([columns[name] for name in names])
    if not names or not values.size:
        return []
    low, high = np.array([ranges[name] for name in names]).T[..., None]
    off = np.maximum(low - values, values - high)
    found: list[str] = []
    for place in np.flatnonzero((off > 0).any(axis=1)):
        worst = float(values[place, np.nanargmax(off[place])])
        outside, name = int(np.count_nonzero(off[place] > 0)), names[place]
        warnings = extrapolation_warnings({name: worst}, schema, ranges)
        found += [f"{outside} of {values.shape[1]} records: {text}" for text in warnings]
    return found


def _distance(value: float, low: float, high: float) -> str:
    off = max(low - value, value - high)
    return f"{off:.4g} ({off / (high - low):.0%} of the width)"


def value_name(variable: Variable, code: float) -> str:
    """A value as people read it, with its unit."""
    if variable.categories:
        return variable.categories[int(code)]
    return f"{code:.6g} {variable.unit}".rstrip()


def _level(variable: Variable, value: float | str) -> float:
    word = f"{value:g}" if isinstance(value, float) else str(value)
    code = LevelMatcher(variable).code(word)
    if code is None or np.isnan(code):
        levels = ", ".join(variable.categories)
        raise InputError(f"do {variable.name}: expected one of {levels}, got {value!r}")
    return code


def _numbers(frame: pd.DataFrame, schema: Schema, names: list[str]) -> dict[str, FloatArray]:
    """Columns that are finite numbers as they stand, read as one block."""
    plain = [n for n in names if not schema[n].categories and not schema[n].missing]
    if not plain or not frame.columns.is_unique:
        return {}
    chosen = frame if list(frame.columns) == plain else frame[plain]
    if any(kind != np.float64 for kind in chosen.dtypes.unique()):
        plain = [n for n in plain if frame[n].dtype == np.float64]
        chosen = frame[plain]
    block = np.array(chosen.to_numpy().T)
    finite = ~np.isinf(block).any(axis=1)
    return {n: block[k] for k, n in enumerate(plain) if finite[k]}


def few_columns(
    columns: Mapping[str, FloatArray], schema: Schema, names: Iterable[str]
) -> dict[str, Any]:
    """Columns of few records: numbers, and names of levels as pieces of one array.

    Making an array of words takes far longer than taking a piece of one.
    """
    wanted = list(names)
    words = {n: list(write_column(columns[n], schema[n])) for n in wanted if schema[n].categories}
    flat = pd.array([word for own in words.values() for word in own], dtype="str")
    ends = np.cumsum([0, *(len(own) for own in words.values())]).tolist()
    pieces = {n: flat[a:b] for n, a, b in zip(words, ends[:-1], ends[1:], strict=True)}
    return {n: pieces[n] if n in pieces else np.asarray(columns[n], float) for n in wanted}


def _words(frame: pd.DataFrame, schema: Schema, names: list[str]) -> dict[str, FloatArray]:
    """Columns of few records that hold the very names of levels; all else is left to `_read`."""
    asked = [n for n in names if schema[n].categories and not schema[n].missing]
    if not asked or len(frame) > FEW_WORDS or not frame.columns.is_unique:
        return {}
    found: dict[str, FloatArray] = {}
    for name in asked:
        codes = {level: float(code) for code, level in enumerate(schema[name].categories)}
        read = [codes.get(v) if isinstance(v, str) else None for v in frame[name].array]
        if None not in read:
            found[name] = np.array(read, dtype=float)
    return found


def _read(series: "pd.Series[Any]", variable: Variable, source: str) -> FloatArray:
    if not variable.categories:
        variable = replace(variable, bounds=None)
    try:
        array = pa.array(series, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        array = pa.array([None if pd.isna(v) else str(v) for v in series], pa.string())
    reading = read_column(array, variable)
    problems = {
        "without a number": reading.not_numbers,
        "of infinity": reading.infinite,
        f"that are none of the levels {', '.join(variable.categories)}": reading.unlisted,
    }
    found = [
        f"{count} value{'s' * (count > 1)} {text}" for text, count in problems.items() if count
    ]
    if found:
        raise InputError(f"{source}:{variable.name}: {'; '.join(found)}; correct the column")
    return reading.values
