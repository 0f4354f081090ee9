"""What the commands of `fedcausal model` share."""

import pytest

from fedcausal.commands.model_questions import assumed, named_values, notes_below, told, two_values
from fedcausal.errors import InputError


def test_warnings_stay_where_only_the_answer_is_wanted():
    assert notes_below(["w"], assumed(["a"]), quiet=False) == ["warning: w", "assumes: a"]
    assert notes_below(["w"], assumed(["a"]), quiet=True) == ["warning: w"]


def test_notes_stand_below_the_answer_within_80_columns():
    lines = told(["word " * 30], ["note " * 30])
    assert max(map(len, lines)) <= 80
    assert [line[:6] for line in lines] == ["word w", "word w", "  note", "    no"]


def test_values_are_numbers_or_words():
    assert named_values(["age=60", "sex = f"], "--given") == {"age": 60.0, "sex": "f"}
    assert two_values(["1", "b"]) == (1.0, "b")
    with pytest.raises(InputError, match="--given: 'age' is set twice"):
        named_values(["age=60", "age=61"], "--given")
    with pytest.raises(InputError, match="--values: expected two"):
        two_values(["1"])
