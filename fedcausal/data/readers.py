"""Columns of CSV, Parquet and DuckDB files as Arrow batches of bounded size."""

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from fedcausal.errors import DataError

__all__ = ["one_query", "quoted", "read_header", "read_query_header", "stream", "stream_query"]

_CSV_BLOCK_BYTES = 2**22
_SUFFIXES = (".csv", ".tsv", ".txt", ".parquet", ".pq", ".duckdb", ".db")


def read_header(path: str) -> list[str]:
    """The column names of a file, or of a table in a DuckDB file."""
    database, _, table = path.partition("::")
    _check_file(database)
    try:
        if table:
            return _duckdb_header(database, table)
        if _suffix(path) in (".parquet", ".pq"):
            import pyarrow.parquet as pq

            return list(pq.read_schema(path).names)
        return _csv_header(path)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from None


def stream(path: str, columns: list[str], batch_rows: int) -> Iterator[Any]:
    """Some columns of a file as `pyarrow.RecordBatch`es; CSV columns come as text."""
    database, _, table = path.partition("::")
    try:
        if table:
            yield from _duckdb_batches(database, table, columns, batch_rows)
        elif _suffix(path) in (".parquet", ".pq"):
            import pyarrow.parquet as pq

            # Without read-ahead: pre-buffering would hold all row groups at once.
            with pq.ParquetFile(path, pre_buffer=False, buffer_size=2**20) as file:
                yield from file.iter_batches(batch_size=batch_rows, columns=columns)
        else:
            yield from _csv_batches(path, columns)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from None


def _csv_batches(path: str, columns: list[str]) -> Iterator[Any]:
    """Text columns: guessing types from the first block would make them depend on the rows."""
    import pyarrow.csv as pacsv

    with pacsv.open_csv(
        path,
        read_options=pacsv.ReadOptions(block_size=_CSV_BLOCK_BYTES),
        parse_options=pacsv.ParseOptions(delimiter=_delimiter(path), newlines_in_values=True),
        convert_options=pacsv.ConvertOptions(
            column_types={name: pa.string() for name in columns},
            include_columns=columns,
            null_values=[""],
            strings_can_be_null=True,
        ),
    ) as reader:
        yield from reader


def _csv_header(path: str) -> list[str]:
    line = _first_line(path)
    if not line.strip():
        raise DataError(f"{path}: the file is empty; expected a header line and rows")
    return next(csv.reader([line], delimiter=_delimiter(path)))


def _delimiter(path: str) -> str:
    """The separator that splits the header line most often."""
    line = _first_line(path)
    return max((",", ";", "\t"), key=line.count)


def _first_line(path: str) -> str:
    with pa.input_stream(path, compression="detect") as stream:
        text: str = stream.read(2**20).split(b"\n", 1)[0].decode("utf-8-sig")
    return text.rstrip("\r")


def read_query_header(database: str, sql: str) -> list[str]:
    """The column names of a SELECT in a DuckDB file."""
    _check_file(database)
    with _connect(database, "the query fails; run it in DuckDB and correct it") as connection:
        cursor = connection.execute(f"DESCRIBE SELECT * FROM {one_query(sql)}")  # noqa: S608
        return [str(row[0]) for row in cursor.fetchall()]


def stream_query(database: str, sql: str, columns: list[str], batch_rows: int) -> Iterator[Any]:
    """Some columns of a SELECT in a DuckDB file as `pyarrow.RecordBatch`es."""
    chosen = ", ".join(quoted(name) for name in columns)
    with _connect(database, "the query fails; run it in DuckDB and correct it") as connection:
        rows = connection.sql(f"SELECT {chosen} FROM {one_query(sql)}")  # noqa: S608
        yield from rows.to_arrow_reader(batch_rows)


def one_query(sql: str) -> str:
    r"""A SELECT as a table expression: a second statement behind it would be an error.

    >>> one_query("SELECT 1 AS a;")
    '(SELECT 1 AS a\n) AS study_rows'
    """
    return f"({sql.strip().rstrip(';').rstrip()}\n) AS study_rows"


def quoted(name: str) -> str:
    """An identifier of SQL."""
    return '"' + name.replace('"', '""') + '"'


def _duckdb_header(database: str, table: str) -> list[str]:
    with _connect(database) as connection:
        cursor = connection.execute(f"DESCRIBE {quoted(table)}")
        return [str(row[0]) for row in cursor.fetchall()]


def _duckdb_batches(
    database: str, table: str, columns: list[str], batch_rows: int
) -> Iterator[Any]:
    chosen = ", ".join(quoted(name) for name in columns)
    with _connect(database) as connection:
        rows = connection.sql(f"SELECT {chosen} FROM {quoted(table)}")  # noqa: S608
        yield from rows.to_arrow_reader(batch_rows)


@contextmanager
def _connect(
    database: str, fault: str = "the table cannot be read; check the name after ::"
) -> Iterator[Any]:
    """A read-only DuckDB connection whose faults are `DataError`s; it fetches nothing by itself.

    DuckDB's own words may quote a record's value, so they are not repeated.
    """
    import duckdb

    try:
        connection = duckdb.connect(
            database, read_only=True, config={"autoinstall_known_extensions": False}
        )
    except duckdb.Error as error:
        raise _unreadable(database, error) from None
    try:
        yield connection
    except duckdb.Error as error:
        raise DataError(f"{database}: {fault} ({type(error).__name__})") from None
    finally:
        connection.close()


def _suffix(path: str) -> str:
    return Path(path.removesuffix(".gz")).suffix.lower()


def _check_file(path: str) -> None:
    if not Path(path).is_file():
        raise DataError(f"{path}: there is no such file; check the path")
    if Path(path).stat().st_size == 0:
        raise DataError(f"{path}: the file is empty; expected a header line and rows")
    if _suffix(path) not in _SUFFIXES:
        raise DataError(
            f"{path}: unknown kind of file; expected one of {', '.join(_SUFFIXES)} "
            "(DuckDB: database.duckdb::table)"
        )


def _unreadable(path: str, error: BaseException) -> DataError:
    if isinstance(error, UnicodeDecodeError) or "UTF8" in str(error):
        return DataError(f"{path}: expected UTF-8 text; convert the file to UTF-8")
    return DataError(f"{path}: the file cannot be read ({type(error).__name__}); check its format")
