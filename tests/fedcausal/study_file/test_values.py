"""How values of a study file are read: levels as text, numbers as floats, no key too many."""

import pytest
from pydantic import ValidationError

from fedcausal.study_file.values import Bounds, Levels, NumberOrText, Section


class Example(Section):
    levels: Levels = ()
    bounds: Bounds | None = None
    value: NumberOrText = 0.0


def test_levels_are_text_whatever_people_write():
    assert Example(levels=[True, 1, 2.0, 2.5, "x"]).levels == ("true", "1", "2", "2.5", "x")


def test_zero_has_no_sign_and_whole_numbers_are_floats():
    assert str(Example(value=-0.0).value) == "0.0"
    assert Example(bounds=[0, 3]).bounds == (0.0, 3.0)
    assert Example(value="old").value == "old"


@pytest.mark.parametrize("given", [{"colour": 1}, {"bounds": [0, float("inf")]}, {"bounds": [1]}])
def test_unknown_keys_and_numbers_that_are_none_are_refused(given):
    with pytest.raises(ValidationError):
        Example(**given)
