"""Rows that training never sees: chosen by their own values, so that the choice never changes."""

import hashlib

import numpy as np
from numpy.typing import NDArray

__all__ = ["is_held_out"]

_WHOLE = float(2**64)


def is_held_out(values: NDArray[np.float64], share: float) -> NDArray[np.bool_]:
    """Which rows (num_rows, num_columns) are held out (num_rows,): about `share` of them.

    A row's place follows from a hash of its own values alone. It is the same in every round, and
    another row that joins or leaves changes nothing for it; equal rows are on the same side.

    Privacy: both sides are functions of disjoint rows, chosen row by row: what is released of one
    side costs nothing to the rows of the other.
    """
    if share <= 0.0:
        return np.zeros(len(values), dtype=np.bool_)
    rows = np.ascontiguousarray(np.where(np.isnan(values), np.inf, values) + 0.0, dtype="<f8")
    drawn = [
        int.from_bytes(hashlib.blake2b(row.tobytes(), digest_size=8).digest()) / _WHOLE
        for row in rows
    ]
    return np.array(drawn, dtype=np.float64) < share
