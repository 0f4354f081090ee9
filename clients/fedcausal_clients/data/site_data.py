"""A site's rows as its site file describes them, checked against the study."""

from pathlib import Path

import numpy as np

from fedcausal.data.coercion import ColumnMap
from fedcausal.data.kept_records import patterns_of
from fedcausal.data.rows import Rows, TableRows
from fedcausal.data.sources import split_by_site, stream_source
from fedcausal.data.table import TableSource
from fedcausal.data.units import conversion_of
from fedcausal.errors import DataError, FewRowsError
from fedcausal.refusals import RefusalCode
from fedcausal.study import Study
from fedcausal_clients.config_section import SITE_FILE
from fedcausal_clients.data.connectors import open_rows
from fedcausal_clients.data.section import DataSection
from fedcausal_clients.data.survey import Survey, survey
from fedcausal_clients.policy.rules import RefusalError
from fedcausal_clients.site_config import SiteConfig
from fedcausal_privacy.canonical import json_hash
from fedcausal_privacy.disclosure.row_sketch import ColumnSketch, column_key

__all__ = ["column_map", "open_source", "site_rows", "survey_patterns", "survey_rows"]

# A prime below 2^53.
_PRIME = 2**52 - 47


def open_source(config: SiteConfig, study: Study, home: Path) -> TableSource:
    """The site's rows in the study's types.

    A whole file, table or query is streamed. Rows chosen by `site_column` are read at once,
    because the file that holds several sites' rows is a test's file.

    Raises
    ------
    RefusalError
        The source cannot be read or lacks a column; outward goes the code and the variable.
    """
    name = config.site.name
    try:
        mapping = column_map(config, study)
        rows = site_rows(config, home)
        return stream_source(rows, study.schema(), site=name, mapping=mapping)
    except DataError as error:
        raise _refusal(error, config, study) from None


def site_rows(config: SiteConfig, home: Path) -> Rows:
    """The site's rows with its own columns, before any study looks at them.

    Raises
    ------
    DataError
        They cannot be opened, or no row has the site file's `site_value`.
    """
    data = _data_of(config)
    rows = open_rows(data, home)
    if data.site_column is None:
        return rows
    table = f"::{data.table}" if data.table else ""
    split = split_by_site(f"{home / str(data.path)}{table}", data.site_column)
    if data.site_value not in split:
        raise DataError(f"{config.site.name}: no row has the site_value of site.toml; correct it")
    return TableRows(split[data.site_value])


def survey_rows(
    source: TableSource, config: SiteConfig, study: Study, secret: bytes | None = None
) -> Survey:
    """Count the rows, checking every value of every row against the study.

    With the site's `secret` they are sketched too, which every release without noise needs.
    """
    try:
        conversions = column_map(config, study).conversions
        return survey(source, config.columns, secret, conversions)
    except DataError as error:
        raise _refusal(error, config, study) from None


def survey_patterns(source: TableSource, config: SiteConfig, secret: bytes) -> Survey:
    """Count the rows and sketch which values they lack, instead of the values."""
    named = [config.columns.get(name, name) for name in source.schema.names]
    column = f"what is missing:{json_hash(list(named))[:16]}"
    sketch, key, num_rows = ColumnSketch.empty(), column_key(secret, column), 0
    for batch in source.batches():
        found, places = patterns_of(batch)
        # A sketch is of numbers: a pattern of many variables by its remainder.
        codes = np.array([pattern % _PRIME for pattern in found], dtype=np.float64)
        sketch, num_rows = sketch.add(codes[places], key), num_rows + batch.num_rows
    return Survey(num_rows=num_rows, columns={column: sketch})


def column_map(config: SiteConfig, study: Study) -> ColumnMap:
    """How this site's columns become the study's variables.

    Raises
    ------
    DataError
        A unit that cannot become the study's; the message names file and key.
    """
    schema = study.schema()
    conversions = {}
    for name, unit in config.units.items():
        if name not in schema:
            continue
        try:
            conversions[name] = conversion_of(schema[name], unit.site_unit())
        except DataError as error:
            raise DataError(f"{SITE_FILE}: units.{error}") from None
    return ColumnMap(columns=config.columns, levels=config.levels, conversions=conversions)


def _data_of(config: SiteConfig) -> DataSection:
    if config.data is None:
        raise DataError(f"{config.site.name}: a steward has no data")
    return config.data


def _refusal(error: DataError, config: SiteConfig, study: Study) -> RefusalError:
    """What may be said outside: the first variable that does not fit, never the message.

    One row, or none, is not told from any other number below the site's `min_rows`.
    """
    if isinstance(error, FewRowsError):
        return RefusalError(RefusalCode.TOO_FEW_ROWS, reason=str(error))
    first = str(error).splitlines()[0]
    for variable in study.schema().names:
        column = f"{config.site.name}:{config.columns.get(variable, variable)}: "
        unit = (f"{SITE_FILE}: units.{variable}.", f"{SITE_FILE}: units.{variable}: ")
        if first.startswith((column, *unit)):
            return RefusalError(RefusalCode.DATA_DOES_NOT_FIT, variable, reason=str(error))
    return RefusalError(RefusalCode.DATA_UNREADABLE, reason=str(error))
