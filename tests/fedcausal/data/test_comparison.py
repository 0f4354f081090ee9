"""The table of differences: what it names, what keeps a run from starting."""

import json

import numpy as np
import pandas as pd
import pytest

from fedcausal.data.coercion import ColumnMap
from fedcausal.data.comparison import Status, compare_sites
from fedcausal.errors import DataError
from fedcausal.schema import Kind, Schema, Variable

SCHEMA = Schema(
    (
        Variable(name="age", kind=Kind.CONTINUOUS, bounds=(0.0, 120.0)),
        Variable(name="sex", kind=Kind.CATEGORICAL, categories=("m", "f")),
    )
)
GOOD = pd.DataFrame({"age": [30.0, 40.0, 50.0], "sex": ["m", "f", "f"], "other": [1, 2, 3]})


def _status(**columns):
    comparison = compare_sites(SCHEMA, {"a": GOOD, "b": GOOD.assign(**columns), "c": GOOD})
    return [comparison.cells[name, "b"].status for name in SCHEMA.names], comparison


@pytest.mark.parametrize(
    ("columns", "statuses"),
    [
        ({}, [Status.OK, Status.OK]),
        ({"age": ["1", "2", "3"]}, [Status.COERCED, Status.OK]),
        ({"age": [7, 7, 7]}, [Status.CONSTANT, Status.OK]),
        ({"age": [np.nan] * 3, "sex": [None] * 3}, [Status.ALL_MISSING, Status.ALL_MISSING]),
        ({"age": [1, 2, 300]}, [Status.OUT_OF_BOUNDS, Status.OK]),
        ({"age": [1, 2, np.inf]}, [Status.INFINITE, Status.OK]),
        ({"age": ["1", "2", "old"]}, [Status.NOT_NUMBERS, Status.OK]),
        ({"sex": ["m", "d", "x"]}, [Status.OK, Status.UNLISTED]),
    ],
)
def test_one_site_that_differs(columns, statuses):
    found, comparison = _status(**columns)
    assert found == statuses
    assert bool(comparison.errors()) == any(status.is_error for status in statuses)


def test_the_text_names_site_and_column_and_fits_80_columns():
    _, comparison = _status(age=[1, 2, 300], sex=["m", "d", "x"])
    lines = comparison.render().splitlines()
    assert lines[0].split() == ["b"]
    assert [line.split(maxsplit=1) for line in lines[1:3]] == [
        ["age", "1 beyond"],
        ["sex", "2 levels new"],
    ]
    assert "further sites" in lines[-1]
    wide = {f"hospital number {i}": GOOD.assign(age=["1", "2", "3"]) for i in range(12)}
    text = compare_sites(SCHEMA, {**wide, "z": GOOD}).render()
    assert max(map(len, text.splitlines())) <= 80
    assert compare_sites(SCHEMA, {"a": GOOD, "b": GOOD}).render().startswith("All 2 variables fit")


def test_a_type_that_every_site_has_is_no_difference():
    text = GOOD.assign(age=["1", "2", "3"])
    assert compare_sites(SCHEMA, {"a": text, "b": text}).render().startswith("All")


def test_errors_stop_and_name_the_remedy():
    lacking = GOOD.drop(columns="sex").rename(columns={"age": "Age"})
    comparison = compare_sites(SCHEMA, {"a": GOOD, "b": lacking, "c": GOOD.head(1)})
    with pytest.raises(DataError) as caught:
        comparison.raise_for_errors()
    text = str(caught.value)
    assert "b:age: there is no column 'age'; did you mean 'Age'?" in text
    assert "c: expected at least 2 rows, got 1" in text
    assert "no column" in text
    mapped = {"b": ColumnMap(columns={"age": "Age", "sex": ""})}
    fine = compare_sites(SCHEMA, {"a": GOOD, "b": lacking}, mappings=mapped)
    fine.raise_for_errors()
    assert fine.cells["sex", "b"].status is Status.ABSENT


def test_variables_that_cannot_be_used_anywhere():
    empty, same = GOOD.assign(age=np.nan), GOOD.assign(age=7.0)
    nobody = compare_sites(SCHEMA, {"a": empty, "b": empty})
    assert nobody.errors() == ["age: no site has it; remove variables.age from the study"]
    constant = compare_sites(SCHEMA, {"a": same, "b": GOOD.assign(age=8.0), "c": empty})
    assert constant.errors() == [
        "age: constant at every site; remove variables.age from the study"
    ]
    assert compare_sites(SCHEMA, {"a": same, "b": GOOD}).errors() == []


def test_json_holds_the_whole_table():
    _, comparison = _status(age=[1, 2, 300])
    content = json.loads(json.dumps(comparison.to_json()))
    assert {
        "variable": "age",
        "site": "b",
        "status": "beyond bounds",
        "text": "1 beyond",
    } in content["cells"]
    assert content["sites"][0] == {"name": "a", "num_rows": 3}
    assert len(content["cells"]) == 6


def test_a_site_in_another_unit_is_named_but_not_refused():
    rng = np.random.default_rng(0)
    months = {
        site: pd.DataFrame({"age": rng.uniform(5, 10, 50) * factor, "sex": ["m", "f"] * 25})
        for site, factor in {"a": 1, "b": 12, "c": 1}.items()
    }
    comparison = compare_sites(SCHEMA, months)
    assert comparison.cells["age", "b"].status is Status.OTHER_SCALE
    assert comparison.cells["age", "b"].text == "12 x others"
    assert comparison.cells["age", "a"].status is Status.OK
    comparison.raise_for_errors()


def test_rare_levels_and_many_missing_values_are_remarked_and_no_errors():
    schema = Schema(
        (
            Variable(name="pain", kind=Kind.CATEGORICAL, categories=("none", "some", "much")),
            Variable(name="sugar", kind=Kind.CONTINUOUS, bounds=(0, 10)),
        )
    )
    usual = pd.DataFrame({"pain": ["none", "some", "much"] * 20, "sugar": [1.0, 2.0] * 30})
    odd = pd.DataFrame(
        {"pain": ["none", "some"] * 28 + ["much"] * 4, "sugar": [1.0] + [None] * 58 + [2.0]}
    )
    found = compare_sites(schema, {"usual": usual, "odd": odd})
    assert found.errors() == []
    assert found.cells["pain", "odd"].text == "1 rare level"
    assert found.cells["sugar", "odd"].text == "97% missing"
    assert found.cells["pain", "usual"].status is Status.OK
