"""A log that shows when somebody changed it: every line carries the hash of the line before."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from fedcausal_privacy.canonical import JsonValue, canonical_json, sha256_hex
from fedcausal_privacy.errors import ProtocolError

__all__ = ["GENESIS", "AuditLog"]

GENESIS = "0" * 64
MAX_LINE_BYTES = 2**15
MAX_REASON = 2**10
"""Longest reason that is kept whole: others bring words of their own into it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditLog:
    """Append-only JSON lines, each synced to disk before `append` returns.

    A line says what left the site or was refused: names, codes, lengths, bytes and digests. It
    holds no record, no statistic and no key.

    The chain shows every change but one: lines cut off at the end leave a shorter chain that is
    whole. Note `head()` elsewhere and give it to `verify` to see that too.
    """

    path: Path

    def note(self, event: str, reason: str, **details: JsonValue) -> str:
        """Add a line with a reason, cut where somebody made it too long to be written down."""
        kept = reason if len(reason) <= MAX_REASON else f"{reason[:MAX_REASON]}..."
        return self.append(event, {**details, "reason": kept})

    def append(self, event: str, details: Mapping[str, JsonValue]) -> str:
        """Add one line and return its hash; a last line torn by a crash is dropped first."""
        line = canonical_json(
            {
                "details": dict(details),
                "event": event,
                "prev": self.head(),
                "time": datetime.now(UTC).isoformat(timespec="seconds"),
            }
        )
        if len(line) > MAX_LINE_BYTES:
            raise ProtocolError(f"an audit line of {len(line)} bytes exceeds {MAX_LINE_BYTES}")
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o600)
        # Buffered: a disk that takes half of a line is an error here, and nothing leaves.
        with os.fdopen(descriptor, "wb") as file:
            file.truncate(self._whole_bytes())
            file.seek(0, os.SEEK_END)
            file.write(line + b"\n")
            file.flush()
            os.fsync(file.fileno())
        return sha256_hex(line)

    def head(self) -> str:
        """Hash of the last whole line (`GENESIS` when there is none)."""
        lines = self._tail().split(b"\n")[:-1]
        return sha256_hex(lines[-1]) if lines else GENESIS

    def verify(self, *, contains: str = GENESIS) -> int:
        """Check the chain and return its number of lines.

        Raises
        ------
        ProtocolError
            A line was changed, removed or inserted, or no line has the hash `contains`.
        """
        previous, seen = GENESIS, {GENESIS}
        lines = self._content().split(b"\n")[:-1]
        for number, line in enumerate(lines, start=1):
            if _previous_hash(line) != previous:
                raise ProtocolError(
                    f"{self.path.name}:{number}: the chain is broken; this line or the one "
                    "before it was changed after it was written"
                )
            previous = sha256_hex(line)
            seen.add(previous)
        if contains not in seen:
            raise ProtocolError(
                f"{self.path.name}: no line has the hash {contains[:16]}...; lines are missing"
            )
        return len(lines)

    def _whole_bytes(self) -> int:
        """Length of the file without a torn last line."""
        tail = self._tail()
        size = self.path.stat().st_size if self.path.exists() else 0
        return size - len(tail) + tail.rfind(b"\n") + 1

    def _tail(self) -> bytes:
        """The end of the file, long enough for the last whole line and a torn one."""
        return self._content(2 * MAX_LINE_BYTES + 2)

    def _content(self, last_bytes: int | None = None) -> bytes:
        try:
            with self.path.open("rb") as file:
                if last_bytes is not None:
                    file.seek(-min(last_bytes, self.path.stat().st_size), os.SEEK_END)
                return file.read()
        except FileNotFoundError:
            return b""


def _previous_hash(line: bytes) -> str:
    try:
        return str(json.loads(line)["prev"])
    except (ValueError, KeyError, TypeError):
        return "unreadable"
