"""Which level a word means: exactly, as a number, by case, as a truth word, or not at all."""

import math

import pytest

from fedcausal.data.levels import LevelMatcher, is_missing_text, plain_number
from fedcausal.schema import Kind, Variable


def _code(word, categories, kind=Kind.CATEGORICAL, missing=(), levels=None):
    variable = Variable(name="x", kind=kind, categories=categories, missing=missing)
    return LevelMatcher(variable, levels).code(word)


@pytest.mark.parametrize(
    ("word", "categories", "kind", "code"),
    [
        ("b", ("a", "b"), Kind.CATEGORICAL, 1),
        (" B ", ("a", "b"), Kind.CATEGORICAL, 1),
        ("1.0", ("0", "1"), Kind.BINARY, 1),
        ("true", ("0", "1"), Kind.BINARY, 1),
        ("FALSE", ("0", "1"), Kind.BINARY, 0),
        ("0", ("FALSE", "TRUE"), Kind.BINARY, 0),
        ("1.0", ("FALSE", "TRUE"), Kind.BINARY, 1),
        ("True", ("no", "yes"), Kind.BINARY, 1),
        ("None", ("None", "Some"), Kind.CATEGORICAL, 0),
        ("3", ("1", "2.0", "3"), Kind.ORDINAL, 2),
        ("2", ("1", "2.0", "3"), Kind.ORDINAL, 1),
    ],
)
def test_words_that_mean_a_level(word, categories, kind, code):
    assert _code(word, categories, kind) == code


@pytest.mark.parametrize(
    ("word", "categories", "kind"),
    [
        ("c", ("a", "b"), Kind.CATEGORICAL),
        ("B", ("a", "b", "bB", "Bb"), Kind.CATEGORICAL),
        ("true", ("0", "1"), Kind.CATEGORICAL),
        ("true", ("m", "f"), Kind.BINARY),
        ("2", ("0", "1"), Kind.BINARY),
    ],
)
def test_words_that_mean_none(word, categories, kind):
    expected = 1.0 if word == "B" else None
    assert _code(word, categories, kind) == expected


def test_case_that_decides_between_levels_must_match():
    assert _code("mm", ("Mm", "mM")) is None
    assert _code("mM", ("Mm", "mM")) == 1


def test_missing_words_and_codes():
    assert all(math.isnan(_code(w, ("a", "b"))) for w in ("", "NA", "nan", "null", " "))
    assert math.isnan(_code("9.0", ("1", "2"), missing=(9.0,)))
    assert math.isnan(_code("?", ("a", "b"), missing=("?",)))


def test_a_site_maps_its_own_words():
    assert _code("weiblich", ("m", "f"), levels={"weiblich": "f"}) == 1


def test_plain_spellings():
    assert [plain_number(t) for t in ("1.0", "01", "1e2", "-0.0", "x", "inf", "1_0")] == [
        "1",
        "1",
        "100",
        "0",
        "x",
        "inf",
        "1_0",
    ]
    assert is_missing_text("<NA>")
    assert not is_missing_text("0")
