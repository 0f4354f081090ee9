"""The store of a run in a PostgreSQL database, which several coordinators' runs share."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from fedcausal.errors import InputError, StorageError
from fedcausal_server.store.study_store import Changes

if TYPE_CHECKING:
    pass

__all__ = ["STORE_CHOICE", "PostgresStore", "check_store_url"]

STORE_CHOICE = "store.json"
"""The file of a prepared run that names its database."""

CONNECT_SECONDS = 10
_TABLE = """
CREATE TABLE IF NOT EXISTS fedcausal_entries (
    run TEXT NOT NULL,
    key TEXT NOT NULL,
    value BYTEA NOT NULL,
    PRIMARY KEY (run, key)
)
"""


def check_store_url(url: str) -> str:
    """The address of a database, without a password in it.

    Raises
    ------
    InputError
        It is no PostgreSQL address, or holds a password, which belongs in a file of its own.
    """
    try:
        parts = urlsplit(url)
        has_password = parts.password is not None or "password" in dict(parse_qsl(parts.query))
    except ValueError:
        raise InputError("the address cannot be read; write postgresql://host/db") from None
    if parts.scheme not in ("postgresql", "postgres"):
        raise InputError(
            f"expected postgresql://..., got {parts.scheme or 'no scheme'!r}; leave store "
            "out to keep runs in SQLite files"
        )
    if has_password:
        raise InputError(
            "a password is in the address; write it into a passfile and append "
            "?passfile=/path/to/it"
        )
    return url


class PostgresStore:
    """The entries of one run in the table `fedcausal_entries`.

    A commit returns when the server has it on its disk (`synchronous_commit = on` for this
    session, whatever the server's own setting). One process holds a run: a second coordinator
    that would write to it is refused, also from another machine.

    Parameters
    ----------
    url
        Of the database; see `check_store_url`.
    run
        The run's key, which no other run has.

    Raises
    ------
    StorageError
        The server cannot be reached or refuses, or another process holds the run.
    """

    def __init__(self, url: str, run: str) -> None:
        import psycopg

        self._run = run
        with self._told():
            self._connection: psycopg.Connection[Any] = psycopg.connect(
                check_store_url(url),
                connect_timeout=CONNECT_SECONDS,
                application_name="fedcausal",
                autocommit=True,
            )
        with self._told():
            self._connection.execute("SET synchronous_commit = on")
            held = self._connection.execute(
                "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", (f"fedcausal/{run}",)
            ).fetchone()
            if held is not None and held[0]:
                self._connection.execute(_TABLE)
                return
        self._connection.close()
        raise StorageError(f"store: another process works on run {run!r}; end it first")

    def read(self, key: str) -> bytes | None:
        """An entry; None when there is none."""
        with self._told():
            row = self._connection.execute(
                "SELECT value FROM fedcausal_entries WHERE run = %s AND key = %s",
                (self._run, key),
            ).fetchone()
        return None if row is None else bytes(row[0])

    def keys(self, prefix: str) -> tuple[str, ...]:
        """The keys that begin so, sorted."""
        with self._told():
            rows = self._connection.execute(
                "SELECT key FROM fedcausal_entries WHERE run = %s AND starts_with(key, %s)",
                (self._run, prefix),
            ).fetchall()
        return tuple(sorted(str(key) for (key,) in rows))

    def commit(self, changes: Changes) -> None:
        """Write all changes, or none; they are on the server's disk at return."""
        with self._told(), self._connection.transaction():
            for key, value in changes.items():
                if value is None:
                    self._connection.execute(
                        "DELETE FROM fedcausal_entries WHERE run = %s AND key = %s",
                        (self._run, key),
                    )
                else:
                    self._connection.execute(
                        "INSERT INTO fedcausal_entries (run, key, value) VALUES (%s, %s, %s) "
                        "ON CONFLICT (run, key) DO UPDATE SET value = excluded.value",
                        (self._run, key, value),
                    )

    def close(self) -> None:
        """Close the connection, and with it the hold on the run."""
        self._connection.close()

    @contextmanager
    def _told(self) -> Iterator[None]:
        import psycopg

        try:
            yield
        except psycopg.Error as error:
            # The server's own words may quote an address or a user: its code says enough.
            code = f"code {error.sqlstate}" if error.sqlstate else "it cannot be reached"
            raise StorageError(
                f"store: PostgreSQL cannot be written or read ({code}); mend it, then resume the "
                "run: what was written before is kept"
            ) from None
