import os
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest

from fedcausal.data.sources import read_table
from fedcausal.errors import DataError
from fedcausal.moments.basis import Basis
from fedcausal.moments.gram import Gram
from fedcausal.study import Study
from fedcausal_clients.data.connectors import open_rows
from fedcausal_clients.data.section import DataSection
from fedcausal_clients.data.site_data import open_source
from fedcausal_clients.egress import RefusalError
from fedcausal_clients.site_config import SiteConfig

OMOP = Path(__file__).resolve().parents[3] / "examples" / "omop"
NUM_ROWS = 3000


def make_frame():
    rng = np.random.default_rng(11)
    frame = pd.DataFrame(
        {
            "Alter": rng.normal(55, 15, NUM_ROWS).clip(0, 120),
            "chol": rng.normal(200, 40, NUM_ROWS).clip(50, 500).round(2),
            "single": rng.normal(0, 1, NUM_ROWS).clip(-5, 5).astype(np.float32),
            "sex": rng.choice(["f", "m"], NUM_ROWS),
            "visits": rng.integers(0, 9, NUM_ROWS),
        }
    )
    frame.loc[::17, "chol"] = np.nan
    return frame


STUDY = Study.model_validate(
    {
        "variables": {
            "age": {"kind": "continuous", "bounds": [0, 120], "unit": "years"},
            "chol": {"kind": "continuous", "bounds": [1, 14], "unit": "mmol/L"},
            "single": {"kind": "continuous", "bounds": [-5, 5]},
            "sex": {"kind": "binary", "categories": ["f", "m"]},
            "visits": {"kind": "continuous", "bounds": [0, 10]},
        }
    }
)
TYPES = {"single": "real", "sex": "text", "visits": "smallint", "chol": "numeric"}


def site(data, **sections):
    return SiteConfig.check(
        {
            "site": {"name": "north"},
            "data": data,
            "columns": {"age": "Alter"},
            "units": {"chol": {"unit": "mg/dL", "molar_mass": 386.65}},
            "simulation": {"seed": 1},
            **sections,
        }
    )


def gram_of(config, home, study=STUDY):
    schema = study.schema()
    basis = Basis.legendre(schema, {v.name: 2 for v in schema if v.is_numeric})
    return Gram.from_source(basis, open_source(config, study, home))


@pytest.fixture
def password(postgresql, monkeypatch):
    monkeypatch.setenv("NORTH_DB", postgresql.password)
    return "NORTH_DB"


def test_the_same_data_give_the_same_integers_through_every_connector(
    tmp_path, postgresql, password
):
    frame = make_frame()
    # Written with all digits: a file of shorter ones would hold other data.
    frame.astype({"single": float}).to_csv(tmp_path / "rows.csv", index=False)
    frame.to_parquet(tmp_path / "rows.parquet", index=False)
    with duckdb.connect(str(tmp_path / "rows.duckdb")) as connection:
        connection.register("frame", frame)
        connection.execute(
            'CREATE TABLE t AS SELECT "Alter", chol::DECIMAL(7, 2) AS chol, single, sex, visits '
            "FROM frame"
        )
    postgresql.write("t", frame.astype({"single": float}), TYPES)
    (tmp_path / "cohort.sql").write_text('SELECT * FROM t WHERE "Alter" >= 0 -- all\n')
    server = {"source": "postgresql", "url": postgresql.url, "password_env": password}
    places = [
        {"source": "csv", "path": "rows.csv"},
        {"source": "parquet", "path": "rows.parquet"},
        {"source": "duckdb", "path": "rows.duckdb", "table": "t"},
        {"source": "duckdb", "path": "rows.duckdb", "sql_file": "cohort.sql"},
        {**server, "table": "t"},
        {**server, "sql_file": "cohort.sql"},
        {**server, "sql": "SELECT * FROM t ORDER BY visits DESC;"},
    ]
    first, *others = [gram_of(site(place), tmp_path) for place in places]
    assert first.num_rows == NUM_ROWS
    for other in others:
        assert other == first


def test_converted_values_are_those_of_a_file_in_the_studys_unit(tmp_path):
    frame = make_frame()
    frame.to_parquet(tmp_path / "rows.parquet", index=False)
    source = open_source(site({"source": "parquet", "path": "rows.parquet"}), STUDY, tmp_path)
    found = read_table(source).column("chol")
    np.testing.assert_allclose(found, frame["chol"] * 10 / 386.65, rtol=1e-12)


def test_a_unit_that_nobody_can_convert_is_an_error_and_outside_a_code(tmp_path):
    make_frame().to_parquet(tmp_path / "rows.parquet", index=False)
    config = site({"source": "parquet", "path": "rows.parquet"}, units={"chol": {"unit": "drop"}})
    with pytest.raises(RefusalError, match="chol: data-does-not-fit") as caught:
        open_source(config, STUDY, tmp_path)
    assert "site.toml: units.chol.unit: no conversion is known for 'drop'" in caught.value.reason
    assert "drop" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"source": "duckdb", "path": "a.csv", "table": "t"}, r"data.path: expected a duckdb"),
        ({"source": "duckdb", "path": "a.duckdb", "sql_file": "no.sql"}, r"data.sql_file: no.sql"),
        (
            {
                "source": "postgresql",
                "url": "postgresql://h/d",
                "table": "t",
                "password_env": "X9",
            },
            r"data.password_env: the environment has no X9",
        ),
        (
            {"source": "postgresql", "url": "postgresql://h", "table": "t", "password_file": "x"},
            r"data.password_file: x cannot be read",
        ),
    ],
)
def test_places_that_cannot_be_opened(tmp_path, data, message):
    with pytest.raises(DataError, match=message):
        open_rows(DataSection.check(data), tmp_path)


def test_a_password_file_is_its_owners_alone(tmp_path, postgresql):
    data = DataSection.check(
        {
            "source": "postgresql",
            "url": postgresql.url,
            "sql": "SELECT 1 AS a",
            "password_file": "word",
        }
    )
    (tmp_path / "word").write_text(postgresql.password + "\n")
    (tmp_path / "word").chmod(0o640)
    with pytest.raises(DataError, match="others can read word; run chmod 600 word"):
        open_rows(data, tmp_path)
    (tmp_path / "word").chmod(0o600)
    assert open_rows(data, tmp_path).header() == ["a"]


def test_no_fault_of_a_server_shows_password_or_value(tmp_path, postgresql, monkeypatch):
    word = postgresql.password[::-1]
    monkeypatch.setenv("NORTH_DB", word)
    data = {"source": "postgresql", "url": postgresql.url, "password_env": "NORTH_DB"}
    config = site({**data, "table": "t"})
    with pytest.raises(RefusalError, match="data-unreadable") as caught:
        open_source(config, STUDY, tmp_path)
    for text in (str(caught.value), caught.value.reason, repr(config)):
        assert word not in text
        assert str(postgresql.folder) not in text


def make_cdm(num_persons=400, version="v5.4.0"):
    """Ten tables of a CDM: table -> (columns with types, rows)."""
    rng = np.random.default_rng(5)
    born = rng.integers(1930, 1985, num_persons)
    people = range(1, num_persons + 1)
    dated = [f"2015-{month:02d}-15" for month in rng.integers(1, 13, num_persons)]
    integers = dict.fromkeys
    persons = [
        (p, int(rng.choice([8507, 8532])), int(y)) for p, y in zip(people, born, strict=True)
    ]
    values = []
    for p, date in zip(people, dated, strict=True):
        for concept, unit, mean, spread in ((3004249, 8876, 135, 15), (3027114, 8840, 200, 30)):
            for _ in range(int(rng.integers(0, 3))):
                value = float(np.round(rng.normal(mean, spread), 1))
                values.append((len(values), p, concept, f"2015-{date[5:7]}-01", value, unit))
    # A value in another unit, which the query must not mix in.
    values.append((len(values), 1, 3027114, f"2015-{dated[0][5:7]}-02", 5.2, 8753))
    some = [p for p in people if rng.random() < 0.4]
    day = dict(zip(people, dated, strict=True))
    return {
        "cdm_source": ({"cdm_source_name": "text", "cdm_version": "text"}, [("test", version)]),
        "concept": (
            {"concept_id": "integer", "concept_name": "text", "domain_id": "text"},
            [(1539403, "simvastatin", "Drug"), (1112807, "aspirin", "Drug")],
        ),
        "person": (
            integers(["person_id", "gender_concept_id", "year_of_birth"], "integer"),
            persons,
        ),
        "observation_period": (
            {
                "person_id": "integer",
                "observation_period_start_date": "date",
                "observation_period_end_date": "date",
            },
            [(p, "2010-01-01", "2022-12-31") for p in people],
        ),
        "visit_occurrence": (
            {"person_id": "integer", "visit_concept_id": "integer", "visit_start_date": "date"},
            [(p, 9202, day[p]) for p in people] + [(p, 9201, "2018-01-01") for p in some],
        ),
        "condition_occurrence": (
            {
                "person_id": "integer",
                "condition_concept_id": "integer",
                "condition_start_date": "date",
            },
            [(p, 201826, "2012-06-01") for p in some[::2]],
        ),
        "drug_exposure": (
            {
                "person_id": "integer",
                "drug_concept_id": "integer",
                "drug_exposure_start_date": "date",
            },
            [(p, 1539403 if p % 2 else 1112807, day[p]) for p in some],
        ),
        "measurement": (
            {
                "measurement_id": "integer",
                "person_id": "integer",
                "measurement_concept_id": "integer",
                "measurement_date": "date",
                "value_as_number": "numeric",
                "unit_concept_id": "integer",
            },
            values,
        ),
        "observation": (
            {
                "person_id": "integer",
                "observation_concept_id": "integer",
                "observation_date": "date",
                "value_as_concept_id": "integer",
            },
            [(p, 4275495, "2013-01-01", 4298794 if p % 3 else 4144272) for p in some],
        ),
        "death": (
            {"person_id": "integer", "death_date": "date"},
            [(p, "2017-03-01") for p in some[::5]],
        ),
    }


def write_duckdb(path, tables):
    with duckdb.connect(str(path)) as connection:
        for name, (columns, rows) in tables.items():
            declared = ", ".join(
                f"{c} {t}".replace("numeric", "double") for c, t in columns.items()
            )
            connection.execute(f"CREATE TABLE {name} ({declared})")
            marks = ", ".join("?" * len(columns))
            connection.executemany(f"INSERT INTO {name} VALUES ({marks})", rows)  # noqa: S608


def omop_site(data):
    content = {"site": {"name": "north"}, "data": data, "simulation": {"seed": 1}}
    units = {"cholesterol": {"unit": "mg/dL", "molar_mass": 386.65}}
    return SiteConfig.check({**content, "units": units})


def test_an_omop_cdm_becomes_the_studys_table(tmp_path, postgresql, password):
    tables, study = make_cdm(), Study.load(OMOP / "study.toml")
    write_duckdb(tmp_path / "cdm.duckdb", tables)
    for name, (columns, rows) in tables.items():
        postgresql.write(name, pd.DataFrame(rows, columns=list(columns)), columns)
    sql = os.path.relpath(OMOP / "cohort.sql", tmp_path)
    in_file = omop_site({"source": "omop", "path": "cdm.duckdb", "sql_file": sql})
    at_server = omop_site(
        {"source": "omop", "url": postgresql.url, "sql_file": sql, "password_env": password}
    )
    table = read_table(open_source(in_file, study, tmp_path))
    assert table.num_rows == 400
    persons = pd.DataFrame(tables["person"][1], columns=["person", "sex", "born"])
    np.testing.assert_array_equal(table.column("age"), 2015 - persons["born"])
    np.testing.assert_array_equal(table.column("sex"), (persons["sex"] == 8507).astype(float))
    last = pd.DataFrame(tables["measurement"][1]).query("`5` == 8840").groupby(1).last()[4]
    expected = last.reindex(persons["person"]).to_numpy() * 10 / 386.65
    np.testing.assert_allclose(table.column("cholesterol"), expected, rtol=1e-9)
    assert 0 < np.nanmean(table.column("smoker")) < 1
    assert 0 < table.column("statin").mean() < table.column("diabetes").mean() + 0.2
    assert table.column("died").sum() == len(tables["death"][1])
    assert gram_of(in_file, tmp_path, study) == gram_of(at_server, tmp_path, study)


@pytest.mark.parametrize("version", ["5.3", "v6.0", ""])
def test_another_version_of_the_cdm_is_refused(tmp_path, version):
    write_duckdb(tmp_path / "cdm.duckdb", make_cdm(3, version))
    data = {"source": "omop", "path": "cdm.duckdb", "sql": "SELECT 1 AS a"}
    with pytest.raises(DataError, match=r"expected an OMOP CDM of version 5.4"):
        open_rows(DataSection.check(data), tmp_path)


def test_the_examples_site_file_is_whole():
    content = Study.parse((OMOP / "site.toml").read_text(), source="site.toml")
    assert SiteConfig.check(content).data.source == "omop"
