import gc
import time
import tracemalloc

import numpy as np
import pandas as pd
import pytest

from fedcausal.errors import DataError
from fedcausal_clients.data.postgresql import PostgresRows, table_query

ROWS = 5000


@pytest.fixture(scope="module")
def server(postgresql):
    rng = np.random.default_rng(3)
    frame = pd.DataFrame(
        {"age": rng.normal(50, 10, ROWS).round(3), "Größe in cm": rng.normal(170, 9, ROWS)}
    )
    frame.loc[7, "age"] = np.nan
    postgresql.write("patients", frame)
    return postgresql


def rows(server, sql="SELECT * FROM patients", **options):
    return PostgresRows(url=server.url, sql=sql, **{"password": server.password, **options})


def column(found, name="age", size=1000):
    batches = list(found.stream([name], size))
    assert all(batch.num_rows <= size for batch in batches)
    return [value for batch in batches for value in batch.column(0).to_pylist()]


def test_header_and_batches(server):
    found = rows(server)
    assert found.header() == ["age", "Größe in cm"]
    ages = column(found, size=999)
    assert len(ages) == ROWS
    assert ages[7] is None
    assert ages == column(found)


def test_all_passes_see_one_moment(server):
    found = rows(server, "SELECT age FROM patients WHERE age > 0")
    before = column(found)
    with server.connect() as connection:
        connection.execute("INSERT INTO patients VALUES (44, 170)")
    try:
        assert column(found) == before
        assert len(column(rows(server))) == ROWS + 1
    finally:
        with server.connect() as connection:
            connection.execute('DELETE FROM patients WHERE age = 44 AND "Größe in cm" = 170')


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM patients RETURNING age",
        "WITH gone AS (DELETE FROM patients RETURNING age) SELECT age FROM gone",
        "SELECT age FROM patients) AS x; COMMIT; DELETE FROM patients; SELECT (SELECT 1",
        "SELECT age FROM patients; DROP TABLE patients",
        "SELECT nextval('numbers') AS age",
    ],
)
def test_nothing_is_written_even_by_the_owner(server, sql):
    with server.connect() as connection:
        connection.execute("CREATE SEQUENCE IF NOT EXISTS numbers")
    owner = server.url.replace("reader", "owner")
    found = PostgresRows(url=owner, sql=sql, password=server.password)
    with pytest.raises(DataError, match=r"data.url: the query"):
        column(found)
    assert len(column(rows(server))) == ROWS


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT agee FROM patients", 'column "agee" does not exist'),
        ("SELECT * FROM nowhere", 'relation "nowhere" does not exist'),
        ("SELEC", "syntax error"),
        ("SELECT rolname AS age FROM pg_authid", "administrator grants SELECT"),
        ("SELECT 'KANARIENVOGEL'::int AS age", "code 22P02"),
        ("SELECT pg_sleep(5) AS age", "longer than data.timeout_seconds"),
    ],
)
def test_a_query_that_fails_says_why_without_a_value(server, sql, message):
    with pytest.raises(DataError, match=message) as caught:
        column(rows(server, sql, timeout_seconds=1 if "sleep" in sql else 60))
    assert "KANARIENVOGEL" not in str(caught.value)
    assert server.password not in str(caught.value)


def test_after_a_fault_the_next_pass_begins_anew(server):
    found = rows(server)
    with pytest.raises(DataError):
        column(found, "nothing")
    assert len(column(found)) == ROWS


@pytest.mark.parametrize(
    ("url", "password", "message"),
    [
        (None, "wrong-8812", "refuses the login"),
        (None, None, "asks for a password"),
        ("postgresql://reader@127.0.0.1:1/clinic", "wrong-8812", "cannot be reached"),
        ("postgresql://reader@/nothing?host={}", None, "asks for a password"),
    ],
)
def test_a_failed_login_names_no_secret(server, url, password, message):
    address = server.url if url is None else url.format(server.folder)
    with pytest.raises(DataError, match=message) as caught:
        PostgresRows(url=address, sql="SELECT 1 AS a", password=password).header()
    assert "8812" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_types_come_as_a_file_would_hold_them(server):
    sql = (
        "SELECT 0.1::real AS single, 12345678901234567890.1::numeric AS exact, true AS yes, "
        "'x'::char(3) AS word, 7::bigint AS whole, NULL AS nothing, '2020-01-01'::date AS day, "
        "ARRAY[1, 2] AS list, '{\"a\": 1}'::jsonb AS object, 'NaN'::numeric AS missing"
    )
    found = rows(server, sql)
    (batch,) = found.stream(found.header(), 10)
    got = batch.to_pylist()[0]
    assert got["single"] == float(np.float32(0.1))
    assert got["exact"] == 12345678901234567890.1
    assert (got["yes"], got["word"], got["whole"], got["nothing"]) == (True, "x  ", 7, None)
    assert (got["day"], got["list"], got["object"]) == ("2020-01-01", "[1, 2]", "{'a': 1}")
    assert np.isnan(got["missing"])


def test_memory_does_not_grow_with_rows(server):
    def peak(number):
        sql = "SELECT g::float8 AS a FROM generate_series(1, %d) AS g"
        found = rows(server, sql % number)
        tracemalloc.start()
        total = sum(batch.num_rows for batch in found.stream(["a"], 2000))
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert total == number
        return top

    peak(2000)
    assert peak(100_000) < 1.5 * peak(10_000)


def test_the_transaction_ends_with_the_object(server):
    def sessions():
        with server.connect() as connection:
            sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'fedcausal'"
            return connection.execute(sql).fetchone()[0]

    before = sessions()
    found = rows(server)
    found.header()
    assert sessions() == before + 1
    del found
    gc.collect()
    deadline = time.monotonic() + 30
    while sessions() != before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert sessions() == before


def test_a_table_by_its_name(server):
    assert column(rows(server, table_query("public.patients"))) == column(rows(server))
    with pytest.raises(DataError, match="does not exist"):
        column(rows(server, table_query('patients"; DROP TABLE patients; --')))
