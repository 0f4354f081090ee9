"""Between data frames in a user's words and columns of numbers and codes."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from fedcausal.data.coercion import read_column
from fedcausal.data.levels import LevelMatcher
from fedcausal.errors import InputError
from fedcausal.schema import Schema, Variable

__all__ = [
    "check_share",
    "do_codes",
    "extrapolation_warnings",
    "read_frame",
    "source_of",
    "value_code",
    "value_name",
    "write_column",
    "write_frame",
]

FloatArray = NDArray[np.float64]

FEW_WORDS = 64
"""Records up to which looking levels up one by one is quicker than by columns."""


def read_frame(frame: pd.DataFrame, schema: Schema, names: Iterable[str]) -> dict[str, FloatArray]:
    """Columns of a frame as numbers and codes, NaN for missing.

    Declared bounds are not enforced: a model's own predictions may leave them.

    Raises
    ------
    InputError
        A column is absent or holds something that its variable cannot be.
    """
    wanted = list(names)
    for name in wanted:
        if name not in frame.columns:
            raise InputError(f"{source_of(frame)}:{name}: the column is needed and absent; add it")
    found = _numbers(frame, schema, wanted) | _words(frame, schema, wanted)
    source = source_of(frame)
    return {n: found[n] if n in found else _read(frame[n], schema[n], source) for n in wanted}


def write_frame(
    columns: Mapping[str, FloatArray], schema: Schema, names: Iterable[str], index: pd.Index
) -> pd.DataFrame:
    """A frame of some columns: numbers as they are, codes as the names of their levels.

    Numbers are written as one block: a table of many columns takes as long as one of few.
    """
    wanted = list(names)
    numbers = [name for name in wanted if not schema[name].categories]
    block = np.array([columns[name] for name in numbers], dtype=float).reshape(-1, len(index)).T
    frame = pd.DataFrame(block, columns=pd.Index(numbers, dtype=object), index=index)
    words = {n: write_column(columns[n], schema[n]) for n in wanted if schema[n].categories}
    if not words:
        return frame
    return pd.concat([frame, pd.DataFrame(words, index=index)], axis=1)[wanted]


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


def _words(frame: pd.DataFrame, schema: Schema, names: list[str]) -> dict[str, FloatArray]:
    """Columns of few records that hold the very names of levels; all else is left to `_read`."""
    asked = [n for n in names if schema[n].categories and not schema[n].missing]
    if not asked or len(frame) > FEW_WORDS or not frame.columns.is_unique:
        return {}
    block = frame[asked].to_numpy(dtype=object)
    found: dict[str, FloatArray] = {}
    for place, name in enumerate(asked):
        codes = {level: float(code) for code, level in enumerate(schema[name].categories)}
        read = [codes.get(v) if isinstance(v, str) else None for v in block[:, place]]
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
