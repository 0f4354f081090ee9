"""Rows of a PostgreSQL server: one read-only transaction, a server-side cursor, in batches."""

import itertools
import struct
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from fedcausal.data.readers import one_query, quoted
from fedcausal.errors import DataError

if TYPE_CHECKING:
    import psycopg

__all__ = ["PostgresRows", "table_query"]

CONNECT_SECONDS = 10

# Words of errors that happen before the server has given a code, and what to do.
_BEFORE_LOGIN = {
    "password authentication failed": "the server refuses the login; check user and password",
    "no password supplied": "the server asks for a password; write data.password_file",
    "timeout expired": f"the server does not answer within {CONNECT_SECONDS} seconds",
    "certificate": "the server's certificate is refused; check sslmode and sslrootcert",
}
_BY_CODE = {
    "28": "the server refuses the login; check user and password",
    "3D": "there is no such database; check the end of data.url",
    "57014": "the query took longer than data.timeout_seconds",
    "25006": "the query would write; a site reads only",
    "42501": "the user may not read this; the database's administrator grants SELECT",
}


class PostgresRows:
    """What a SELECT gives at a server, at one moment.

    All passes are in one transaction, READ ONLY and REPEATABLE READ, begun at the first: they see
    the same records, and the server refuses to write. It ends with this object. Memory holds one
    batch.

    Privacy: records come in and stay in the process; a password is in no message. Errors of the
    server may quote values, so that of its words only those about the query's own names are
    repeated.
    """

    def __init__(
        self, *, url: str, sql: str, password: str | None = None, timeout_seconds: int = 600
    ) -> None:
        self._url = url
        self._from = one_query(sql)
        self._password = password
        self._timeout_seconds = timeout_seconds
        self._connection: psycopg.Connection[Any] | None = None
        self._numbers = itertools.count()

    def header(self) -> list[str]:
        """The names of the result's columns."""
        with self._session() as connection:
            found = connection.execute(f"SELECT * FROM {self._from} LIMIT 0".encode())  # noqa: S608
            return [column.name for column in found.description or ()]

    def stream(self, columns: list[str], batch_rows: int) -> Iterator[Any]:
        """Some columns of the result as record batches."""
        chosen = ", ".join(quoted(name) for name in columns) or "NULL"
        sql = f"SELECT {chosen} FROM {self._from}"  # noqa: S608
        name = f"fedcausal_{next(self._numbers)}"
        with self._session() as connection, connection.cursor(name=name) as cursor:
            cursor.execute(sql.encode())
            while rows := cursor.fetchmany(batch_rows):
                arrays = [_array(values) for values in zip(*rows, strict=True)]
                yield pa.RecordBatch.from_arrays(arrays[: len(columns)], names=columns)

    @contextmanager
    def _session(self) -> Iterator["psycopg.Connection[Any]"]:
        """The one transaction; after a fault it is closed and the next use begins a new one."""
        import psycopg

        try:
            if self._connection is None:
                self._connection = self._connect()
                weakref.finalize(self, self._connection.close)
            yield self._connection
        except psycopg.Error as error:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
            raise DataError(f"data.url: {_words(error)}") from None

    def _connect(self) -> "psycopg.Connection[Any]":
        import psycopg
        from psycopg.types.numeric import FloatLoader

        connection = psycopg.connect(
            self._url,
            password=self._password,
            connect_timeout=CONNECT_SECONDS,
            application_name="fedcausal",
            autocommit=True,
        )
        for setting, value in (
            ("default_transaction_read_only", "on"),
            ("statement_timeout", f"{self._timeout_seconds}s"),
            # While a model trains between two passes, nothing is asked of the server.
            ("idle_in_transaction_session_timeout", "0"),
            # Passes begin at the first page, so that rows come in the same order.
            ("synchronize_seqscans", "off"),
        ):
            connection.execute("SELECT set_config(%s, %s, false)", (setting, value))
        connection.autocommit = False
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        connection.adapters.register_loader("numeric", FloatLoader)
        connection.adapters.register_loader("float4", _single_loader())
        return connection


def table_query(table: str) -> str:
    """All of a table, or of `schema.table`.

    >>> table_query("clinic.patients")
    'SELECT * FROM "clinic"."patients"'
    """
    name = ".".join(quoted(part) for part in table.split("."))
    return f"SELECT * FROM {name}"  # noqa: S608


def _single_loader() -> Any:
    """Numbers of four bytes as they are, not as their shortest digits: what a file would hold."""
    from psycopg.adapt import Loader

    class SingleLoader(Loader):
        def load(self, data: Any) -> float:
            number = float(bytes(data))
            return float(struct.unpack("f", struct.pack("f", number))[0])

    return SingleLoader


def _array(values: tuple[Any, ...]) -> Any:
    """One column of a batch: numbers, truth values or text; all else becomes text."""
    try:
        array = pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
        return _as_text(values)
    kind, types = array.type, pa.types
    plain = types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)
    return array if plain or types.is_string(kind) or types.is_null(kind) else _as_text(values)


def _as_text(values: tuple[Any, ...]) -> Any:
    return pa.array([None if value is None else str(value) for value in values], pa.string())


def _words(error: "psycopg.Error") -> str:
    """What happened, without a value of a record, a password or an address."""
    code = error.sqlstate or ""
    for known, words in _BY_CODE.items():
        if code.startswith(known):
            return words
    if code.startswith("42"):
        # Syntax and names: the words are about the operator's own query.
        return f"the query fails: {error.diag.message_primary}; run it in psql and correct it"
    if code:
        return f"the query fails (PostgreSQL's code {code}); run it in psql and correct it"
    told = str(error)
    for fragment, words in _BEFORE_LOGIN.items():
        if fragment in told:
            return words
    return "the server cannot be reached; check host, port and whether it runs"
