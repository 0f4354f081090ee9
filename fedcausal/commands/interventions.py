"""Interventions as they are typed: a value, a shift, or a law."""

import re
from typing import TYPE_CHECKING

from fedcausal.errors import InputError

if TYPE_CHECKING:
    from fedcausal.model.policies import Policy

__all__ = ["number_or_word", "parse_do"]

DO = re.compile(r"([^=~]+?)\s*(\+=|-=|=|~)\s*(\S.*)")
"""A name, a sign, and what it is given."""


def parse_do(given: list[str] | None) -> "dict[str, Policy]":
    """`["x=1", "sex=Male"]` as a mapping; numbers become numbers.

    >>> parse_do(["x=1", "sex=Male"])
    {'x': 1.0, 'sex': 'Male'}
    >>> parse_do(["age+=5", "drug~0:0.25,1:0.75"])
    {'age': Shift(by=5.0), 'drug': Draw(probabilities={0.0: 0.25, 1.0: 0.75})}
    """
    found: dict[str, Policy] = {}
    for text in given or []:
        match = DO.fullmatch(text.strip())
        if match is None:
            raise InputError(f"--do {text!r}: expected name=value, for example --do age=60")
        name, sign, value = match.groups()
        if name in found:
            raise InputError(f"--do: {name!r} is set twice; set it once")
        found[name] = _policy(text, sign, value)
    return found


def _policy(text: str, sign: str, value: str) -> "Policy":
    from fedcausal.model.policies import Draw, Shift

    if sign == "=":
        return number_or_word(value)
    if sign == "~":
        pairs = [part.rpartition(":") for part in value.split(",")]
        shares = [number_or_word(share) for _, _, share in pairs]
        if not all(level.strip() for level, _, _ in pairs) or any(
            isinstance(share, str) for share in shares
        ):
            raise InputError(
                f"--do {text!r}: expected shares by value, for example --do drug~0:0.25,1:0.75"
            )
        return Draw(
            {
                number_or_word(level): float(s)
                for (level, _, _), s in zip(pairs, shares, strict=True)
            }
        )
    amount = number_or_word(value)
    if isinstance(amount, str):
        raise InputError(f"--do {text!r}: expected an amount, for example --do age+=5")
    return Shift(amount if sign == "+=" else -amount)


def number_or_word(text: str) -> float | str:
    """A number where the text is one, else the text itself."""
    try:
        return float(text)
    except ValueError:
        return text.strip()
