"""One look at a site's rows before anything is asked of them: how many, which, who stands out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from fedcausal.data.table import TableSource
from fedcausal.data.units import Conversion
from fedcausal.schema import Variable
from fedcausal_privacy.canonical import json_hash
from fedcausal_privacy.disclosure.row_sketch import ColumnSketch, column_key

__all__ = ["Moments", "Survey", "survey"]

Vector = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What the gate must know of a site's rows.

    Attributes
    ----------
    num_rows
        Records.
    shares
        Numeric variable -> largest share that one record has in the sum of squares about the
        site's mean; 0 for a constant.
    columns
        A column of the site, with the coding of its levels -> the sketch of its values.

    Privacy: counts and shares of records; stays at the site.
    """

    num_rows: int
    shares: Mapping[str, float] = field(default_factory=dict)
    columns: Mapping[str, ColumnSketch] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "shares", MappingProxyType(dict(self.shares)))
        object.__setattr__(self, "columns", MappingProxyType(dict(self.columns)))

    @property
    def dominated(self) -> tuple[str, float]:
        """The variable in which one record has the largest share, and the share."""
        return max(self.shares.items(), key=lambda item: item[1], default=("", 0.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """Count, mean, sum of squares about the mean and extremes: an additive monoid."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0
    lowest: float = np.inf
    highest: float = -np.inf

    @classmethod
    def of(cls, values: Vector) -> "Moments":
        """The moments of some values, none of them missing."""
        if not values.size:
            return cls()
        mean = float(values.mean())
        return cls(
            count=values.size,
            mean=mean,
            squares=float(np.square(values - mean).sum()),
            lowest=float(values.min()),
            highest=float(values.max()),
        )

    def __add__(self, other: "Moments") -> "Moments":
        count = self.count + other.count
        if count == 0:
            return self
        gap = other.mean - self.mean
        return Moments(
            count=count,
            mean=self.mean + gap * other.count / count,
            squares=self.squares + other.squares + gap**2 * self.count * other.count / count,
            lowest=min(self.lowest, other.lowest),
            highest=max(self.highest, other.highest),
        )

    @property
    def share(self) -> float:
        """The most distant record's part of the sum of squares."""
        if self.count == 0 or self.squares <= 0.0:
            return 0.0
        farthest = max(self.highest - self.mean, self.mean - self.lowest)
        return farthest**2 / self.squares


def survey(
    source: TableSource,
    columns: Mapping[str, str],
    secret: bytes | None,
    conversions: Mapping[str, Conversion] | None = None,
) -> Survey:
    """Read all rows once; every value is checked against the study on the way.

    `columns` maps variables to the site's own names of them; `secret` keys the sketches, which
    are left out without one. Values that were converted are sketched in the site's own unit, so
    that two studies with different units are seen to read the same rows.
    """
    converted = conversions or {}
    schema = source.schema
    names = {v.name: _column(v, columns.get(v.name, v.name)) for v in schema}
    keys = {n: column_key(secret, column) for n, column in names.items() if secret is not None}
    moments = {v.name: Moments() for v in schema if v.is_numeric}
    sketches = dict.fromkeys(keys, ColumnSketch.empty())
    num_rows = 0
    for batch in source.batches():
        num_rows += batch.num_rows
        for name in schema.names:
            values = batch.column(name)
            if name in keys:
                own = _in_own_unit(values, converted.get(name))
                sketches[name] = sketches[name].add(own, keys[name])
            if name in moments:
                moments[name] = moments[name] + Moments.of(values[~np.isnan(values)])
    return Survey(
        num_rows=num_rows,
        shares={name: m.share for name, m in moments.items()},
        columns={names[name]: sketch for name, sketch in sketches.items()},
    )


def _in_own_unit(values: Vector, conversion: Conversion | None) -> Vector:
    """Values as the site measured them, to ten digits: the way there and back rounds."""
    if conversion is None:
        return values
    own = conversion.undo(values)
    size = np.abs(np.where(np.isfinite(own) & (own != 0.0), own, 1.0))
    scale = 10.0 ** (9.0 - np.floor(np.log10(np.clip(size, 1e-200, 1e200))))
    return np.asarray(np.round(own * scale) / scale, dtype=np.float64)


def _column(variable: Variable, column: str) -> str:
    """The site's column and how the study reads it: two studies see the same values in both."""
    return f"{column}:{json_hash(list(variable.categories))[:16]}"
