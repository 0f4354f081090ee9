"""A log that shows when somebody changed it: each line has the hash of the one before, signed."""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from fedcausal_privacy.audit_head import AuditHead, head_path, read_head, write_head
from fedcausal_privacy.canonical import JsonValue, canonical_json, sha256_hex
from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.keys.identity import Identity

__all__ = ["GENESIS", "AuditLog", "AuditReport", "check_chain"]

GENESIS = "0" * 64
CHANGED = "log-changed"
MAX_LINE_BYTES = 2**15
MAX_REASON = 2**10
"""Longest reason that is kept whole: others bring words of their own into it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditReport:
    """A whole log: its number of lines, its last hash and who signed it.

    `signed_by` is empty for a log without a signer. `behind` is 1 when the last line was written
    and its head was not: a crash came between.
    """

    lines: int
    head: str
    signed_by: str = ""
    behind: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditLog:
    """Append-only JSON lines, each synced to disk before `append` returns.

    A line says what left or was refused, was approved or denied: names, codes, lengths, bytes and
    digests. It holds no record, no statistic and no key.

    With a `signer` the last hash and the number of lines are kept beside the log, signed
    (`audit_head`). The chain shows a line that was changed, removed or put in between; the signed
    head shows lines cut off at the end, added by somebody else, and a chain that was written anew.
    What remains is an older copy of log and head together: note `head()` elsewhere and give it to
    `verify` to see that too.
    """

    path: Path
    signer: Identity | None = None

    def note(self, event: str, reason: str, **details: JsonValue) -> str:
        """Add a line with a reason, cut where somebody made it too long to be written down."""
        kept = reason if len(reason) <= MAX_REASON else f"{reason[:MAX_REASON]}..."
        return self.append(event, {**details, "reason": kept})

    def append(self, event: str, details: Mapping[str, JsonValue]) -> str:
        """Add one line and return its hash; a last line torn by a crash is dropped first.

        Writers of several processes wait for one another.
        """
        with self._locked() as descriptor:
            os.ftruncate(descriptor, self._whole_bytes())
            if self.signer is None:
                self._check_unsigned()
                return self._write(descriptor, event, details)
            number = self._known_lines()
            if number is None:
                number = len(self.lines()) + 1
                self._write(descriptor, CHANGED, {"found_lines": number - 1})
            digest = self._write(descriptor, event, details)
            head = AuditHead.sign(self.signer, lines=number + 1, digest=digest)
            write_head(self.path, head)
            return digest

    def _check_unsigned(self) -> None:
        """Refuse a line that the head would not cover: it would look like a forger's."""
        if head_path(self.path).exists():
            raise ProtocolError(
                f"{self.path.name}: this log is signed; a line of it needs the role's identity"
            )

    def _known_lines(self) -> int | None:
        """The number of lines, None when the log is not what its head says.

        One line more than the head says is a crash between the two.
        """
        try:
            head, last = read_head(self.path), self.head()
        except ProtocolError:
            return None
        if head is not None and head.digest == last and head.is_genuine():
            return head.lines
        lines, number = self.lines(), 0 if head is None else head.lines
        if len(lines) != number + (last != GENESIS):
            return None
        if head is None:
            return len(lines)
        known = sha256_hex(lines[number - 1]) if number else GENESIS
        return len(lines) if known == head.digest and head.is_genuine() else None

    def _write(self, descriptor: int, event: str, details: Mapping[str, JsonValue]) -> str:
        content: dict[str, JsonValue] = {
            "details": dict(details),
            "event": event,
            "prev": self.head(),
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        if self.signer is not None:
            content["signer"] = self.signer.fingerprint()
        line = canonical_json(content)
        if len(line) > MAX_LINE_BYTES:
            raise ProtocolError(f"an audit line of {len(line)} bytes exceeds {MAX_LINE_BYTES}")
        os.lseek(descriptor, 0, os.SEEK_END)
        rest = line + b"\n"
        while rest:  # a disk that takes half of a line fails on the other, and nothing leaves
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
        return sha256_hex(line)

    def head(self) -> str:
        """Hash of the last whole line (`GENESIS` when there is none)."""
        lines = self._tail().split(b"\n")[:-1]
        return sha256_hex(lines[-1]) if lines else GENESIS

    def verify(self, *, contains: str = GENESIS, public: str = "") -> int:
        """Check the log as `check` does and return its number of lines."""
        return self.check(contains=contains, public=public).lines

    def check(self, *, contains: str = GENESIS, public: str = "") -> AuditReport:
        """Check chain and head; with `public` the head must be signed, with this key.

        Raises
        ------
        ProtocolError
            A line was changed, removed, inserted or cut off, the head is another one's, or no
            line has the hash `contains`.
        """
        with self._locked(shared=True):
            head, lines = read_head(self.path), self.lines()
        return check_chain(lines, head, name=self.path.name, contains=contains, public=public)

    def lines(self) -> list[bytes]:
        """All whole lines as they are on disk."""
        return self._content().split(b"\n")[:-1]

    @contextmanager
    def _locked(self, *, shared: bool = False) -> Iterator[int]:
        if shared and not self.path.exists():
            yield -1
            return
        flags = os.O_RDONLY if shared else os.O_WRONLY | os.O_CREAT
        descriptor = os.open(self.path, flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
            yield descriptor
        finally:
            os.close(descriptor)

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


def check_chain(
    lines: list[bytes],
    head: AuditHead | None,
    *,
    name: str,
    contains: str = GENESIS,
    public: str = "",
) -> AuditReport:
    """Check the lines of a log against each other and against its head; see `AuditLog.check`."""
    hashes, is_signed = [GENESIS], False
    for number, line in enumerate(lines, start=1):
        content = _content_of(line)
        if content.get("prev") != hashes[-1]:
            raise ProtocolError(
                f"{name}:{number}: the chain is broken; this line or the one before it was "
                "changed after it was written"
            )
        if content.get("event") == CHANGED:
            raise ProtocolError(
                f"{name}:{number}: when this line was written, lines before it had been changed "
                "or cut off"
            )
        is_signed = is_signed or "signer" in content
        hashes.append(sha256_hex(line))
    if contains not in hashes:
        raise ProtocolError(f"{name}: no line has the hash {contains[:16]}...; lines are missing")
    if head is None:
        if public or (is_signed and len(lines) > 1):
            raise ProtocolError(f"{name}: the signed head is missing; it was removed")
        return AuditReport(lines=len(lines), head=hashes[-1])
    _check_head(head, hashes, name, public)
    return AuditReport(
        lines=len(lines),
        head=hashes[-1],
        signed_by=head.public,
        behind=len(lines) - head.lines,
    )


def _check_head(head: AuditHead, hashes: list[str], name: str, public: str) -> None:
    if not head.is_genuine():
        raise ProtocolError(f"{name}: the head's signature is wrong; the head was changed")
    if public and head.public != public:
        raise ProtocolError(f"{name}: the head is signed with another key than the one expected")
    num_lines = len(hashes) - 1
    if head.lines > num_lines:
        missing = head.lines - num_lines
        raise ProtocolError(
            f"{name}: {missing} line(s) are missing at the end: the signed head is of line "
            f"{head.lines}, the last one here is {num_lines}"
        )
    if hashes[head.lines] != head.digest:
        raise ProtocolError(
            f"{name}:{head.lines}: the signed head has another hash of this line; the log was "
            "written anew"
        )
    if num_lines - head.lines > 1:
        raise ProtocolError(
            f"{name}:{head.lines + 2}: this line is not under the signed head, which is of line "
            f"{head.lines}; lines were added, or an older head was put in its place"
        )


def _content_of(line: bytes) -> dict[str, JsonValue]:
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
