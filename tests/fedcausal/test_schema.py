"""A schema that exists is coherent; names are found or explained."""

import pytest

from fedcausal.errors import SchemaError
from fedcausal.schema import Kind, Schema, Variable, did_you_mean


def test_binary_has_two_default_levels_and_ordinal_words_get_code_bounds():
    assert Variable(name="y", kind=Kind.BINARY).categories == ("0", "1")
    stage = Variable(name="stage", kind=Kind.ORDINAL, categories=("I", "II", "III"))
    assert (stage.bounds, stage.is_numeric, stage.num_levels) == ((0.0, 2.0), True, 0)
    assert Variable(name="c", kind=Kind.CATEGORICAL, categories=("a", "b", "c")).num_levels == 3


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"kind": Kind.CONTINUOUS, "bounds": (1.0, 1.0)}, "lo < hi"),
        ({"kind": Kind.CONTINUOUS, "bounds": (0.0, float("inf"))}, "lo < hi"),
        ({"kind": Kind.CONTINUOUS, "categories": ("a", "b")}, "no categories"),
        ({"kind": Kind.BINARY, "categories": ("a", "b", "c")}, "2 categories, got 3"),
        ({"kind": Kind.BINARY, "bounds": (0.0, 1.0)}, "no bounds"),
        ({"kind": Kind.CATEGORICAL}, "lists its levels"),
        ({"kind": Kind.CATEGORICAL, "categories": ("a", "a")}, "listed twice"),
        ({"kind": Kind.ORDINAL, "categories": ("a",)}, "2 or more levels"),
        ({"kind": Kind.ORDINAL, "categories": ("a", "b"), "bounds": (0.0, 5.0)}, "no bounds"),
    ],
)
def test_contradictions_are_refused(wrong, words):
    with pytest.raises(SchemaError, match=words):
        Variable(name="x", **wrong)


def test_names_are_unique_and_unknown_names_are_explained():
    age, sex = Variable(name="age", kind=Kind.CONTINUOUS), Variable(name="sex", kind=Kind.BINARY)
    schema = Schema((age, sex))
    assert schema.names == ("age", "sex")
    assert schema["sex"] is sex
    assert schema.index("sex") == 1
    assert "age" in schema
    assert len(schema) == 2
    with pytest.raises(SchemaError, match="did you mean 'age'"):
        schema["aeg"]
    with pytest.raises(SchemaError, match="declared twice"):
        Schema((age, age))


def test_digest_follows_the_content():
    first = Schema((Variable(name="x", kind=Kind.CONTINUOUS, bounds=(0.0, 1.0)),))
    same = Schema((Variable(name="x", kind=Kind.CONTINUOUS, bounds=(0.0, 1.0)),))
    other = Schema((Variable(name="x", kind=Kind.CONTINUOUS, bounds=(0.0, 2.0)),))
    assert first == same
    assert first.digest() == same.digest() != other.digest()


def test_did_you_mean_ignores_case_and_else_lists():
    assert did_you_mean("AGE", ["age", "sex"]) == "; did you mean 'age'?"
    assert did_you_mean("zzz", ["age"]) == "; known: 'age'"
    assert did_you_mean("zzz", []) == ""


def test_counts_are_whole_numbers_from_zero_on():
    visits = Variable(name="visits", kind="count", bounds=(0, 40))
    assert visits.is_numeric
    assert visits.num_levels == 0
    assert Variable(name="visits", kind=Kind.COUNT).bounds is None
    for bounds in ((-1, 4), (0, 4.5), (0.5, 4)):
        with pytest.raises(SchemaError, match="a count has whole bounds of 0 or more"):
            Variable(name="visits", kind=Kind.COUNT, bounds=bounds)
    with pytest.raises(SchemaError, match="a count variable has no categories"):
        Variable(name="visits", kind=Kind.COUNT, categories=("a", "b"))
    with pytest.raises(SchemaError, match="transform: it is of continuous variables, not count"):
        Variable(name="visits", kind=Kind.COUNT, bounds=(0, 4), transform="asinh")
