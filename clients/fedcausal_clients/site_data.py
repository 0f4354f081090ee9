"""A site's rows as its site file describes them, checked against the study."""

from pathlib import Path

from fedcausal.data.coercion import ColumnMap
from fedcausal.data.sources import read_source, split_by_site
from fedcausal.data.table import TableSource
from fedcausal.errors import DataError
from fedcausal.refusals import RefusalCode
from fedcausal.study import Study
from fedcausal_clients.disclosure_rules import RefusalError
from fedcausal_clients.site_config import DataSection, SiteConfig
from fedcausal_clients.survey import Survey, survey

__all__ = ["open_source", "survey_rows"]

_SUFFIXES = {"csv": (".csv", ".tsv", ".txt", ".gz"), "parquet": (".parquet", ".pq")}


def open_source(config: SiteConfig, study: Study, home: Path) -> TableSource:
    """The site's rows in the study's types.

    A whole file is streamed. Rows chosen by `site_column` are read at once, because the file
    that holds several sites' rows is a test's file.

    Raises
    ------
    RefusalError
        The source cannot be read or lacks a column; outward goes the code and the variable.
    """
    name = config.site.name
    mapping = ColumnMap(columns=config.columns, levels=config.levels)
    try:
        place = _place(config, home)
        if config.data is None or config.data.site_column is None:
            return read_source(place, study.schema(), site=name, mapping=mapping)
        rows = split_by_site(place, config.data.site_column)
        if config.data.site_value not in rows:
            raise DataError(f"{name}: no row has the site_value of site.toml; correct it")
        rows_of_site = rows[str(config.data.site_value)]
        return read_source(rows_of_site, study.schema(), site=name, mapping=mapping)
    except DataError as error:
        raise _refusal(error, config, study) from None


def survey_rows(
    source: TableSource, config: SiteConfig, study: Study, secret: bytes | None = None
) -> Survey:
    """Count the rows, checking every value of every row against the study.

    With the site's `secret` they are sketched too, which every release without noise needs.
    """
    try:
        return survey(source, config.columns, secret)
    except DataError as error:
        raise _refusal(error, config, study) from None


def _place(config: SiteConfig, home: Path) -> str:
    data = config.data
    if data is None:
        raise DataError(f"{config.site.name}: a steward has no data")
    path = home / data.path
    if not path.name.endswith(_expected(data)):
        raise DataError(
            f"site.toml: data.path: expected a {data.source} file, got {path.name}; correct "
            "data.path or data.source"
        )
    return f"{path}::{data.table}" if data.source == "duckdb" else str(path)


def _expected(data: DataSection) -> tuple[str, ...]:
    return _SUFFIXES.get(data.source, (".duckdb", ".db"))


def _refusal(error: DataError, config: SiteConfig, study: Study) -> RefusalError:
    """What may be said outside: the first variable that does not fit, never the message."""
    first = str(error).splitlines()[0]
    for variable in study.schema().names:
        if first.startswith(f"{config.site.name}:{config.columns.get(variable, variable)}: "):
            return RefusalError(RefusalCode.DATA_DOES_NOT_FIT, variable, reason=str(error))
    return RefusalError(RefusalCode.DATA_UNREADABLE, reason=str(error))
