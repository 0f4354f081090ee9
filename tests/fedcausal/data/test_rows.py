import duckdb
import pandas as pd
import pyarrow as pa
import pytest

from fedcausal.data.rows import DuckDbQuery, FileRows, TableRows
from fedcausal.errors import DataError

FRAME = pd.DataFrame({"age": range(1000), "b c": ["x", "y"] * 500})


@pytest.fixture
def database(tmp_path):
    path = tmp_path / "t.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.register("frame", FRAME)
        connection.execute("CREATE TABLE t AS SELECT * FROM frame")
    return str(path)


def ages(rows, size=256):
    batches = list(rows.stream(["age"], size))
    assert all(batch.num_rows <= 2048 for batch in batches)
    return [int(value) for batch in batches for value in batch.column(0).to_pylist()]


def test_a_query_and_a_file_give_the_same_rows(tmp_path, database):
    FRAME.to_csv(tmp_path / "t.csv", index=False)
    for rows in (
        FileRows(str(tmp_path / "t.csv")),
        FileRows(f"{database}::t"),
        TableRows(pa.Table.from_pandas(FRAME)),
        DuckDbQuery(database=database, sql='SELECT age, "b c" FROM t; '),
        DuckDbQuery(database=database, sql="SELECT * FROM t -- all"),
    ):
        assert rows.header() == ["age", "b c"]
        assert ages(rows) == ages(rows) == list(range(1000))


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1; DROP TABLE t",
        "DROP TABLE t",
        "SELECT nothing FROM t",
        "SELECT CAST(\"b c\" AS INTEGER) AS age FROM t WHERE 'secret' <> ''",
        "",
    ],
)
def test_other_statements_are_refused_and_no_value_is_told(database, sql):
    rows = DuckDbQuery(database=database, sql=sql)
    with pytest.raises(DataError, match="the query fails") as caught:
        ages(rows)
    assert "secret" not in str(caught.value)
    assert ages(DuckDbQuery(database=database, sql="SELECT age FROM t")) == list(range(1000))


def test_a_missing_database(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        DuckDbQuery(database=str(tmp_path / "no.duckdb"), sql="SELECT 1").header()
