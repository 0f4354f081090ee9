import pytest

from fedcausal.errors import StudyError
from fedcausal_clients.data.section import DataSection, UnitSection
from fedcausal_clients.site_config import SiteConfig

SERVER = {"source": "postgresql", "url": "postgresql://reader@db/clinic", "table": "patients"}


@pytest.mark.parametrize(
    "data",
    [
        {"source": "csv", "path": "rows.csv"},
        {"source": "csv", "path": "rows.csv", "site_column": "c", "site_value": "v"},
        {"source": "duckdb", "path": "a.duckdb", "sql": "SELECT 1"},
        SERVER,
        {**SERVER, "password_env": "X"},
        {**SERVER, "url": "postgresql://db/clinic?sslmode=verify-full", "password_file": "x"},
        {"source": "omop", "path": "cdm.duckdb", "sql_file": "cohort.sql"},
        {"source": "omop", "url": "postgresql://db/cdm", "sql_file": "cohort.sql"},
    ],
)
def test_complete_sections(data):
    assert DataSection.check(data).source == data["source"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"source": "csv"}, r"path: a csv source has a file; write path ="),
        ({"source": "csv", "path": "a.csv", "table": "t"}, r"table: a csv source has none"),
        ({"source": "csv", "path": "a.csv", "url": "postgresql://h"}, r"url: .*remove url"),
        ({"source": "csv", "path": "a.csv", "password_env": "X"}, r"a file has no password"),
        ({"source": "csv", "path": "a\nb.csv"}, r"path: expected a path of printable"),
        ({"source": "duckdb", "path": "a.db"}, r'table: .*write table = "patients", or sql_file'),
        ({"source": "duckdb", "path": "a.db", "table": "t", "sql": "s"}, r"sql: table is given"),
        ({"source": "postgresql", "table": "t"}, r"url: .*write url = .postgresql://user@host"),
        ({**SERVER, "path": "x"}, r"path: a postgresql source has no file"),
        ({**SERVER, "password_env": "X", "password_file": "y"}, r"remove one of the two"),
        ({**SERVER, "url": "mysql://h/d"}, r"url: expected an address that begins with postg"),
        ({**SERVER, "url": "host=db user=x"}, r"url: expected an address that begins with postg"),
        ({**SERVER, "site_column": "c", "site_value": "v"}, r"chosen by a query"),
        ({"source": "omop", "path": "c.duckdb", "table": "t"}, r"table: a omop source has none"),
        ({"source": "omop", "sql_file": "c.sql"}, r"url: a omop source has an address"),
        ({"source": "excel", "path": "a"}, r"source: expected"),
    ],
)
def test_incomplete_and_contradictory_sections(data, message):
    with pytest.raises(StudyError, match=message):
        DataSection.check(data)


SECRET = "Kanarie" + "nvogel"


@pytest.mark.parametrize(
    "change",
    [
        {"url": f"postgresql://reader:{SECRET}@db/clinic"},
        {"url": f"postgresql://reader:{SECRET}@[db/clinic"},
        {"url": f"postgresql://db/clinic?user=x&password={SECRET}"},
        {"url": f"postgresql://db/clinic?p%61ssword={SECRET}"},
        {"url": f"postgresql://db/clinic?sslpassword={SECRET}"},
        {"url": [f"postgresql://reader:{SECRET}@db/clinic"]},
        {"url": {"password": SECRET}},
        {"password": SECRET},
        {"password": {"a": SECRET}},
    ],
)
def test_a_password_in_the_file_is_refused_and_not_repeated(change):
    content = {
        "site": {"name": "north"},
        "data": {**SERVER, **change},
        "simulation": {"seed": 1},
    }
    with pytest.raises(StudyError, match=r"site.toml: data\.") as caught:
        SiteConfig.check(content)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("unit", "message"),
    [
        ({"unit": "mg/dL", "factor": 0}, r"factor: expected a number other than 0"),
        ({"unit": "mg/dL", "offset": 1}, r"factor: an offset needs its factor"),
        ({"unit": "mg/dL", "factor": 2, "molar_mass": 3}, r"molar_mass: the factor says it all"),
        ({"unit": "mg/dL", "molar_mass": -3}, r"molar_mass: expected"),
        ({"unit": "mg/dL", "factor": "2"}, r"factor: expected a number"),
        ({"unit": ""}, r"unit: expected"),
        ({"factor": 2}, r"unit: the key is missing"),
    ],
)
def test_faulty_units(unit, message):
    with pytest.raises(StudyError, match=message):
        UnitSection.check(unit)


def test_a_unit_as_a_plain_value():
    unit = UnitSection.check({"unit": "degF", "factor": 2, "offset": -1})
    assert (unit.site_unit().factor, unit.site_unit().offset) == (2.0, -1.0)
