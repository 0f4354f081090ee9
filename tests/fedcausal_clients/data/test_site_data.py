import pandas as pd
import pytest

from fedcausal_clients.data.site_data import open_source, survey_rows
from fedcausal_clients.egress import RefusalError
from fedcausal_clients.site_config import SiteConfig


def config(**data):
    return SiteConfig.check(
        {
            "site": {"name": "north"},
            "data": {"source": "csv", "path": "rows.csv", **data},
            "columns": {"age": "Alter"},
            "simulation": {"seed": 1},
        }
    )


def write(folder, ages, name="rows.csv"):
    frame = pd.DataFrame({"Alter": ages, "dose": 1.0, "ward": ["a", "b"] * (len(ages) // 2)})
    frame.to_csv(folder / name, index=False)


def test_rows_of_a_file_and_of_one_site_in_it(tmp_path, study):
    write(tmp_path, [20, 30, 40, 50])
    source = open_source(config(), study, tmp_path)
    assert survey_rows(source, config(), study).num_rows == 4
    chosen = config(site_column="ward", site_value="b")
    rows = open_source(chosen, study, tmp_path)
    assert next(iter(rows.batches())).column("age").tolist() == [30, 50]


@pytest.mark.parametrize(
    ("ages", "options", "code"),
    [
        ([20, 999, 40, 50], {}, "age: data-does-not-fit"),
        ([20, "old", 40, 50], {}, "age: data-does-not-fit"),
        ([20, 30, 40, 50], {"path": "none.csv"}, "data-unreadable"),
        ([20, 30, 40, 50], {"source": "parquet"}, "data-unreadable"),
        ([20, 30, 40, 50], {"site_column": "ward", "site_value": "c"}, "data-unreadable"),
        ([20, 30, 40, 50], {"site_column": "wing", "site_value": "c"}, "data-unreadable"),
    ],
)
def test_outside_goes_the_code_and_the_variable_alone(tmp_path, study, ages, options, code):
    write(tmp_path, ages)
    settings = config(**options)
    with pytest.raises(RefusalError, match=code) as caught:
        survey_rows(open_source(settings, study, tmp_path), settings, study)
    assert caught.value.reason
    for secret in ("999", "old", str(tmp_path), "Alter"):
        assert secret not in str(caught.value)


def test_a_missing_column_is_named_as_the_study_names_it(tmp_path, study):
    pd.DataFrame({"dose": [1.0] * 4, "ward": ["a"] * 4}).to_csv(tmp_path / "rows.csv", index=False)
    with pytest.raises(RefusalError) as caught:
        survey_rows(open_source(config(), study, tmp_path), config(), study)
    assert caught.value.where == "age"
