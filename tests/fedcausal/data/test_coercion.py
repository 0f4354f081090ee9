"""What is lossless is coerced; everything else is refused by site, column and number of rows."""

import datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedcausal.data.coercion import ColumnMap, coerce, read_column, unlisted_words
from fedcausal.data.units import Conversion
from fedcausal.errors import DataError
from fedcausal.schema import Kind, Schema, Variable

AGE = Variable(name="age", kind=Kind.CONTINUOUS, bounds=(0.0, 120.0))
FREE = Variable(name="dose", kind=Kind.CONTINUOUS)
SICK = Variable(name="sick", kind=Kind.BINARY)
SEX = Variable(name="sex", kind=Kind.CATEGORICAL, categories=("m", "f"))
NAN = float("nan")


def _values(array, variable):
    table = coerce(pa.table({variable.name: array}), Schema((variable,)), site="berlin")
    return table.column(variable.name).tolist()


@pytest.mark.parametrize(
    "array",
    [
        pa.array([1, 2, None], pa.int64()),
        pa.array([1.0, 2.0, NAN]),
        pa.array([1, 2, None], pa.int8()),
        pa.array([1.0, 2.0, None], pa.float32()),
        pa.array(["1", " 2.0 ", ""]),
        pa.array(["+1", "2e0", "NaN"]),
        pa.array(["1", "2", "N/A"], pa.large_string()),
        pa.array(["1", "2", None]).dictionary_encode(),
        pa.array([1, 2, None], pa.decimal128(5, 2)),
    ],
)
def test_every_spelling_of_the_same_numbers_is_the_same_column(array):
    np.testing.assert_array_equal(_values(array, AGE), [1.0, 2.0, NAN])


@pytest.mark.parametrize(
    "array",
    [
        pa.array([True, False, None]),
        pa.array(["TRUE", "False", ""]),
        pa.array([1, 0, None]),
        pa.array([1.0, 0.0, NAN]),
        pa.array(["1.0", "0", "nan"]),
        pa.array(["yes", "no", None]).dictionary_encode(),
    ],
)
@pytest.mark.parametrize("categories", [("0", "1"), ("FALSE", "TRUE"), ("no", "yes")])
def test_truth_values_are_one_column(array, categories):
    variable = Variable(name="sick", kind=Kind.BINARY, categories=categories)
    np.testing.assert_array_equal(_values(array, variable), [1.0, 0.0, NAN])


def test_missing_codes_go_before_bounds_and_levels():
    age = Variable(name="age", kind=Kind.CONTINUOUS, bounds=(0.0, 120.0), missing=(-9.0, "?"))
    np.testing.assert_array_equal(_values(pa.array([5, -9]), age), [5.0, NAN])
    np.testing.assert_array_equal(_values(pa.array(["5", "-9.0"]), age), [5.0, NAN])
    np.testing.assert_array_equal(_values(pa.array(["5", " ? "]), age), [5.0, NAN])
    sex = Variable(name="sex", kind=Kind.CATEGORICAL, categories=("m", "f"), missing=("u",))
    np.testing.assert_array_equal(_values(pa.array(["u", "f"]), sex), [NAN, 1.0])


@pytest.mark.parametrize(
    ("array", "variable", "words"),
    [
        (pa.array([1.0, np.inf, -np.inf]), AGE, "berlin:age: infinite in 2 rows; correct"),
        (pa.array(["1", "inf"]), AGE, "berlin:age: infinite in 1 row;"),
        (
            pa.array([1.0, 130.0, 1e308, -0.5]),
            AGE,
            "berlin:age: beyond the declared bounds [0, 120] in 3 rows; correct them, add their "
            "code to variables.age.missing, or widen variables.age.bounds",
        ),
        (pa.array([1e308, 1.0]), FREE, "berlin:dose: beyond 2^40"),
        (pa.array(["1", "abc", "1,5", "0x1"]), AGE, "not a number in 3 rows"),
        (pa.array([datetime.date(2020, 1, 1), None]), AGE, "not a number in 1 row"),
        (
            pa.array(["m", "d", "d", "x"]),
            SEX,
            "berlin:sex: a level that the study does not list in 3 rows; add it to "
            "variables.sex.categories, or map it in site.toml under [levels.sex]",
        ),
        (pa.array([0, 1, 2]), SICK, "berlin:sick: a level that the study does not list in 1 row"),
    ],
)
def test_what_does_not_fit_is_counted_and_never_shown(array, variable, words):
    with pytest.raises(DataError) as caught:
        _values(array, variable)
    assert words in str(caught.value)
    assert not any(value in str(caught.value) for value in ("130", "1e308", "abc", "'d'"))


def test_all_columns_are_judged_at_once():
    table = pa.table({"age": [500.0], "sex": ["q"]})
    with pytest.raises(DataError) as caught:
        coerce(table, Schema((AGE, SEX)), site="b")
    assert [line.split(": ")[0] for line in str(caught.value).splitlines()] == ["b:age", "b:sex"]


def test_columns_are_found_by_name_mapped_or_declared_absent():
    table = pa.table({"SEX": ["m"], "Alter": [3]})
    schema = Schema((AGE, SEX))
    with pytest.raises(DataError, match="berlin:sex: there is no such column; did you mean 'SEX'"):
        coerce(table, schema, site="berlin")
    mapping = ColumnMap(columns={"sex": "SEX", "age": "Alter"})
    assert coerce(table, schema, mapping=mapping).values.tolist() == [[3.0, 0.0]]
    absent = ColumnMap(columns={"sex": "SEX", "age": ""})
    np.testing.assert_array_equal(coerce(table, schema, mapping=absent).values, [[NAN, 0.0]])
    with pytest.raises(DataError, match="there twice"):
        coerce(pa.Table.from_arrays([pa.array([1])] * 2, ["age", "age"]), Schema((AGE,)))


def test_a_site_maps_its_levels():
    mapping = ColumnMap(levels={"sex": {"w": "f"}})
    assert coerce(
        pa.table({"sex": ["w", "m"]}), Schema((SEX,)), mapping=mapping
    ).values.tolist() == [
        [1.0],
        [0.0],
    ]


def test_bounds_met_up_to_rounding_are_met():
    variable = Variable(name="x", kind=Kind.CONTINUOUS, bounds=(0.0, 0.1))
    assert _values(pa.array([0.1], pa.float32()), variable) == [0.1]


@given(st.lists(st.one_of(st.none(), st.text(max_size=5), st.floats().map(str)), max_size=20))
def test_any_text_is_read_or_counted(words):
    reading = read_column(pa.array(words, pa.string()), AGE)
    fits = int(np.isfinite(reading.values).sum())
    assert reading.values.shape == (len(words),)
    assert fits + reading.not_numbers + reading.infinite + reading.beyond <= len(words)
    assert not np.isinf(reading.values).any()
    levels = read_column(pa.array(words, pa.string()), SEX)
    assert int(np.isfinite(levels.values).sum()) + levels.unlisted <= len(words)


def test_denormal_numbers_and_negative_zero_are_numbers():
    assert _values(pa.array([5e-324, -0.0, 1e-300]), FREE) == [5e-324, 0.0, 1e-300]


def test_codes_are_of_the_column_and_bounds_of_the_converted_number():
    celsius = Variable(
        name="t", kind=Kind.CONTINUOUS, bounds=(30.0, 45.0), missing=(-9.0,), unit="degC"
    )
    mapping = ColumnMap(conversions={"t": Conversion(factor=5 / 9, offset=-160 / 9)})
    for column in (pa.array([98.6, -9.0, 212.0]), pa.array(["98.6", "-9", "212"])):
        reading = mapping.read(column, celsius)
        assert reading.values[0] == pytest.approx(37.0)
        assert np.isnan(reading.values[1:]).all()
        assert reading.beyond == 1


def test_a_decimal_is_the_number_that_its_digits_say():
    digits = ["0.1", "123456789.123456789", "-7.000000000000001"]
    column = pa.array(digits).cast(pa.decimal128(38, 18))
    assert _values(column, FREE) == [float(text) for text in digits]


@pytest.mark.parametrize("as_dictionary", [False, True])
def test_unlisted_words_and_their_rows(as_dictionary):
    column = pa.array(["m", "F", "div", "div", None, "n/a", "x"])
    column = column.dictionary_encode() if as_dictionary else column
    assert unlisted_words(column, SEX, {"x": "m"}) == {"div": 2}


VISITS = Variable(name="visits", kind=Kind.COUNT)


def test_counts_are_whole_numbers_from_zero_on():
    assert _values(pa.array(["0", "3.0", "12"]), VISITS) == [0.0, 3.0, 12.0]
    reading = read_column(pa.array([0.0, 1.5, -2.0, None, 7.0]), VISITS)
    assert reading.fractions == 2
    with pytest.raises(DataError, match=r"berlin:visits: no count \(0 or a whole .* in 2 rows;"):
        _values(pa.array([0.0, 1.5, -2.0, None, 7.0]), VISITS)
