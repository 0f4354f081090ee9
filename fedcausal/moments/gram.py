"""The additive statistic: exact integer sums of products of features over records."""

from collections.abc import Iterable
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from fedcausal.data.table import Matrix, Table, TableSource
from fedcausal.errors import DataError, SchemaError
from fedcausal.moments.basis import Basis, IntMatrix

__all__ = ["CHUNK_ROWS", "MAX_RECORDS", "Gram"]

CHUNK_ROWS = 2**14
"""|q| <= 2^19, so a chunk's sums of products stay within 2^52: float64 holds them exactly."""

MAX_RECORDS = 2**25 - 1
"""Sums of products over this many records stay within 63 bits: 2^25 x 2^38 = 2^63."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Gram:
    """Exact sums over records; an additive monoid over one basis.

    With q the integers of `Basis.encode` (zero where missing) and o what is observed:

    Attributes
    ----------
    basis
        Features (p) and variables (d) of the sums.
    num_rows
        Number of records.
    counts
        (d, d): records in which both variables are observed, sum of o_v o_w.
    values
        (p, d): sum of q_i over records in which variable w is observed.
    squares
        (p, d): sum of q_i^2 over the same records.
    products
        (p, p): sum of q_i q_j.

    Laws: `zero(b) + g == g`; `+` is associative and commutative; the Gram of joined tables is the
    sum of their Grams; no order or batching of the rows changes an integer.

    Privacy: a Gram of one site is aggregate but not safe; it leaves only through a secure sum.
    """

    basis: Basis
    num_rows: int
    counts: IntMatrix
    values: IntMatrix
    squares: IntMatrix
    products: IntMatrix

    def __post_init__(self) -> None:
        if self.num_rows > MAX_RECORDS:
            raise DataError(
                f"expected at most {MAX_RECORDS} rows, got {self.num_rows}; "
                "exact sums of more do not fit 63 bits"
            )
        for array in (self.counts, self.values, self.squares, self.products):
            array.setflags(write=False)

    @classmethod
    def zero(cls, basis: Basis) -> "Gram":
        """The Gram of no records."""
        p, d = basis.num_features, len(basis.schema)
        shapes = {"counts": (d, d), "values": (p, d), "squares": (p, d), "products": (p, p)}
        empty = {name: np.zeros(shape, dtype=np.int64) for name, shape in shapes.items()}
        return cls(basis=basis, num_rows=0, **empty)

    @classmethod
    def from_table(cls, basis: Basis, table: Table) -> "Gram":
        """The Gram of a table's records."""
        return cls.sum(basis, (_chunk(basis, piece) for piece in table.batches(CHUNK_ROWS)))

    @classmethod
    def from_source(cls, basis: Basis, source: TableSource) -> "Gram":
        """The Gram of all records of a source, one batch in memory at a time."""
        return cls.sum(basis, (cls.from_table(basis, batch) for batch in source.batches()))

    @classmethod
    def sum(cls, basis: Basis, grams: Iterable["Gram"]) -> "Gram":
        """The sum of some Grams over one basis."""
        total = cls.zero(basis)
        for gram in grams:
            total = total + gram
        return total

    def __add__(self, other: "Gram") -> "Gram":
        if self.basis is not other.basis and self.basis != other.basis:
            raise SchemaError("Grams over different bases cannot be added")
        return Gram(
            basis=self.basis,
            num_rows=self.num_rows + other.num_rows,
            counts=self.counts + other.counts,
            values=self.values + other.values,
            squares=self.squares + other.squares,
            products=self.products + other.products,
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Gram):
            return NotImplemented
        return all(
            np.array_equal(getattr(self, f.name), getattr(other, f.name))
            if f.name not in ("basis", "num_rows")
            else getattr(self, f.name) == getattr(other, f.name)
            for f in fields(self)
        )

    __hash__ = None  # type: ignore[assignment]


def _chunk(basis: Basis, table: Table) -> Gram:
    q, observed = basis.grid(table)
    sums = _complete(basis, q) if observed.all() else _incomplete(q, observed)
    counts, values, squares = (_integers(a) for a in sums)
    return Gram(
        basis=basis,
        num_rows=table.num_rows,
        counts=counts,
        values=values,
        squares=squares,
        products=_integers(q.T @ q),
    )


def _complete(basis: Basis, q: Matrix) -> tuple[Matrix, Matrix, Matrix]:
    """Without missing values every variable sees the same rows."""
    d = len(basis.schema)
    values = np.repeat(q.sum(axis=0)[:, None], d, axis=1)
    squares = np.repeat(np.einsum("ij,ij->j", q, q)[:, None], d, axis=1)
    return np.full((d, d), float(len(q))), values, squares


def _incomplete(q: Matrix, observed: NDArray[np.bool_]) -> tuple[Matrix, Matrix, Matrix]:
    seen = observed.astype(np.float64)
    return seen.T @ seen, q.T @ seen, (q * q).T @ seen


def _integers(sums: Matrix) -> IntMatrix:
    """Exact: every entry is an integer below 2^53."""
    return sums.astype(np.int64)
