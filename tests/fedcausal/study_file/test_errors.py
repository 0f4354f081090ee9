"""From a validation error to lines that say where, what came and what to type."""

from typing import Annotated

import pytest
from pydantic import BaseModel, ConfigDict, Strict, ValidationError, field_validator

from fedcausal.errors import StudyError
from fedcausal.study_file.errors import explain, refuse, refuse_all


class Leaf(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    size: int = 3

    @field_validator("size")
    @classmethod
    def _small(cls, size):
        if size > 9:
            raise refuse("expected 9 or less; write size = 9")
        if size < 0:
            raise refuse_all([("low", "too low"), ("", "negative")])
        return size


class Tree(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    leaves: Annotated[tuple[Leaf, ...], Strict(False)] = ()
    named: dict[str, Leaf] = {}
    maybe: Leaf | None = None


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        ({"named": {"a": {"size": 12}}}, ["f: named.a.size: expected 9 or less; write size = 9"]),
        ({"leaves": [{"sise": 1}]}, ["f: leaves[0].sise: unknown key; did you mean 'size'?"]),
        ({"maybe": {"sise": 1}}, ["f: maybe.sise: unknown key; did you mean 'size'?"]),
        ({"named": {"a": {"x": 1}}}, ["f: named.a.x: unknown key; known: 'size'"]),
        (
            {"maybe": {"size": "1"}},
            ['f: maybe.size: expected a whole number, got "1"; the default is 3'],
        ),
        ({"maybe": {"size": -1}}, ["f: maybe.size.low: too low", "f: maybe.size: negative"]),
        ({"leaves": 1}, ["f: leaves: expected a list [..., ...], got 1"]),
    ],
)
def test_lines(content, lines):
    with pytest.raises(ValidationError) as caught:
        Tree.model_validate(content)
    error = explain(caught.value, Tree, "f")
    assert isinstance(error, StudyError)
    assert str(error).splitlines() == lines
