"""What a coordinator must not lose of one run: a durable map with atomic commits."""

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, Self

from fedcausal.errors import StorageError

__all__ = ["STORE_FILE", "Changes", "MemoryStore", "SqliteStore", "StudyStore"]

STORE_FILE = "study.db"
LOCK_SECONDS = 60.0
_TABLE = """
CREATE TABLE IF NOT EXISTS entries (
    key TEXT PRIMARY KEY,
    value BLOB NOT NULL
)
"""

Changes = Mapping[str, bytes | None]
"""New values by key; None removes an entry."""


class StudyStore(Protocol):
    """Entries of one run.

    A kill or a power loss leaves all of a `commit` or nothing of it, and nothing of what an
    earlier one returned from is lost. Whatever cannot be written is a `StorageError`.

    Privacy: signed messages of the parties, ciphertexts and released totals; no key.
    """

    def read(self, key: str) -> bytes | None:
        """An entry; None when there is none."""

    def keys(self, prefix: str) -> tuple[str, ...]:
        """The keys that begin so, sorted."""

    def commit(self, changes: Changes) -> None:
        """Write all changes, or none; they are on the disk at return."""

    def close(self) -> None:
        """Let the store go; it can be opened again."""


class MemoryStore:
    """A store that lives as long as its process: for sums that nobody has to resume."""

    def __init__(self) -> None:
        self._entries: dict[str, bytes] = {}

    def read(self, key: str) -> bytes | None:
        """An entry; None when there is none."""
        return self._entries.get(key)

    def keys(self, prefix: str) -> tuple[str, ...]:
        """The keys that begin so, sorted."""
        return tuple(sorted(key for key in self._entries if key.startswith(prefix)))

    def commit(self, changes: Changes) -> None:
        """Take the changes."""
        for key, value in changes.items():
            if value is None:
                self._entries.pop(key, None)
            else:
                self._entries[key] = value

    def close(self) -> None:
        """Nothing to let go."""


class SqliteStore:
    """A store in one SQLite file, in WAL mode with full synchronisation.

    With less (`synchronous = NORMAL`) a commit may be gone after a power loss, though never half
    of it; `docs/decisions/0062` has the price.

    Raises
    ------
    StorageError
        The file cannot be opened, or is no store.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._told():
            path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            self._connection = sqlite3.connect(path, timeout=LOCK_SECONDS, isolation_level=None)
            try:
                self._connection.execute("PRAGMA journal_mode = WAL")
                self._connection.execute("PRAGMA synchronous = FULL")
                self._connection.execute(_TABLE)
            except sqlite3.Error:
                self._connection.close()
                raise

    @classmethod
    def open(cls, folder: Path) -> Self:
        """The store in a run's journal folder."""
        return cls(folder / STORE_FILE)

    def read(self, key: str) -> bytes | None:
        """An entry; None when there is none."""
        with self._told():
            row = self._connection.execute(
                "SELECT value FROM entries WHERE key = ?", (key,)
            ).fetchone()
        return None if row is None else bytes(row[0])

    def keys(self, prefix: str) -> tuple[str, ...]:
        """The keys that begin so, sorted."""
        with self._told():
            rows = self._connection.execute(
                "SELECT key FROM entries WHERE substr(key, 1, ?) = ? ORDER BY key",
                (len(prefix), prefix),
            ).fetchall()
        return tuple(str(key) for (key,) in rows)

    def commit(self, changes: Changes) -> None:
        """Write all changes, or none; they are on the disk at return."""
        with self._told(), self._transaction():
            for key, value in changes.items():
                if value is None:
                    self._connection.execute("DELETE FROM entries WHERE key = ?", (key,))
                else:
                    self._connection.execute(
                        "INSERT INTO entries (key, value) VALUES (?, ?) "
                        "ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                        (key, value),
                    )

    def close(self) -> None:
        """Close the file; what SQLite keeps beside it is folded in."""
        with self._told():
            self._connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            # A failed COMMIT may have ended the transaction itself.
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            words = getattr(error, "strerror", None) or str(error)
            raise StorageError(
                f"{self._path}: cannot be written or read ({words}); free space or mend the "
                "disk, then resume the run: what was written before is kept"
            ) from None
