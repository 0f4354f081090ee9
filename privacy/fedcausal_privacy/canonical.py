"""Canonical bytes of JSON values: the same value has the same hash everywhere."""

import hashlib
import json
from collections.abc import Mapping, Sequence

__all__ = ["JsonValue", "canonical_json", "fingerprint", "json_hash", "sha256_hex"]

JsonValue = None | bool | int | float | str | Sequence["JsonValue"] | Mapping[str, "JsonValue"]


def canonical_json(value: JsonValue) -> bytes:
    """Encode a JSON value with sorted keys, no spaces, UTF-8; NaN and infinities are refused."""
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode()


def sha256_hex(content: bytes) -> str:
    """SHA-256 of some bytes as 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def json_hash(value: JsonValue) -> str:
    """SHA-256 of the canonical JSON of a value."""
    return sha256_hex(canonical_json(value))


def fingerprint(digest: str) -> str:
    """The first 128 bits of a hash as 8 groups of 4 digits, for people to compare by voice.

    >>> fingerprint("0123456789abcdef" * 4)
    '0123-4567-89ab-cdef-0123-4567-89ab-cdef'
    """
    return "-".join(digest[i : i + 4] for i in range(0, 32, 4))
