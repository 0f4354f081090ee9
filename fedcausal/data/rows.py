"""Where columns can be read in batches, again and again: a file, or a query of a DuckDB file."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from fedcausal.data.readers import read_header, read_query_header, stream, stream_query

__all__ = ["DuckDbQuery", "FileRows", "Rows", "TableRows"]


class Rows(Protocol):
    """Named columns of records, read in batches of bounded size.

    Every call of `stream` reads the same records: a source of rows that change gives those of one
    moment.
    """

    def header(self) -> list[str]:
        """The names of the columns."""
        ...

    def stream(self, columns: list[str], batch_rows: int) -> Iterator[Any]:
        """Some columns as `pyarrow.RecordBatch`es, in the order asked for."""
        ...


@dataclass(frozen=True, slots=True)
class FileRows:
    """A CSV or Parquet file, or `database.duckdb::table`."""

    path: str

    def header(self) -> list[str]:
        """The names of the columns."""
        return read_header(self.path)

    def stream(self, columns: list[str], batch_rows: int) -> Iterator[Any]:
        """Some columns as record batches; those of CSV are text."""
        return stream(self.path, columns, batch_rows)


@dataclass(frozen=True, slots=True, eq=False)
class TableRows:
    """A `pyarrow.Table` in memory."""

    table: Any

    def header(self) -> list[str]:
        """The names of the columns."""
        return list(self.table.column_names)

    def stream(self, columns: list[str], batch_rows: int) -> Iterator[Any]:
        """Some columns as record batches."""
        yield from self.table.select(columns).to_batches(max_chunksize=batch_rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class DuckDbQuery:
    """What one SELECT gives in a DuckDB file, which is opened for reading only."""

    database: str
    sql: str

    def header(self) -> list[str]:
        """The names of the result's columns."""
        return read_query_header(self.database, self.sql)

    def stream(self, columns: list[str], batch_rows: int) -> Iterator[Any]:
        """Some columns of the result as record batches."""
        return stream_query(self.database, self.sql, columns, batch_rows)
