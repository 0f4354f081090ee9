"""Records by which of their values are missing, and a source that keeps some such patterns."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fedcausal.data.table import Table, TableSource
from fedcausal.schema import Schema

__all__ = ["COMPLETE", "KeptRecords", "pattern_counts", "patterns_of"]

COMPLETE = 0
"""The pattern of a record that has all values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptRecords:
    """The records of a source whose pattern of missing values is one of a list.

    A pattern is an integer: bit i is set where variable i of the schema is missing.

    Attributes
    ----------
    source
        All records.
    patterns
        Those that stay; complete records alone by default.

    Privacy: a sum over these records weighs all records of one pattern alike, whatever variables
    it is about. So combinations of such sums show groups of patterns, never a part of one.
    """

    source: TableSource
    patterns: frozenset[int] = frozenset({COMPLETE})
    _counts: dict[int, int] = field(default_factory=dict, repr=False, compare=False)

    @property
    def schema(self) -> Schema:
        """The variables of every batch."""
        return self.source.schema

    def batches(self) -> Iterator[Table]:
        """Batches of the records that stay; a batch without one is skipped."""
        counts = Counter[int]()
        for batch in self.source.batches():
            found, places = patterns_of(batch)
            counts.update(_counted(found, places))
            is_kept = np.array([pattern in self.patterns for pattern in found], dtype=bool)
            if is_kept.all():
                yield batch
            elif is_kept.any():
                yield batch.take(is_kept[places])
        self._counts.update(counts)

    def counts(self) -> Mapping[int, int]:
        """How many records of the source have each pattern; a pass, unless there was one."""
        if not self._counts:
            self._counts.update(pattern_counts(self.source))
        return self._counts


def patterns_of(table: Table) -> tuple[list[int], NDArray[np.int64]]:
    """The distinct patterns of a table, and for each record the place of its own among them."""
    missing = np.isnan(table.values)
    if not missing.any():
        return [COMPLETE], np.zeros(table.num_rows, dtype=np.int64)
    packed = np.packbits(missing, axis=1, bitorder="little")
    distinct, places = np.unique(packed, axis=0, return_inverse=True)
    found = [int.from_bytes(row.tobytes(), "little") for row in distinct]
    return found, places.reshape(-1).astype(np.int64)


def pattern_counts(source: TableSource) -> dict[int, int]:
    """How many records of a source have each pattern."""
    counts = Counter[int]()
    for batch in source.batches():
        counts.update(_counted(*patterns_of(batch)))
    return dict(counts)


def _counted(found: list[int], places: NDArray[np.int64]) -> dict[int, int]:
    numbers = np.bincount(places, minlength=len(found)).tolist()
    return dict(zip(found, numbers, strict=True))
