"""`docs/study-file.md` has every section and key of a study, with its default and its range."""

import re
from pathlib import Path
from typing import Annotated, Literal, get_args, get_origin

import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from fedcausal.study import Study
from fedcausal.study_file.sections import ALGORITHMS, EffectQuery, PartPrivacy
from fedcausal.study_file.variables import BASES, VariableSpec

PAGE = Path(__file__).resolve().parent.parent / "docs" / "study-file.md"
BOUNDS = {"gt": "> ", "ge": ">= ", "lt": "< ", "le": "<= "}
PLAIN = {str: "text", bool: "true, false", int: "whole number", float: "number"}
NAMED = {("discovery", "algorithm"): ALGORITHMS, ("discovery", "basis"): tuple(BASES)}
NAMED[("variables.X", "basis")] = tuple(BASES)
NAMED[("model", "device")] = ("auto", "cpu", "mps", "cuda")


def sections():
    """Section name -> its model, as the study file has them."""
    found = {"variables.X": VariableSpec, "effects.queries": EffectQuery}
    for name, field in Study.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            found[name] = field.annotation
            for key, inner in field.annotation.model_fields.items():
                if PartPrivacy in get_args(inner.annotation):
                    found[f"{name}.{key}"] = PartPrivacy
    return found


def keys_of(model):
    """The keys of a section; those that are sections of their own have a table of their own."""
    inner = {"queries"} | {
        k for k, f in model.model_fields.items() if PartPrivacy in get_args(f.annotation)
    }
    return {name: field for name, field in model.model_fields.items() if name not in inner}


def default_of(field):
    if field.default_factory is not None:
        return "none"
    if field.default is PydanticUndefined:
        return "required"
    if field.default in (None, "", ()):
        return "none"
    value = field.default
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def range_of(section, key, field):
    """What a value may be: its choices, or its type with bounds; empty where prose must do."""
    if (section, key) in NAMED:
        return ", ".join(NAMED[section, key])
    kind = field.annotation
    parts = [a for a in get_args(kind) if a is not type(None)]
    if get_origin(kind) is not Literal and len(parts) == 1:
        kind = parts[0]
    kind = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    if get_origin(kind) is Literal:
        return ", ".join(get_args(kind))
    if hasattr(kind, "__members__"):
        return ", ".join(member.value for member in kind)
    limits = [
        f"{sign}{getattr(part, name):g}"
        for part in field.metadata
        for name, sign in BOUNDS.items()
        if hasattr(part, name)
    ]
    return " ".join([PLAIN[kind], *limits]) if kind in PLAIN else ""


def tables():
    """Section -> key -> (default, range, meaning), as the page has them."""
    found, section = {}, None
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if heading := re.match(r"## `\[+([\w.]+)\]+`", line):
            section = found.setdefault(heading[1], {})
        elif section is not None and line.startswith("| `"):
            key, default, allowed, meaning = (
                cell.strip() for cell in line.strip("|").split(" | ")
            )
            section[key.strip("`")] = (default, allowed, meaning)
    return found


def test_every_section_has_a_table_and_no_other():
    assert set(tables()) == set(sections())


@pytest.mark.parametrize("section", sorted(sections()))
def test_a_table_is_what_the_section_takes(section):
    told, known = tables()[section], keys_of(sections()[section])
    assert list(told) == list(known)
    for key, field in known.items():
        default, allowed, meaning = told[key]
        assert (key, default) == (key, default_of(field))
        if expected := range_of(section, key, field):
            assert (key, allowed) == (key, expected)
        assert len(meaning) > 10


def test_the_page_is_named_where_people_look():
    readme = (PAGE.parent.parent / "README.md").read_text(encoding="utf-8")
    assert "docs/study-file.md" in readme
