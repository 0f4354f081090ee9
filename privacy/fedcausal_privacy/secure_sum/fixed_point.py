"""Numbers as words: reals to integers, integers to words of a ring, words to 32-bit limbs."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.statistic_spec import IntVector, StatisticSpec

__all__ = [
    "LimbVector",
    "WordVector",
    "check_contribution",
    "decode",
    "encode",
    "join_limbs",
    "split_limbs",
    "to_words",
]

WordVector = NDArray[np.uint64] | NDArray[np.uint32]
LimbVector = NDArray[np.uint64]

_LIMB_BITS = np.uint64(32)
_LOW_LIMB = np.uint64(2**32 - 1)


def encode(values: NDArray[np.float64], *, fraction_bits: int, bound: int) -> IntVector:
    """Round reals to integers in units of 2^-fraction_bits; refuse what leaves the bound.

    A value that is not finite, or whose integer exceeds `bound` in absolute value, is an error:
    nothing ever wraps around silently.

    >>> encode(np.array([0.5, -0.25]), fraction_bits=2, bound=4).tolist()
    [2, -1]
    """
    if not 0 <= bound < 2**63:
        raise ProtocolError(f"expected a bound of 0 to 2^63 - 1, got {bound}")
    with np.errstate(over="ignore"):  # an overflow is infinite, and refused as such
        scaled = np.rint(np.ldexp(np.asarray(values, dtype=np.float64), fraction_bits))
    # Compared as Python integers: 2^63 - 1 has no float64 of its own.
    if not np.isfinite(scaled).all() or (scaled.size and int(np.abs(scaled).max()) > bound):
        raise ProtocolError(
            f"a value is not finite or exceeds its bound of {bound} units of 2^-{fraction_bits}"
        )
    return scaled.astype(np.int64)


def decode(integers: IntVector, *, fraction_bits: int) -> NDArray[np.float64]:
    """Integers in units of 2^-fraction_bits back to reals."""
    return np.ldexp(integers.astype(np.float64), -fraction_bits)


def check_contribution(vector: IntVector, spec: StatisticSpec) -> None:
    """Refuse a site's vector that is not what its public description says."""
    if vector.dtype != np.int64 or vector.shape != (spec.length,):
        raise ProtocolError(
            f"statistic {spec.name!r}: expected {spec.length} int64 values, "
            f"got {vector.dtype} of shape {vector.shape}"
        )
    # Not np.abs: the smallest int64 has no positive counterpart.
    if int(vector.max()) > spec.bound or int(vector.min()) < -spec.bound:
        raise ProtocolError(f"statistic {spec.name!r}: a value exceeds the public bound")


def to_words(vector: IntVector, limbs: Literal[1, 2]) -> WordVector:
    """Two's complement: signed integers as elements of Z_2^64 (two limbs) or Z_2^32 (one)."""
    if limbs == 2:
        return vector.view(np.uint64).copy()
    return (vector.view(np.uint64) & _LOW_LIMB).astype(np.uint32)


def split_limbs(words: WordVector) -> LimbVector:
    """Write words as 32-bit limbs: all low limbs, then (for 64-bit words) all high limbs.

    Privacy: split MASKED words only. The high limbs of plain words sum to a number that also
    counts carries (how many sites hold a negative value); after masking, the limb sums depend on
    the total alone.
    """
    if words.dtype == np.uint32:
        return words.astype(np.uint64)
    wide = words.astype(np.uint64, copy=False)
    return np.concatenate([wide & _LOW_LIMB, wide >> _LIMB_BITS])


def join_limbs(limb_sums: LimbVector, limbs: Literal[1, 2]) -> IntVector:
    """Recombine sums of limbs to signed totals modulo 2^64 (two limbs) or 2^32 (one limb).

    `limb_sums` are exact sums of up to 1000 limbs, hence below 2^42.
    """
    if limbs == 1:
        return limb_sums.astype(np.uint32).view(np.int32).astype(np.int64)
    low, high = np.split(limb_sums, 2)
    return (low + (high << _LIMB_BITS)).view(np.int64)
