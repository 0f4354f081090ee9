"""Rows of one site after coercion: numbers in declared units, level codes, NaN for missing."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fedcausal.errors import DataError
from fedcausal.schema import Schema

__all__ = ["BATCH_ROWS", "Matrix", "Table", "TableSource", "Vector"]

Matrix = NDArray[np.float64]
Vector = NDArray[np.float64]

BATCH_ROWS = 2**16


@dataclass(frozen=True, eq=False)
class Table:
    """Rows of one site, coerced to the study's schema.

    Attributes
    ----------
    schema
        The study's variables.
    values
        (num_rows, num_variables) float64, read-only: numbers in declared units, codes 0..L-1 for
        levels, NaN for missing. Columns follow `schema`.

    Privacy: records; a table never leaves its site.
    """

    schema: Schema
    values: Matrix

    def __post_init__(self) -> None:
        values = np.ascontiguousarray(self.values, dtype=np.float64)
        if values.ndim != 2 or values.shape[1] != len(self.schema):
            raise DataError(
                f"expected rows of {len(self.schema)} columns, got an array of shape "
                f"{values.shape}"
            )
        if values is self.values and values.flags.writeable:
            values = values.copy()
        values.setflags(write=False)
        object.__setattr__(self, "values", values)

    @property
    def num_rows(self) -> int:
        """Number of records."""
        return int(self.values.shape[0])

    def column(self, name: str) -> Vector:
        """One variable's values, shape (num_rows,)."""
        column: Vector = self.values[:, self.schema.index(name)]
        return column

    def take(self, rows: Sequence[int] | NDArray[np.int_] | NDArray[np.bool_]) -> "Table":
        """The chosen rows (positions or a mask), in that order."""
        return Table(self.schema, self.values[np.asarray(rows)])

    def batches(self, size: int = BATCH_ROWS) -> Iterator["Table"]:
        """The rows in pieces of at most `size`; an empty table yields nothing."""
        for start in range(0, self.num_rows, size):
            yield Table(self.schema, self.values[start : start + size])

    @classmethod
    def concatenate(cls, tables: Sequence["Table"]) -> "Table":
        """All rows of some tables of one schema, in order."""
        if not tables or any(t.schema != tables[0].schema for t in tables):
            raise DataError("tables to be joined need one and the same schema")
        return cls(tables[0].schema, np.concatenate([t.values for t in tables]))


class TableSource(Protocol):
    """Where a site's rows come from, one bounded batch at a time.

    `batches` can be called again for another pass and yields the same rows.
    """

    @property
    def schema(self) -> Schema:
        """The variables of every batch."""
        ...

    def batches(self) -> Iterator[Table]:
        """Batches of coerced rows."""
        ...
