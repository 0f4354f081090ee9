"""Where rows come from: CSV, Parquet, DuckDB or a frame, in batches of bounded size."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from fedcausal.data.coercion import ColumnMap, check_columns, coerce
from fedcausal.data.readers import read_header, stream
from fedcausal.data.rows import FileRows, Rows
from fedcausal.data.table import BATCH_ROWS, Table, TableSource
from fedcausal.errors import DataError, FewRowsError
from fedcausal.schema import Schema, did_you_mean

__all__ = [
    "RowSource",
    "batch_size",
    "check_num_rows",
    "in_batches",
    "read_source",
    "read_table",
    "split_by_site",
    "stream_source",
    "to_arrow",
]

_BATCH_NUMBERS = 2**21


@dataclass(frozen=True, slots=True, kw_only=True)
class RowSource:
    """A file, query or table of a database as a source: read anew for every pass, in batches.

    Raises
    ------
    DataError
        For rows that cannot be read, a missing column, fewer than 2 rows, and everything that
        `fedcausal.data.coercion.coerce` refuses.
    """

    rows: Rows
    schema: Schema
    site: str = "data"
    mapping: ColumnMap = field(default_factory=ColumnMap)
    batch_rows: int | None = None

    def batches(self) -> Iterator[Table]:
        """Batches of at most `batch_rows` coerced rows (default: 2^21 numbers, 2^16 rows)."""
        size = self.batch_rows or batch_size(self.schema)
        columns = [c for c in map(self.mapping.column, self.schema.names) if c]
        num_rows = 0
        check_columns(self.rows.header(), self.schema, site=self.site, mapping=self.mapping)
        for batch in in_batches(self.rows, list(dict.fromkeys(columns)), size):
            num_rows += batch.num_rows
            piece = pa.Table.from_batches([batch])
            yield coerce(piece, self.schema, site=self.site, mapping=self.mapping)
        check_num_rows(num_rows, self.site)


def in_batches(rows: Rows, columns: list[str], size: int) -> Iterator[Any]:
    """Record batches of at most `size` rows: a reader's own may be larger."""
    for batch in rows.stream(columns, size):
        for start in range(0, batch.num_rows, size):
            yield batch.slice(start, size)


def batch_size(schema: Schema) -> int:
    """Rows of one batch: at most 2^21 numbers and 2^16 rows."""
    return max(1, min(BATCH_ROWS, _BATCH_NUMBERS // len(schema)))


def read_source(
    data: Any,
    schema: Schema,
    *,
    site: str = "data",
    mapping: ColumnMap | None = None,
) -> TableSource:
    """A source of a site's rows: files and databases are streamed, frames coerced at once."""
    mapping = mapping or ColumnMap()
    if isinstance(data, Table):
        check_num_rows(data.num_rows, site)
        return data
    if isinstance(data, str | os.PathLike):
        return stream_source(FileRows(str(data)), schema, site=site, mapping=mapping)
    table = coerce(to_arrow(data), schema, site=site, mapping=mapping)
    check_num_rows(table.num_rows, site)
    return table


def stream_source(
    rows: Rows, schema: Schema, *, site: str = "data", mapping: ColumnMap | None = None
) -> RowSource:
    """A source that streams; a header without the study's columns is a `DataError` at once."""
    mapping = mapping or ColumnMap()
    check_columns(rows.header(), schema, site=site, mapping=mapping)
    return RowSource(rows=rows, schema=schema, site=site, mapping=mapping)


def read_table(source: TableSource) -> Table:
    """All rows of a source in memory."""
    batches = list(source.batches())
    if not batches:
        raise DataError("the source has no rows; expected at least 2")
    return Table.concatenate(batches)


def check_num_rows(num_rows: int, site: str) -> None:
    """Refuse a site with fewer than two records: nothing can be learnt or hidden there."""
    if num_rows < 2:
        raise FewRowsError(f"{site}: expected at least 2 rows, got {num_rows}; check the file")


def to_arrow(data: Any) -> Any:
    """A whole file, frame or mapping of columns as one `pyarrow.Table`."""
    if isinstance(data, pa.Table):
        return data
    if isinstance(data, str | os.PathLike):
        path = str(data)
        batches = list(stream(path, read_header(path), BATCH_ROWS))
        if not batches:
            raise DataError(f"{path}: the file has no rows; check that it is the right file")
        return pa.Table.from_batches(batches)
    if hasattr(data, "columns") and hasattr(data, "itertuples"):
        _check_names([str(name) for name in data.columns])
        return pa.table({str(name): _frame_column(data[name]) for name in data.columns})
    if isinstance(data, Mapping):
        return pa.table({str(name): _frame_column(column) for name, column in data.items()})
    raise DataError(
        f"expected a path, an Arrow table or a pandas frame, got {type(data).__name__}"
    )


def split_by_site(data: Any, site_column: str, *, source: str = "") -> dict[str, Any]:
    """The rows of each site, by the label in `site_column`, labels in sorted order.

    For simulation, where all sites' rows are in one place. Labels are compared after trimming.
    `source` names the rows in errors; a path names itself.

    Raises
    ------
    DataError
        When the column is not there, a row has no label, or two labels differ by case alone.
    """
    table = to_arrow(data)
    name = source or (str(data) if isinstance(data, str | os.PathLike) else "")
    where = f"{name}:{site_column}" if name else site_column
    if site_column not in table.column_names:
        remedy = did_you_mean(site_column, table.column_names)
        raise DataError(f"{where}: there is no site column {site_column!r}{remedy}")
    labels = pc.utf8_trim_whitespace(pc.cast(table.column(site_column), pa.string()))
    unnamed = labels.null_count + (pc.sum(pc.equal(labels, "")).as_py() or 0)
    if unnamed:
        rows = "1 row names" if unnamed == 1 else f"{unnamed} rows name"
        raise DataError(f"{where}: {rows} no site; fill the column or drop those rows")
    names = sorted(pc.unique(labels).to_pylist())
    _check_distinct(names, where)
    return {name: table.filter(pc.equal(labels, name)) for name in names}


def _check_names(names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"the column {twice[0]!r} is there twice; rename one of them")


def _frame_column(column: Any) -> Any:
    """One column of a frame; a column of mixed types becomes text."""
    try:
        return pa.array(column, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.array([None if _is_null(v) else str(v) for v in column])


def _is_null(value: object) -> bool:
    return value is None or value != value or type(value).__name__ in ("NAType", "NaTType")


def _check_distinct(names: list[str], where: str) -> None:
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(name.casefold(), name)
        if other != name:
            raise DataError(
                f"{where}: {other!r} and {name!r} name the same site; spell it one way"
            )
