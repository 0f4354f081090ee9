"""The values of a study file: how numbers, levels and pairs are read, and what a section is."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Strict

__all__ = [
    "Bounds",
    "Level",
    "Levels",
    "Number",
    "NumberOrText",
    "Pair",
    "Pairs",
    "Section",
    "Tier",
    "Tiers",
    "TwoValues",
    "Values",
]


def _as_level(value: object) -> object:
    """A level as text: people write categories = [0, 1] or [true, false] as well."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value) if isinstance(value, int | float) else value


def _as_number(value: object) -> object:
    """A number as float (zero without a sign), so that 0 and 0.0 are one study."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value) + 0.0
    return value


Level = Annotated[str, BeforeValidator(_as_level)]
Number = Annotated[float, BeforeValidator(_as_number)]
Levels = Annotated[tuple[Level, ...], Strict(False)]
Bounds = Annotated[tuple[Number, Number], Strict(False)]
NumberOrText = Annotated[float | str, BeforeValidator(_as_number)]
Values = Annotated[tuple[NumberOrText, ...], Strict(False)]
TwoValues = Annotated[tuple[NumberOrText, NumberOrText], Strict(False)]
Pair = Annotated[tuple[str, str], Strict(False)]
Pairs = Annotated[tuple[Pair, ...], Strict(False)]
Tier = Annotated[tuple[str, ...], Strict(False)]
Tiers = Annotated[tuple[Tier, ...], Strict(False)]


class Section(BaseModel):
    """A frozen section that knows its keys and takes no others."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
