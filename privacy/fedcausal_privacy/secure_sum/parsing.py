"""Typed reading of message headers and blobs; anything unexpected is a `ProtocolError`."""

import json
from collections.abc import Mapping

from fedcausal_privacy.canonical import JsonValue
from fedcausal_privacy.envelopes import Envelope
from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.messages import Message

__all__ = [
    "blob",
    "envelopes",
    "integer",
    "json_object",
    "mapping",
    "marks",
    "objects",
    "strings",
    "text",
    "texts",
]

_Header = Mapping[str, JsonValue]


def text(header: _Header, key: str) -> str:
    """A string entry."""
    value = header.get(key)
    if not isinstance(value, str):
        raise _unexpected(key)
    return value


def integer(header: _Header, key: str) -> int:
    """An integer entry of zero or more."""
    value = header.get(key)
    if type(value) is not int or value < 0:
        raise _unexpected(key)
    return value


def mapping(header: _Header, key: str) -> dict[str, JsonValue]:
    """An entry that is an object."""
    value = header.get(key)
    if not isinstance(value, Mapping):
        raise _unexpected(key)
    return dict(value)


def texts(header: _Header, key: str) -> dict[str, str]:
    """An entry that maps names to strings."""
    value = mapping(header, key)
    return {name: text(value, name) for name in value}


def strings(header: _Header, key: str) -> list[str]:
    """An entry that is a list of strings."""
    value = header.get(key)
    if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
        raise _unexpected(key)
    return value


def marks(header: _Header, key: str) -> tuple[tuple[int, str], ...]:
    """An entry that is a list of (round, statistic) pairs."""
    value = header.get(key)
    if not isinstance(value, list) or not all(
        isinstance(m, list) and len(m) == 2 and type(m[0]) is int and isinstance(m[1], str)
        for m in value
    ):
        raise _unexpected(key)
    return tuple((round, statistic) for round, statistic in value)


def objects(header: _Header, key: str) -> list[dict[str, JsonValue]]:
    """An entry that is a list of objects."""
    value = header.get(key)
    if not isinstance(value, list) or not all(isinstance(entry, Mapping) for entry in value):
        raise _unexpected(key)
    return [dict(entry) for entry in value]


def envelopes(header: _Header, key: str) -> tuple[Envelope, ...]:
    """An entry that is a list of envelopes."""
    return tuple(Envelope.from_json(entry) for entry in objects(header, key))


def blob(message: Message, name: str) -> bytes:
    """A named byte string of a message."""
    content = message.blobs.get(name)
    if not isinstance(content, bytes):
        raise _unexpected(name)
    return content


def json_object(content: bytes) -> dict[str, JsonValue]:
    """Stored bytes as a JSON object (states of this package)."""
    try:
        value = json.loads(content)
    except ValueError:
        raise ProtocolError("a stored state cannot be read") from None
    if not isinstance(value, dict):
        raise ProtocolError("a stored state cannot be read")
    return value


def _unexpected(key: str) -> ProtocolError:
    return ProtocolError(f"a message's entry {key!r} is absent or of another type than expected")
