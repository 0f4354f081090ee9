"""A role's private folder: small files which are written whole or not at all."""

import fcntl
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from fedcausal_privacy.errors import ProtocolError

__all__ = ["StateStore", "sync_folder"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_UNFINISHED = ".writing-"


@dataclass(frozen=True, slots=True, kw_only=True)
class StateStore:
    """Files of one role in a folder that only its owner can open.

    `key` seals what a run keeps (`run_state`); it comes from the role's identity.

    Privacy: holds keys and the state of the secure sum. It is never a part of Flower's
    `context.state`, which travels with the run.

    A write is durable when it returns: the bytes are in a new file that was synced and renamed
    over the old one, and the folder was synced after it. A power loss leaves the old or the new
    content, never a mixture.
    """

    folder: Path
    key: bytes = field(default=b"", repr=False)

    @classmethod
    def open(cls, folder: Path) -> "StateStore":
        """Make the folder if need be and close it to everybody else (mode 0700)."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.chmod(0o700)
        return cls(folder=folder)

    def read(self, name: str) -> bytes | None:
        """The content of a file, or None when there is none."""
        try:
            return self._path(name).read_bytes()
        except FileNotFoundError:
            return None

    def write(self, name: str, content: bytes) -> None:
        """Replace a file's content atomically and durably (mode 0600)."""
        path = self._path(name)
        descriptor, temporary = tempfile.mkstemp(dir=self.folder, prefix=_UNFINISHED)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).rename(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        sync_folder(self.folder)

    def delete(self, name: str) -> None:
        """Remove a file; a missing one is no error."""
        self._path(name).unlink(missing_ok=True)
        sync_folder(self.folder)

    def names(self) -> tuple[str, ...]:
        """Names of the files, sorted."""
        return tuple(sorted(p.name for p in self.folder.iterdir() if _NAME.fullmatch(p.name)))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes of the same role out: one message is handled at a time.

        What a crash left half written is removed: it may hold keys that a run has forgotten.
        """
        descriptor = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            for unfinished in self.folder.glob(f"{_UNFINISHED}*"):
                unfinished.unlink()
            yield
        finally:
            os.close(descriptor)

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise ProtocolError("a state file's name has characters that no file here may have")
        return self.folder / name


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable: a renamed file is there after a power loss."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
