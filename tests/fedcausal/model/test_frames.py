import numpy as np
import pandas as pd
import pytest

from fedcausal.errors import InputError, SchemaError
from fedcausal.model.frames import (
    do_codes,
    extrapolation_warnings,
    read_frame,
    value_code,
    value_name,
    write_column,
    write_frame,
)
from fedcausal.schema import Kind, Schema, Variable


@pytest.fixture(scope="module")
def schema(mixed_study):
    return mixed_study.schema()


def test_reading_undoes_writing(schema):
    for name in schema.names:
        size = len(schema[name].categories)
        codes = np.arange(size, dtype=float) if size else np.array([1.5, -2.25])
        frame = pd.DataFrame({name: write_column(codes, schema[name])})
        np.testing.assert_array_equal(read_frame(frame, schema, [name])[name], codes)


def test_numbers_and_words_for_one_level(schema):
    frame = pd.DataFrame({"drug": [0, 1, 1.0, None]})
    found = read_frame(frame, schema, ["drug"])["drug"]
    np.testing.assert_array_equal(found, [0.0, 1.0, 1.0, np.nan])
    mixed = pd.DataFrame({"drug": pd.Series(["1", 0, True], dtype=object)})
    np.testing.assert_array_equal(read_frame(mixed, schema, ["drug"])["drug"], [1.0, 0.0, 1.0])


def test_predictions_beyond_the_bounds_can_be_read_back(schema):
    frame = pd.DataFrame({"pressure": [41.5]})
    assert read_frame(frame, schema, ["pressure"])["pressure"][0] == 41.5


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("status", ["alive", "zombie"], r"frame:status: 1 value .* levels alive, dead"),
        ("age", ["old", "young"], r"frame:age: 2 values without a number"),
        ("other", [1, 2], r"frame:age: the column is needed and absent"),
    ],
)
def test_what_does_not_fit_is_named_without_its_values(schema, column, values, message):
    frame = pd.DataFrame({column: values})
    with pytest.raises(InputError, match=message) as error:
        read_frame(frame, schema, [column if column != "other" else "age"])
    assert "zombie" not in str(error.value)
    assert "young" not in str(error.value)


def test_do_values_become_codes(schema):
    given = {"drug": 1, "status": "dead", "stage": "high", "age": "2.5"}
    assert do_codes(given, schema, {"age": (-6.0, 6.0)}) == {
        "drug": 1.0,
        "status": 1.0,
        "stage": 2.0,
        "age": 2.5,
    }
    assert do_codes(None, schema, {}) == {}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("age", 7.0, r"do age: expected a value within \[-6, 6\].*extrapolate"),
        ("age", float("nan"), "do age"),
        ("age", "many", "do age: expected a number"),
        ("status", "zombie", "do status: expected one of alive, dead"),
        ("status", "", "do status"),
    ],
)
def test_impossible_actions_are_refused(schema, name, value, message):
    with pytest.raises(InputError, match=message):
        value_code(schema[name], value, {"age": (-6.0, 6.0)}.get(name))


def test_an_unknown_variable_suggests_a_name(schema):
    with pytest.raises(SchemaError, match="did you mean 'drug'"):
        do_codes({"drugs": 1}, schema, {})


def test_values_are_named_with_their_unit(schema):
    assert value_name(schema["pressure"], 120.0) == "120 mmHg"
    assert value_name(schema["stage"], 1.0) == "mid"


def test_a_value_beyond_the_bounds_has_a_distance():
    age = Variable(name="age", kind=Kind.CONTINUOUS, bounds=(0.0, 100.0))
    assert value_code(age, 105.0, beyond=0.05) == 105.0
    with pytest.raises(InputError, match=r"by 5.1 \(5% of the width\)"):
        value_code(age, 105.1, beyond=0.05)
    schema, ranges = Schema((age,)), {"age": (0.0, 100.0)}
    assert extrapolation_warnings({"age": 100.0}, schema, ranges) == ()
    (warning,) = extrapolation_warnings({"age": -2.0}, schema, ranges)
    assert warning.startswith("age = -2 lies outside [0, 100] by 2 (2% of the width)")


def test_tables_are_read_and_written_as_a_whole(schema):
    rng = np.random.default_rng(0)
    sizes = {n: len(schema[n].categories) for n in schema.names}
    for count in (1, 5, 200):
        columns = {
            n: rng.integers(0, size, count).astype(float) if size else rng.normal(size=count)
            for n, size in sizes.items()
        }
        frame = write_frame(columns, schema, schema.names, pd.RangeIndex(count))
        assert list(frame.columns) == list(schema.names)
        found = read_frame(frame, schema, schema.names)
        for name, values in columns.items():
            np.testing.assert_array_equal(found[name], values)


def test_few_words_are_read_as_many_are(schema):
    words = pd.DataFrame({"group": ["a", " B", "c", None], "stage": ["low", "high", "mid", "low"]})
    few = read_frame(words, schema, ["group", "stage"])
    many = read_frame(pd.concat([words] * 40, ignore_index=True), schema, ["group", "stage"])
    for name in few:
        np.testing.assert_array_equal(few[name], many[name][:4])


def test_one_infinite_number_among_finite_columns_is_named(schema):
    frame = pd.DataFrame({"age": [1.0, 2.0], "pressure": [0.0, np.inf]})
    with pytest.raises(InputError, match="frame:pressure: 1 value of infinity"):
        read_frame(frame, schema, ["age", "pressure"])
