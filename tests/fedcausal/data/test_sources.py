"""Rows of a file, a frame or many sites: the same rows, in bounded batches."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fedcausal.data.coercion import ColumnMap
from fedcausal.data.rows import FileRows, TableRows
from fedcausal.data.sources import (
    RowSource,
    batch_size,
    in_batches,
    read_source,
    read_table,
    split_by_site,
    to_arrow,
)
from fedcausal.errors import DataError
from fedcausal.schema import Kind, Schema, Variable

SCHEMA = Schema(
    (
        Variable(name="age", kind=Kind.CONTINUOUS, bounds=(0.0, 120.0)),
        Variable(name="sick", kind=Kind.BINARY),
    )
)
FRAME = pd.DataFrame(
    {
        "site": ["a", "b", "a ", "b", "c", "c"],
        "age": [30, 40.5, None, 60, 70, 80],
        "sick": [True, False, None, True, True, False],
    }
)
EXPECTED = [[30, 1], [40.5, 0], [np.nan, np.nan], [60, 1], [70, 1], [80, 0]]


def test_files_and_frames_give_the_same_table(tmp_path):
    FRAME.to_csv(tmp_path / "t.csv", index=False)
    FRAME.to_parquet(tmp_path / "t.parquet")
    sources = [
        read_source(tmp_path / "t.csv", SCHEMA),
        read_source(str(tmp_path / "t.parquet"), SCHEMA),
        read_source(FRAME, SCHEMA),
        read_source(pa.Table.from_pandas(FRAME), SCHEMA),
        read_source({"age": FRAME["age"], "sick": FRAME["sick"]}, SCHEMA),
    ]
    for source in sources:
        assert source.schema == SCHEMA
        np.testing.assert_array_equal(read_table(source).values, EXPECTED)


def test_batches_are_bounded_and_can_be_read_again(tmp_path):
    path = tmp_path / "t.parquet"
    values = np.arange(10_000.0) % 100
    pq.write_table(pa.table({"age": values, "sick": values % 2}), path)
    source = RowSource(rows=FileRows(str(path)), schema=SCHEMA, batch_rows=512)
    assert max(batch.num_rows for batch in source.batches()) <= 512
    assert [b.num_rows for b in RowSource(rows=FileRows(str(path)), schema=SCHEMA).batches()] == [
        10_000
    ]
    first, second = read_table(source), read_table(source)
    np.testing.assert_array_equal(first.values, second.values)
    np.testing.assert_array_equal(first.column("age"), values)


@pytest.mark.parametrize("num_rows", [0, 1])
def test_a_site_needs_two_rows(tmp_path, num_rows):
    few = FRAME.head(num_rows)
    with pytest.raises(DataError, match=f"ulm: expected at least 2 rows, got {num_rows}"):
        read_source(few, SCHEMA, site="ulm")
    path = tmp_path / "t.csv"
    few.to_csv(path, index=False)
    with pytest.raises(DataError, match=f"ulm: expected at least 2 rows, got {num_rows}"):
        list(read_source(path, SCHEMA, site="ulm").batches())


def test_a_missing_column_is_known_before_any_row_is_read(tmp_path):
    FRAME.rename(columns={"age": "Age"}).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(DataError, match="ulm:age: there is no such column; did you mean 'Age'"):
        read_source(tmp_path / "t.csv", SCHEMA, site="ulm")
    mapping = ColumnMap(columns={"age": "Age", "sick": ""})
    table = read_table(read_source(tmp_path / "t.csv", SCHEMA, mapping=mapping))
    assert table.column("age")[0] == 30
    assert np.isnan(table.column("sick")).all()


def test_frames_of_mixed_types_become_text():
    assert to_arrow(pd.DataFrame({"x": [1, "a", None]})).to_pydict() == {"x": ["1", "a", None]}
    with pytest.raises(DataError, match="expected a path"):
        to_arrow(3)
    with pytest.raises(DataError, match="'age' is there twice"):
        to_arrow(pd.concat([FRAME, FRAME["age"]], axis=1))


def test_rows_are_split_by_trimmed_labels():
    parts = split_by_site(FRAME, "site")
    assert {name: part.num_rows for name, part in parts.items()} == {"a": 2, "b": 2, "c": 2}
    numbered = split_by_site(FRAME.assign(site=[1, 2, 1, 2, 3, 3]), "site")
    assert list(numbered) == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("labels", "column", "words"),
    [
        (["a"] * 6, "sit", "there is no site column 'sit'; did you mean 'site'?"),
        (["a", None, "", "b", "c", "c"], "site", "site: 2 rows name no site"),
        (["Ulm", "ulm", "b", "b", "c", "c"], "site", "'Ulm' and 'ulm' name the same site"),
    ],
)
def test_site_labels_are_checked(labels, column, words):
    with pytest.raises(DataError, match=words.replace("?", r"\?")):
        split_by_site(FRAME.assign(site=labels), column)


def test_batches_of_a_reader_are_cut_to_size():
    rows = TableRows(pa.table({"a": range(10)}))
    assert [b.num_rows for b in in_batches(rows, ["a"], 4)] == [4, 4, 2]
    assert batch_size(SCHEMA) <= 2**16
