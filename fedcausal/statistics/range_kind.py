"""The "range" statistic: public ranges for variables whose bounds the study does not declare."""

import math
from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from fedcausal.data.table import TableSource, Vector
from fedcausal.errors import DataError, SchemaError
from fedcausal.statistics.gram_kind import max_rows_per_site
from fedcausal.statistics.kind import Request
from fedcausal.study import Study
from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.statistic_spec import CountTable, IntVector, Released, StatisticSpec

__all__ = [
    "NUM_BUCKETS",
    "RangeKind",
    "bucket_of",
    "is_edge",
    "range_release",
    "range_request",
    "unbounded",
]

_MIN_EXPONENT = -40
_MAX_EXPONENT = 40
_PER_OCTAVE = 4
_ZERO = (_MAX_EXPONENT - _MIN_EXPONENT) * _PER_OCTAVE

NUM_BUCKETS = 2 * _ZERO + 1
"""Negative buckets, one around zero, positive buckets; edges are public and the same for all."""


class RangeKind:
    """Counts of records over dyadic buckets (4 per octave, both signs) of each variable.

    The total is a histogram of all records, so the range read from it does not depend on how
    records are spread over sites. Bucket edges are m 2^e with m in {1, 1.25, 1.5, 1.75} and
    -40 <= e < 40; numbers below 2^-40 in absolute value fall into the bucket around zero.

    A range found so is at most a factor 1.25 wider than the data at each end, measured from
    zero; data far from zero and close together (1,000,000 +- 1) deserve declared bounds.

    Privacy: counts below `min_cell` are withheld; that a bucket is occupied is released.
    """

    name: ClassVar[str] = "range"
    part: ClassVar[Literal["graph"]] = "graph"

    def spec(self, study: Study, request: Request, num_sites: int) -> StatisticSpec:
        """The public shape and bounds of the vector."""
        names = _names(study, request)
        entries = np.arange(len(names) * NUM_BUCKETS).reshape(len(names), NUM_BUCKETS)
        return StatisticSpec(
            name=request.id(),
            length=entries.size,
            bound=max_rows_per_site(study, num_sites),
            min_cell=study.privacy.min_cell,
            counts=tuple(entries.ravel().tolist()),
            tables=tuple(
                CountTable(cells=tuple(row.tolist()), shape=(NUM_BUCKETS,)) for row in entries
            ),
        )

    def compute(
        self, study: Study, request: Request, source: TableSource, rng: np.random.Generator
    ) -> IntVector:
        """The site's histograms, one after another."""
        names = _names(study, request)
        counts = np.zeros((len(names), NUM_BUCKETS), dtype=np.int64)
        for batch in source.batches():
            for row, name in enumerate(names):
                column = batch.column(name)
                buckets = bucket_of(column[~np.isnan(column)], name)
                counts[row] += np.bincount(buckets, minlength=NUM_BUCKETS)
        return counts.ravel()

    def width(self, study: Study, request: Request) -> int:
        """Zero: a histogram has no parameters."""
        return 0


def unbounded(study: Study) -> tuple[str, ...]:
    """The numeric variables that have no declared bounds."""
    return tuple(v.name for v in study.schema() if v.is_numeric and v.bounds is None)


def range_request(study: Study) -> Request | None:
    """The coordinator's request; None when every numeric variable has bounds."""
    names = unbounded(study)
    return Request(kind=RangeKind.name, parameters={"variables": list(names)}) if names else None


def range_release(
    study: Study, request: Request, released: Released
) -> dict[str, tuple[float, float]]:
    """Public (lo, hi) of every variable: all buckets that are occupied or withheld.

    Raises
    ------
    DataError
        When no site has any value of a variable.
    """
    names = _names(study, request)
    if released.totals.shape != (len(names) * NUM_BUCKETS,):
        raise ProtocolError("a range total has another length than its request implies")
    occupied = ((released.totals > 0) | released.withheld).reshape(len(names), NUM_BUCKETS)
    return {
        name: _range(np.flatnonzero(row), name) for name, row in zip(names, occupied, strict=True)
    }


def bucket_of(values: Vector, name: str = "values") -> NDArray[np.int64]:
    """The bucket of each number; one beyond 2^40 is a `DataError`.

    >>> bucket_of(np.array([0.0, 1.0, -1.0])).tolist()
    [320, 481, 159]
    """
    if not np.all(np.abs(values) < 2.0**_MAX_EXPONENT):
        raise DataError(f"{name}: a value is infinite or beyond 2^{_MAX_EXPONENT}; correct it")
    mantissa, exponent = np.frexp(np.abs(values))
    octave = exponent.astype(np.int64) - 1 - _MIN_EXPONENT
    quarter = ((mantissa - 0.5) * 2 * _PER_OCTAVE).astype(np.int64)
    step = np.where((values == 0) | (octave < 0), 0, 1 + octave * _PER_OCTAVE + quarter)
    return _ZERO + np.where(values < 0, -step, step)


def is_edge(value: object) -> bool:
    """Whether a number is the end of a bucket, as those of a released range are.

    >>> is_edge(1.25), is_edge(-1792.0), is_edge(1.3), is_edge(0.0)
    (True, True, False, False)
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    mantissa, exponent = math.frexp(abs(value))
    octave, quarter = exponent - 1, (mantissa - 0.5) * 2 * _PER_OCTAVE
    is_inside = _MIN_EXPONENT <= octave < _MAX_EXPONENT and quarter.is_integer() and mantissa > 0
    return is_inside or abs(value) == 2.0**_MAX_EXPONENT


def _range(buckets: NDArray[np.int64], name: str) -> tuple[float, float]:
    if not buckets.size:
        raise DataError(f"{name}: no site has it; remove variables.{name} from the study")
    return _edges(int(buckets[0]) - _ZERO)[0], _edges(int(buckets[-1]) - _ZERO)[1]


def _edges(step: int) -> tuple[float, float]:
    """Lower and upper edge of a bucket, by its signed distance from the one around zero."""
    if step == 0:
        return -(2.0**_MIN_EXPONENT), 2.0**_MIN_EXPONENT
    inner, outer = _edge(abs(step) - 1), _edge(abs(step))
    return (inner, outer) if step > 0 else (-outer, -inner)


def _edge(step: int) -> float:
    octave, quarter = divmod(step, _PER_OCTAVE)
    return float(2.0 ** (_MIN_EXPONENT + octave) * (1 + quarter / _PER_OCTAVE))


def _names(study: Study, request: Request) -> Sequence[str]:
    names = request.parameters.get("variables")
    if not isinstance(names, Sequence) or isinstance(names, str) or not names:
        raise ProtocolError("a range request lists its variables")
    schema = study.schema()
    for name in names:
        if not isinstance(name, str) or name not in schema or not schema[name].is_numeric:
            raise SchemaError(f"a range request names {name!r}, which is no numeric variable")
    if len(set(names)) != len(names):
        raise ProtocolError("a range request lists a variable twice")
    return [str(name) for name in names]
