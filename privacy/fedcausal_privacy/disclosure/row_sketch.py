"""How many values of a column changed between two looks at it, from a few keyed numbers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

from fedcausal_privacy.canonical import JsonValue, sha256_hex
from fedcausal_privacy.errors import InputError, ProtocolError

__all__ = ["MOST_LEVELS", "NUM_SIGNS", "RELATIVE_ERROR", "ColumnSketch", "column_key"]

NUM_SIGNS = 256
RELATIVE_ERROR = (2.0 / NUM_SIGNS) ** 0.5
"""Standard error of an estimated number of changes over that number."""
MOST_LEVELS = 512
"""A column with at most so many different values is counted exactly."""

_KEY_BYTES = 32
_CHUNK = 2**12
_BLOCKS = NUM_SIGNS // 128

Marks = NDArray[np.uint64]
Signs = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ColumnSketch:
    """A column as a multiset of values, remembered without any of them.

    A value's mark is 64 bits of AES-256 under a key that stays at the site. While a column has
    few different values, the number of records of each mark is kept. After that
    `NUM_SIGNS` sums are kept, of a sign +-1 per record which is a function of its mark. Both are
    linear in the records, so that the sums' differences between two looks estimate how many
    records changed (their mean square), whatever the order and number of the others.

    Assumptions: values of a column with more than `MOST_LEVELS` different ones are mostly
    distinct among those that changed; m equal ones count as m^2.

    Privacy: kept in the site's private state; never sent.

    References
    ----------
    Alon, Matias and Szegedy (1999), "The space complexity of approximating the frequency
    moments", JCSS 58(1), doi:10.1006/jcss.1997.1545 (theorem 2.2).
    """

    levels: Mapping[int, int] | None
    signs: Signs | None

    @classmethod
    def empty(cls) -> Self:
        """The sketch of no records."""
        return cls(levels={}, signs=None)

    def add(self, values: NDArray[np.float64], key: bytes) -> "ColumnSketch":
        """The sketch with some more records; NaN is a value like others."""
        marks, counts = np.unique(_marks(values, key), return_counts=True)
        if self.levels is None:
            return ColumnSketch(levels=None, signs=self._sums(key) + _signs(marks, counts, key))
        levels = dict(self.levels)
        for mark, count in zip(marks.tolist(), counts.tolist(), strict=True):
            levels[mark] = levels.get(mark, 0) + count
        grown = ColumnSketch(levels=levels, signs=None)
        if len(levels) <= MOST_LEVELS:
            return grown
        return ColumnSketch(levels=None, signs=grown._sums(key))

    def num_changes(self, other: "ColumnSketch", key: bytes) -> float:
        """Values removed from or added to the column between the two: exact, or an estimate.

        Zero means that no value changed, up to an accident of probability 2^-128.
        """
        if self.levels is not None and other.levels is not None:
            marks = self.levels.keys() | other.levels.keys()
            return float(sum(abs(self.levels.get(m, 0) - other.levels.get(m, 0)) for m in marks))
        difference = (self._sums(key) - other._sums(key)).astype(np.float64)
        return float(np.mean(difference**2))

    def to_json(self) -> dict[str, JsonValue]:
        """The sketch as a JSON object."""
        levels: JsonValue = None
        if self.levels is not None:
            levels = [[f"{mark:016x}", n] for mark, n in sorted(self.levels.items())]
        return {"levels": levels, "signs": None if self.signs is None else self.signs.tolist()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "ColumnSketch":
        """The sketch that `to_json` wrote; anything else is a `ProtocolError`."""
        try:
            levels, signs = value["levels"], value["signs"]
            if levels is not None:
                return cls(levels={int(mark, 16): int(n) for mark, n in levels}, signs=None)
            sums = np.array(signs, dtype=np.int64)
        except (KeyError, TypeError, ValueError):
            raise ProtocolError("a stored sketch of a column cannot be read") from None
        if sums.shape != (NUM_SIGNS,):
            raise ProtocolError("a stored sketch of a column has another length")
        return cls(levels=None, signs=sums)

    def _sums(self, key: bytes) -> Signs:
        if self.signs is not None:
            return self.signs
        levels = self.levels or {}
        marks = np.fromiter(levels.keys(), dtype=np.uint64, count=len(levels))
        return _signs(marks, np.fromiter(levels.values(), np.int64, len(levels)), key)


def column_key(secret: bytes, column: str) -> bytes:
    """The key of one column, from the site's secret of 32 bytes."""
    if len(secret) != _KEY_BYTES:
        raise InputError(f"expected a secret of {_KEY_BYTES} bytes, got {len(secret)}")
    return bytes.fromhex(sha256_hex(secret + column.encode()))


def _marks(values: NDArray[np.float64], key: bytes) -> Marks:
    """64 keyed bits per value; the two zeros are one value, and so are all NaNs."""
    plain = np.where(np.isnan(values), np.nan, values + 0.0)
    blocks = np.zeros((len(plain), 2), dtype="<u8")
    blocks[:, 0] = plain.astype("<f8").view("<u8")
    return _encrypted(blocks, key)[:, 0]


def _signs(marks: Marks, counts: NDArray[np.int64], key: bytes) -> Signs:
    """Sums of count x sign over some marks, (NUM_SIGNS,)."""
    total = np.zeros(NUM_SIGNS, dtype=np.int64)
    for start in range(0, len(marks), _CHUNK):
        part = marks[start : start + _CHUNK]
        blocks = np.empty((len(part), _BLOCKS, 2), dtype="<u8")
        blocks[:, :, 0] = part[:, None]
        blocks[:, :, 1] = np.arange(1, _BLOCKS + 1)
        words = _encrypted(blocks.reshape(-1, 2), key).reshape(len(part), -1)
        ones = np.unpackbits(words.view(np.uint8), axis=1)
        weights = counts[start : start + _CHUNK]
        total += 2 * (weights @ ones.astype(np.int64)) - weights.sum()
    return total


def _encrypted(blocks: NDArray[np.uint64], key: bytes) -> Marks:
    """Each block of 16 bytes by itself: a pseudorandom function of the block."""
    cipher = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305 - a PRF of blocks
    content = cipher.update(np.ascontiguousarray(blocks).tobytes())
    words: Marks = np.frombuffer(content, dtype="<u8").reshape(-1, 2)
    return words
