"""From the site file's [data] to rows that can be read: files, DuckDB, PostgreSQL, OMOP."""

import os
import re
from pathlib import Path

from fedcausal.data.rows import DuckDbQuery, FileRows, Rows
from fedcausal.errors import DataError
from fedcausal_clients.data.section import DataSection

__all__ = ["open_rows"]

_SUFFIXES = {"csv": (".csv", ".tsv", ".txt", ".gz"), "parquet": (".parquet", ".pq")}
_CDM_VERSION = re.compile(r"v?5\.4(\..*)?")


def open_rows(data: DataSection, home: Path) -> Rows:
    """The rows that a site file describes; paths are from the site's folder on.

    Privacy: opens what the site's operator named, for reading only.

    Raises
    ------
    DataError
        A file or password cannot be read, or an OMOP source is no CDM 5.4.
    """
    if data.source == "omop":
        _check_cdm(data, home)
    if data.url is not None:
        return _server(data, home, _sql(data, home))
    path = home / str(data.path)
    if not path.name.endswith(_expected(data)):
        raise DataError(
            f"site.toml: data.path: expected a {data.source} file, got {path.name}; correct "
            "data.path or data.source"
        )
    if data.table is not None:
        return FileRows(f"{path}::{data.table}")
    if data.source in _SUFFIXES:
        return FileRows(str(path))
    return DuckDbQuery(database=str(path), sql=_sql(data, home))


def _expected(data: DataSection) -> tuple[str, ...]:
    return _SUFFIXES.get(data.source, (".duckdb", ".db"))


def _sql(data: DataSection, home: Path) -> str:
    if data.sql is not None:
        return data.sql
    if data.sql_file is not None:
        return _text(home / data.sql_file, "data.sql_file")
    from fedcausal_clients.data.postgresql import table_query

    return table_query(str(data.table))


def _server(data: DataSection, home: Path, sql: str) -> Rows:
    from fedcausal_clients.data.postgresql import PostgresRows

    return PostgresRows(
        url=str(data.url),
        sql=sql,
        password=_password(data, home),
        timeout_seconds=data.timeout_seconds,
    )


def _password(data: DataSection, home: Path) -> str | None:
    if data.password_env is not None:
        found = os.environ.get(data.password_env)
        if not found:
            raise DataError(
                f"site.toml: data.password_env: the environment has no {data.password_env}; "
                "set it where the site runs, or write data.password_file"
            )
        return found
    if data.password_file is None:
        return None
    path = home / data.password_file
    content = _text(path, "data.password_file").strip()
    if path.stat().st_mode & 0o077:
        raise DataError(
            f"site.toml: data.password_file: others can read {path.name}; run "
            f"chmod 600 {path.name}"
        )
    return content


def _text(path: Path, key: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise DataError(
            f"site.toml: {key}: {path.name} cannot be read as text; check the path"
        ) from None


def _check_cdm(data: DataSection, home: Path) -> None:
    """Refuse tables that are not of the version which the study's SQL is written for."""
    sql = "SELECT cdm_version FROM cdm_source"
    rows = (
        DuckDbQuery(database=str(home / str(data.path)), sql=sql)
        if data.url is None
        else _server(data, home, sql)
    )
    versions = [
        str(value)
        for batch in rows.stream(["cdm_version"], 16)
        for value in batch.column(0).to_pylist()
    ]
    if not versions or any(not _CDM_VERSION.fullmatch(version) for version in versions):
        found = ", ".join(repr(version[:20]) for version in versions) or "none"
        raise DataError(
            f"site.toml: data.source: expected an OMOP CDM of version 5.4 in cdm_source, got "
            f'{found}; convert it, or write source = "duckdb" or "postgresql"'
        )
