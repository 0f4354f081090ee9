"""Headers and batches of each kind of file, and what is said of files that cannot be read."""

import gzip

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fedcausal.data.readers import read_header, stream
from fedcausal.errors import DataError

ROWS = {"a": ["1", "2", None], "b c": ["x", 'q"u', "z\nz"]}


@pytest.fixture(params=["csv", "csv.gz", "semicolon", "parquet", "duckdb"])
def path(request, tmp_path):
    table = pa.table(ROWS)
    if request.param == "parquet":
        pq.write_table(table, tmp_path / "t.parquet")
        return str(tmp_path / "t.parquet")
    if request.param == "duckdb":
        with duckdb.connect(str(tmp_path / "t.duckdb")) as connection:
            connection.register("rows", table)
            connection.execute('CREATE TABLE "my table" AS SELECT * FROM rows')
        return f"{tmp_path / 't.duckdb'}::my table"
    text = '\ufeffa,b c\r\n1,x\r\n2,"q""u"\r\n,"z\nz"\r\n'
    if request.param == "semicolon":
        text = text.replace(",", ";")
    if request.param == "csv.gz":
        (tmp_path / "t.csv.gz").write_bytes(gzip.compress(text.encode()))
        return str(tmp_path / "t.csv.gz")
    (tmp_path / "t.csv").write_bytes(text.encode())
    return str(tmp_path / "t.csv")


def test_every_format_gives_the_same_columns(path):
    assert read_header(path) == ["a", "b c"]
    for columns in (["a", "b c"], ["b c"]):
        table = pa.Table.from_batches(stream(path, columns, 2))
        assert table.to_pydict() == {name: ROWS[name] for name in columns}


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("none.csv", None, "there is no such file"),
        ("empty.csv", b"", "the file is empty"),
        ("blank.csv", b"\n\n", "expected a header line"),
        ("rows.xlsx", b"x", "unknown kind of file"),
        ("bad.parquet", b"not parquet", "cannot be read"),
        ("bad.duckdb::t", b"not a database, but long enough to be one" * 99, "cannot be read"),
        ("latin.csv", b"\xe4,b\n1,2\n", "expected UTF-8"),
    ],
)
def test_unreadable_files_are_explained(tmp_path, name, content, words):
    path = tmp_path / name
    if content is not None:
        (tmp_path / name.split("::")[0]).write_bytes(content)
    with pytest.raises(DataError, match=words):
        read_header(str(path))


def test_faults_inside_a_file_are_explained(tmp_path):
    ragged = tmp_path / "ragged.csv"
    ragged.write_text("a,b\n1,2\n1,2,3\n")
    with pytest.raises(DataError, match="cannot be read"):
        list(stream(str(ragged), ["a"], 10))
    latin = tmp_path / "latin.csv"
    latin.write_bytes(b"a,b\n\xe4,2\n")
    with pytest.raises(DataError, match="UTF-8"):
        list(stream(str(latin), ["a"], 10))
    database = tmp_path / "t.duckdb"
    duckdb.connect(str(database)).close()
    with pytest.raises(DataError, match="name after ::"):
        read_header(f"{database}::nothing")
