"""Which level of a variable a word in a site's data means."""

import math
from collections.abc import Callable, Mapping

from fedcausal.schema import Kind, Variable

__all__ = ["MISSING_WORDS", "LevelMatcher", "is_missing_text", "plain_number"]

MISSING_WORDS = ("", "nan", "na", "n/a", "#n/a", "<na>", "null", "none")
"""Usual spellings of "no value", in lower case; a level of the study's own goes before them."""

_FALSE = frozenset({"0", "false", "f", "no", "n"})
_TRUE = frozenset({"1", "true", "t", "yes", "y"})


def is_missing_text(text: str) -> bool:
    """Whether a word is one of the usual spellings of "no value".

    >>> is_missing_text(" N/A "), is_missing_text("0")
    (True, False)
    """
    return text.strip().casefold() in MISSING_WORDS


def plain_number(text: str) -> str:
    """One spelling for equal numbers ("1.0" and "01" become "1"); other words stay.

    >>> plain_number("1.0"), plain_number("2.50"), plain_number("high")
    ('1', '2.5', 'high')
    """
    try:
        number = float(text)
    except ValueError:
        return text
    if not math.isfinite(number) or "_" in text:
        return text
    return str(int(number)) if number.is_integer() else repr(number)


class LevelMatcher:
    """Finds the code of a word: exactly, as a number, without regard to case, or as a truth word.

    A looser rule applies only when one level fits it; a word that fits none is unlisted.
    `levels` are the site's own words for the study's levels.
    """

    def __init__(self, variable: Variable, levels: Mapping[str, str] | None = None) -> None:
        self._exact = {level: i for i, level in enumerate(variable.categories)}
        self._own = dict(levels or {})
        self._missing = {plain_number(_text(code)) for code in variable.missing}
        self._rules: list[tuple[Callable[[str], str], dict[str, str]]] = [
            (rule, _unambiguous({level: rule(level) for level in variable.categories}))
            for rule in (plain_number, str.casefold)
        ]
        if variable.kind is Kind.BINARY:
            self._rules.append((_truth, _unambiguous({c: _truth(c) for c in variable.categories})))

    def code(self, word: str) -> float | None:
        """The level's code, NaN when the word means "missing", None when it is not listed."""
        word = word.strip()
        word = self._own.get(word, word)
        if word in self._missing or plain_number(word) in self._missing:
            return math.nan
        if word in self._exact:
            return float(self._exact[word])
        for rule, keys in self._rules:
            level = keys.get(rule(word))
            if level is not None:
                return float(self._exact[level])
        return math.nan if is_missing_text(word) else None


def _unambiguous(keys: Mapping[str, str]) -> dict[str, str]:
    """From key back to level, for keys that a single level has; all or none for truth words."""
    values = list(keys.values())
    return {key: level for level, key in keys.items() if key and values.count(key) == 1}


def _truth(word: str) -> str:
    """The truth value of a word as text; empty for a word that has none."""
    word = plain_number(word).casefold()
    return "true" if word in _TRUE else "false" if word in _FALSE else ""


def _text(code: float | str) -> str:
    return f"{code:.17g}" if isinstance(code, float) else code
