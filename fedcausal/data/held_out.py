"""Records that a site keeps out of every fit, to judge the fitted model with."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcausal.data.table import Table, TableSource
from fedcausal.schema import Schema

__all__ = ["HeldOut", "is_held_out"]

_STEP, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """One part of a site's rows: those that are held out, or all others.

    Attributes
    ----------
    source
        All rows, in an order of their own.
    share
        Expected share of the rows that are held out.
    key
        What the choice follows from besides a row's position.
    is_kept
        Whether this is the part that models are fitted to.

    Privacy: rows of a site; which are held out depends on no value of theirs.
    """

    source: TableSource
    share: float
    key: str
    is_kept: bool

    @property
    def schema(self) -> Schema:
        """The variables of every batch."""
        return self.source.schema

    def batches(self) -> Iterator[Table]:
        """Batches of this part's rows."""
        start = 0
        for batch in self.source.batches():
            positions = np.arange(start, start + batch.num_rows, dtype=np.uint64)
            start += batch.num_rows
            yield batch.take(is_held_out(positions, self.share, self.key) != self.is_kept)


def is_held_out(positions: NDArray[np.uint64], share: float, key: str) -> NDArray[np.bool_]:
    """Whether the rows at these positions are held out; the same at every batch size.

    References
    ----------
    Steele, Lea and Flood (2014), Fast splittable pseudorandom number generators (the mixing
    function of SplitMix64).
    """
    origin = np.uint64(int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big"))
    with np.errstate(over="ignore"):
        mixed = origin + (positions + np.uint64(1)) * np.uint64(_STEP)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(_FIRST)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(_SECOND)
        mixed = mixed ^ (mixed >> np.uint64(31))
    return np.asarray(mixed.astype(np.float64) / 2.0**64 < share)
