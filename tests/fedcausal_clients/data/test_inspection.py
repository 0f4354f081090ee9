import json
import tracemalloc

import numpy as np
import pandas as pd
import pytest
import tomli_w

from fedcausal.cli import main
from fedcausal.errors import DataError, InputError
from fedcausal.study import Study
from fedcausal_clients.data.inspection import inspect_data, inspection_lines

NUM_ROWS = 400
STUDY = {
    "variables": {
        "age": {"kind": "continuous", "bounds": [0, 120], "unit": "years"},
        "chol": {"kind": "continuous", "bounds": [1, 14], "unit": "mmol/L"},
        "sex": {"kind": "binary", "categories": ["f", "m"]},
        "pain": {"kind": "categorical", "categories": ["no", "mild", "strong"]},
    }
}
UNITS = {"chol": {"unit": "mg/dL", "molar_mass": 386.65}}


def make_frame(num_rows=NUM_ROWS):
    rng = np.random.default_rng(2)
    return pd.DataFrame(
        {
            "Alter": rng.normal(55, 12, num_rows).clip(1, 119).round(1),
            "chol": rng.normal(200, 30, num_rows).clip(50, 500).round(1),
            "sex": rng.choice(["f", "m"], num_rows),
            "pain": rng.choice(["no", "mild", "strong"], num_rows),
        }
    )


@pytest.fixture
def home(tmp_path):
    def make(frame, **sections):
        frame.to_csv(tmp_path / "rows.csv", index=False)
        content = {
            "site": {"name": "north"},
            "data": {"source": "csv", "path": "rows.csv"},
            "columns": {"age": "Alter"},
            "units": UNITS,
            "simulation": {"seed": 1},
            **sections,
        }
        (tmp_path / "site.toml").write_text(tomli_w.dumps(content))
        (tmp_path / "study.toml").write_text(tomli_w.dumps(STUDY))
        return tmp_path

    return make


def inspected(folder):
    found = inspect_data(folder, Study.model_validate(STUDY))
    return found, {column.variable: column for column in found.columns}


def test_data_that_fit(home):
    found, columns = inspected(home(make_frame()))
    assert found.is_ready
    assert found.num_rows == NUM_ROWS
    assert {c.status for c in columns.values()} == {"ok"}
    assert columns["chol"].unit == "mg/dL -> mmol/L"
    (note,) = found.notes
    assert "age (years)" in note


def spoilt():
    frame = make_frame().astype(object)
    frame.loc[:29, "Alter"] = ""
    frame.loc[30:36, "Alter"] = 140
    frame.loc[40:42, "Alter"] = "old"
    frame.loc[:119, "pain"] = ""
    frame.loc[120:139, "pain"] = "unbearable"
    frame.loc[140, "pain"] = "MUSTERMANN"
    frame["sex"] = "f"
    return frame.drop(columns="chol").rename(columns={"sex": "Sex"})


def test_data_that_do_not_fit(home):
    found, columns = inspected(home(spoilt(), columns={"age": "Alter", "agee": "x"}))
    assert not found.is_ready
    assert {n: c.status for n, c in columns.items()} == dict.fromkeys(STUDY["variables"], "failed")
    age = "; ".join(columns["age"].notes)
    assert "not a number in 3 rows" in age
    assert "beyond the declared bounds [0, 120] in 7 rows" in age
    assert columns["age"].missing == 30 / NUM_ROWS
    assert "no such column" in columns["chol"].notes[0]
    assert "did you mean 'Sex'" in columns["sex"].notes[0]
    pain = "; ".join(columns["pain"].notes)
    assert "'unbearable' in 20 rows, 1 further words" in pain
    assert "often missing" in pain
    assert "MUSTERMANN" not in json.dumps(found.to_json())
    assert "columns.agee: the study has no such variable; did you mean 'age'" in found.notes[0]


@pytest.mark.parametrize("brief", [False, True])
def test_what_is_printed_fits_a_terminal(home, brief):
    found, _ = inspected(home(spoilt()))
    lines = inspection_lines(found, brief=brief)
    assert max(map(len, lines)) <= 80
    assert "does NOT fit" in lines[0]


def test_units_that_cannot_be_converted_fail(home):
    _, columns = inspected(home(make_frame(), units={"chol": {"unit": "drop"}}))
    assert columns["chol"].status == "failed"
    assert "units.chol.unit: no conversion is known for 'drop'" in columns["chol"].notes[0]
    _, columns = inspected(home(make_frame(), units={}))
    assert "beyond the declared bounds [1, 14] in 400 rows" in columns["chol"].notes[0]


def test_one_record_that_dominates_and_too_few_rows(home):
    frame = make_frame(15)
    frame["chol"] = [200.0] * 14 + [500.0]
    found, columns = inspected(home(frame))
    assert found.faults == ("15 rows, and policy.min_rows is 20",)
    assert "one record has 93% of the squares" in columns["chol"].notes[0]


def test_columns_that_are_not_collected_or_hold_one_value(home):
    frame = make_frame()
    frame["sex"] = "m"
    found, columns = inspected(home(frame, columns={"age": "Alter", "pain": ""}))
    assert found.is_ready
    assert columns["pain"].status == columns["sex"].status == "warning"
    assert columns["sex"].notes == ("constant here",)


def test_memory_does_not_grow_with_rows(home):
    def peak(num_rows):
        folder = home(make_frame(num_rows))
        tracemalloc.start()
        inspected(folder)
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    peak(1000)
    assert peak(400_000) < 1.5 * peak(100_000)


def test_a_source_that_cannot_be_read_and_a_steward(home, tmp_path):
    folder = home(make_frame())
    (folder / "rows.csv").unlink()
    with pytest.raises(DataError, match="no such file"):
        inspected(folder)
    (folder / "site.toml").write_text(
        '[site]\nname = "keys"\nrole = "steward"\n[simulation]\nseed = 1\n'
    )
    with pytest.raises(InputError, match="a steward has no data"):
        inspected(folder)


@pytest.mark.parametrize(("frame", "code"), [(make_frame(), 0), (spoilt(), 4)])
def test_the_command_ends_with_4_when_a_run_would_refuse(home, capsys, frame, code):
    folder = home(frame)
    arguments = ["site", "data", "inspect", str(folder / "study.toml"), "--home", str(folder)]
    assert main(arguments) == code
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80
    assert main([*arguments, "--format", "json"]) == code
    answer = json.loads(capsys.readouterr().out)
    assert (answer["exit_code"], answer["status"]) == (code, "error" if code else "ok")
    assert answer["data"]["ready"] is (code == 0)
