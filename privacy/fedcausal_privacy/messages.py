"""The one shape in which parties talk: a kind, a JSON header and named byte strings."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fedcausal_privacy.canonical import JsonValue, canonical_json
from fedcausal_privacy.errors import ProtocolError

__all__ = [
    "BLOBS_RECORD",
    "HEADER_RECORD",
    "MAX_BLOBS",
    "MAX_BLOB_BYTES",
    "MAX_HEADER_BYTES",
    "ByteArray",
    "Message",
    "from_wire",
    "pack",
    "to_wire",
    "unpack",
]

ByteArray = NDArray[np.uint8]

# Names of the two records in which every transport carries a message.
HEADER_RECORD = "header"
BLOBS_RECORD = "blobs"

MAX_HEADER_BYTES = 2**24
MAX_BLOBS = 2**12
MAX_BLOB_BYTES = 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message between parties.

    `header` is JSON (no bytes, no NaN); whatever is binary travels in `blobs`, which the adapters
    carry as arrays of bytes.
    """

    kind: str
    header: Mapping[str, JsonValue] = field(default_factory=dict)
    blobs: Mapping[str, bytes] = field(default_factory=dict)


def to_wire(message: Message) -> tuple[str, dict[str, ByteArray]]:
    """Split a message into canonical JSON text (kind and header) and arrays of bytes.

    The text of equal messages is equal, so that a message can be hashed as it travels.

    Raises
    ------
    ProtocolError
        The message is larger than the limits of this module.
    """
    text = canonical_json({"header": dict(message.header), "kind": message.kind}).decode()
    blobs = {
        name: np.frombuffer(message.blobs[name], dtype=np.uint8)
        if message.blobs[name]
        else np.zeros(0, dtype=np.uint8)
        for name in sorted(message.blobs)
    }
    _check_sizes(text, blobs)
    return text, blobs


def from_wire(text: str, blobs: Mapping[str, ByteArray]) -> Message:
    """Rebuild a message from `to_wire`; sizes and types are checked before anything is parsed.

    The text must be the canonical one: a message has one form only, so that equal messages are
    equal bytes and a changed byte is a changed message.
    """
    _check_sizes(text, blobs)
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise ProtocolError("a message's header is not JSON") from None
    if (
        not isinstance(value, dict)
        or set(value) != {"kind", "header"}
        or not isinstance(value["kind"], str)
        or not isinstance(value["header"], dict)
    ):
        raise ProtocolError("a message's header has not the fields kind and header")
    if not _is_canonical(value, text):
        raise ProtocolError("a message's header is not in its canonical form")
    return Message(
        kind=value["kind"],
        header=value["header"],
        blobs={name: blobs[name].tobytes() for name in sorted(blobs)},
    )


def pack(message: Message) -> bytes:
    """A message as one byte string, for files: the text's length, the text, then the blobs.

    >>> unpack(pack(Message(kind="k", header={"a": 1}, blobs={"b": b"c"}))).blobs
    {'b': b'c'}
    """
    text, blobs = to_wire(message)
    sizes: dict[str, JsonValue] = {name: int(array.size) for name, array in blobs.items()}
    head = canonical_json({"sizes": sizes, "text": text})
    return b"".join([len(head).to_bytes(8, "big"), head, *(a.tobytes() for a in blobs.values())])


def unpack(content: bytes) -> Message:
    """The message that `pack` made a byte string of; anything else is a `ProtocolError`."""
    try:
        start = 8 + int.from_bytes(content[:8], "big")
        head = json.loads(content[8:start])
        blobs: dict[str, ByteArray] = {}
        for name, size in head["sizes"].items():
            blobs[name] = np.frombuffer(content, dtype=np.uint8, count=size, offset=start)
            start += size
        message = from_wire(head["text"], blobs)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ProtocolError("a stored message cannot be read") from None
    if start != len(content):
        raise ProtocolError("a stored message has the wrong length")
    return message


def _check_sizes(text: str, blobs: Mapping[str, ByteArray]) -> None:
    if len(text) > MAX_HEADER_BYTES:
        raise ProtocolError(f"a header of {len(text)} characters exceeds {MAX_HEADER_BYTES}")
    if len(blobs) > MAX_BLOBS:
        raise ProtocolError(f"{len(blobs)} blobs in one message exceed {MAX_BLOBS}")
    if any(array.dtype != np.uint8 or array.ndim != 1 for array in blobs.values()):
        raise ProtocolError("a blob is not a one-dimensional array of bytes")
    size = sum(array.size for array in blobs.values())
    if size > MAX_BLOB_BYTES:
        raise ProtocolError(f"{size} bytes in one message exceed {MAX_BLOB_BYTES}")


def _is_canonical(value: JsonValue, text: str) -> bool:
    try:
        return canonical_json(value) == text.encode()
    except ValueError:  # half of a surrogate pair has no bytes
        return False


def _refuse_constant(_: str) -> None:
    raise ValueError("NaN and infinities are not JSON")
