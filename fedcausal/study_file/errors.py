"""From a failed validation to a message that says where, what came and what to type."""

import json
import types
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from fedcausal.errors import StudyError
from fedcausal.schema import did_you_mean

__all__ = ["Problem", "explain", "refuse", "refuse_all"]

Problem = tuple[str, str]
"""A key path and what is wrong there."""

_OWN = "study"
_TYPES = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "string_type": "text in quotes",
    "bool_type": "true or false",
}


def refuse(message: str, *, key: str = "") -> PydanticCustomError:
    """The error that a validator raises about its own field (or about `key` below it)."""
    return refuse_all([(key, message)])


def refuse_all(problems: Iterable[Problem]) -> PydanticCustomError:
    """The error that a validator raises about several keys at once."""
    return PydanticCustomError(_OWN, "study", {"problems": list(problems)})


def explain(error: ValidationError, model: type[BaseModel], source: str) -> StudyError:
    """One line for each problem: "source: key: expected ..., got ...; what to type"."""
    lines = [
        f"{source}: {key}: {message}" if key else f"{source}: {message}"
        for detail in error.errors(include_url=False)
        for key, message in _problems(detail, model)
    ]
    return StudyError("\n".join(dict.fromkeys(lines)))


def _problems(detail: ErrorDetails, model: type[BaseModel]) -> list[Problem]:
    place = _key(detail["loc"])
    if detail["type"] == _OWN:
        own: list[Problem] = detail["ctx"]["problems"]
        return [(".".join(p for p in (place, key) if p), message) for key, message in own]
    if detail["type"] == "extra_forbidden":
        known = _keys_at(model, detail["loc"][:-1])
        return [(place, f"unknown key{did_you_mean(str(detail['loc'][-1]), known)}")]
    if detail["type"] == "missing":
        last = detail["loc"][-1]
        if isinstance(last, int):
            return [
                (place, f"expected {last + 1} values or more, got {last}; add the missing one")
            ]
        return [(place, f"the key is missing; write {last} = {_example(last)}")]
    expected = _expected(detail)
    remedy = _remedy(model, detail["loc"])
    shown = "another value" if _is_secret(model, detail["loc"]) else _shown(detail["input"])
    return [(place, f"expected {expected}, got {shown}{remedy}")]


def _expected(detail: ErrorDetails) -> str:
    """What pydantic expected, in the words of a TOML file."""
    if detail["type"] in ("tuple_type", "list_type"):
        return "a list [..., ...]"
    if detail["type"] in ("model_type", "dict_type", "model_attributes_type"):
        return "a table of keys"
    if detail["type"] in _TYPES:
        return _TYPES[detail["type"]]
    if detail["type"] == "string_pattern_mismatch" and detail["loc"][-1] == "device":
        return '"auto", "cpu" or "cuda"'
    if detail["type"] == "too_long":
        return "{max_length} values or fewer".format(**detail["ctx"])
    if detail["type"] in ("enum", "literal_error"):
        return str(detail["ctx"]["expected"]).replace("'", '"')
    text = detail["msg"].removeprefix("Input should be ").removeprefix("a valid ")
    text = text.replace("greater than or equal to", "at least")
    return text.replace("less than or equal to", "at most")


def _key(location: tuple[int | str, ...]) -> str:
    """`effects.queries[0].values`; the branches of a union ("float", "str") are no keys."""
    text = ""
    for i, part in enumerate(location):
        if isinstance(part, int):
            text += f"[{part}]"
        elif not (i and part in ("float", "str") and isinstance(location[i - 1], int)):
            text += f".{part}" if text else part
    return text


def _shown(value: object) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False, default=str)
    except (TypeError, ValueError):
        text = str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _example(key: str) -> str:
    """What a missing key may look like."""
    return {
        "kind": '"continuous" (or "count", "ordinal", "binary", "categorical")',
        "treatment": '"name of a variable"',
        "outcome": '"name of a variable"',
        "values": "[0, 1]",
        "variables": "a table: [variables.age] with a kind",
    }.get(key, "a value")


def _is_secret(model: type[BaseModel], location: tuple[int | str, ...]) -> bool:
    """Whether a field is marked `repr=False`: what somebody wrote there may be a password."""
    names = tuple(part for part in location if isinstance(part, str))
    parent = _model_at(model, names[:-1])
    field = parent.model_fields.get(names[-1]) if parent and names else None
    return field is not None and not field.repr


def _remedy(model: type[BaseModel], location: tuple[int | str, ...]) -> str:
    names = [part for part in location if isinstance(part, str)]
    parent = _model_at(model, tuple(names[:-1]))
    field = parent.model_fields.get(names[-1]) if parent and names else None
    if names and names[-1] == "bounds":
        return "; write bounds = [lo, hi]"
    if field is None or field.is_required() or field.default in (None, (), ""):
        return ""
    default = field.default
    return "" if isinstance(default, BaseModel) else f"; the default is {_shown(default)}"


def _keys_at(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    found = _model_at(model, location)
    return [] if found is None else list(found.model_fields)


def _model_at(model: type[BaseModel], location: tuple[int | str, ...]) -> type[BaseModel] | None:
    """The section that a key path leads to."""
    here: Any = model
    for part in location:
        if isinstance(part, int):
            continue
        if isinstance(here, type) and issubclass(here, BaseModel):
            if part not in here.model_fields:
                return None
            here = _inner(here.model_fields[part].annotation)
        if get_origin(here) in (dict, Mapping):
            here = _MappingOf(get_args(here)[1])
        elif isinstance(here, _MappingOf):
            here = _inner(here.value)
    return here if isinstance(here, type) and issubclass(here, BaseModel) else None


class _MappingOf:
    """A mapping on the way: the next part of the path is one of its keys."""

    def __init__(self, value: Any) -> None:
        self.value = value


def _inner(annotation: Any) -> Any:
    """The section inside Annotated, Optional and tuple."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _inner(get_args(annotation)[0])
    if origin in (Union, types.UnionType, tuple, list):
        sections = [_inner(a) for a in get_args(annotation) if a not in (type(None), ...)]
        return sections[0] if sections else None
    return annotation
