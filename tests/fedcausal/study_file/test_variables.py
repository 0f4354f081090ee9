"""A declared variable: one form of what people write, and a remedy for what cannot be."""

import re

import pytest
from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from fedcausal.study_file.variables import BASES, VariableSpec, known_basis


def test_levels_are_text_and_numbers_are_floats():
    assert VariableSpec(kind="binary", categories=[0, 1]).categories == ("0", "1")
    assert VariableSpec(kind="binary", categories=[False, True]).categories == ("false", "true")
    assert VariableSpec(kind="continuous", missing=[0, "?"]).missing == (0.0, "?")
    assert VariableSpec(kind="ordinal", categories=["I", "II"]).bounds == (0.0, 1.0)


@pytest.mark.parametrize(
    ("given", "remedy"),
    [
        ({"kind": "continuous", "bounds": [3, 1]}, r"write bounds = \[1, 3\]"),
        ({"kind": "continuous", "bounds": [0, 1e16]}, "larger unit"),
        ({"kind": "continuous", "bounds": [1, 1 + 1e-12]}, "smaller unit"),
        ({"kind": "categorical", "categories": ["a", " "]}, "plain words"),
        ({"kind": "binary", "basis": "legendre-2"}, "remove the key"),
        ({"kind": "continuous", "missingness": "not-at-random"}, "why a value is missing"),
    ],
)
def test_what_cannot_be_is_refused_with_what_to_write(given, remedy):
    with pytest.raises(ValidationError) as refused:
        VariableSpec(**given)
    (detail,) = refused.value.errors()
    ((_, message),) = detail["ctx"]["problems"]
    assert re.search(remedy, message)


def test_a_basis_that_does_not_exist_is_answered_with_those_that_do():
    assert all(known_basis(name) == name for name in BASES)
    with pytest.raises(PydanticCustomError) as refused:
        known_basis("fourier")
    assert "legendre-3" in str(refused.value.context)
