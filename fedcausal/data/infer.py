"""A first study file from data: kinds, bounds and levels to start from, with reasons."""

import json
import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from textwrap import wrap
from typing import Any

import numpy as np
import pyarrow as pa

from fedcausal.data.levels import is_missing_text, plain_number
from fedcausal.data.sources import split_by_site, to_arrow
from fedcausal.data.table import Vector
from fedcausal.errors import DataError
from fedcausal.study import Study

__all__ = ["Proposal", "infer", "infer_study", "nice_bounds"]

WIDTH = 80
MAX_LEVELS = 20
"""More distinct words than this are free text, not levels."""

MAX_CODES = 10
"""Whole numbers with at most this many values are read as ordered codes."""

MOSTLY = 0.5
"""A site where a larger share of a variable is missing is named."""

_MIN_IDENTIFIER_ROWS = 20
_IDENTIFIER_WORDS = ("id", "identifier", "key", "uuid", "mrn", "index", "number", "no", "nr")


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A proposed study, what deserves a look (variable -> notes), and the columns left out."""

    study: Study
    notes: Mapping[str, Sequence[str]]
    skipped: Mapping[str, str]

    def to_toml(self) -> str:
        """The study file with the notes as comments."""
        lines = [
            "# Proposed from data: check kinds, bounds and levels before you share this file.",
            "# Bounds are rounded outward; set them from what is possible, not from what is seen.",
            "",
            "[study]",
            f"name = {_toml(self.study.study.name)}",
        ]
        for name, spec in self.study.variables.items():
            notes = [line for note in self.notes.get(name, ()) for line in wrap(note, WIDTH - 2)]
            lines += ["", *(f"# {line}" for line in notes)]
            lines.append(f"[variables.{_toml_key(name)}]")
            content = spec.model_dump(mode="json", exclude_defaults=True, exclude_none=True)
            lines += [f"{key} = {_toml(value)}" for key, value in content.items()]
        lines += ["", *(f"# left out: {name}: {why}" for name, why in self.skipped.items())]
        lines += [
            "",
            "# [knowledge]",
            '# tiers = [["first in time"], ["later"]]',
            "",
            "# [[effects.queries]]",
            '# treatment = "..."',
            '# outcome = "..."',
            "# values = [0, 1]",
        ]
        return "\n".join(lines) + "\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Guess:
    """What one column seems to be: the keys of its variable, or why it is left out."""

    content: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    skip: str = ""


def infer_study(data: Any, site_column: str) -> Study:
    """The study that `infer` proposes."""
    return infer(data, site_column).study


def infer(data: Any, site_column: str, *, name: str = "study") -> Proposal:
    """Propose a study for a file or frame with all sites' rows.

    Parameters
    ----------
    data
        A path, an Arrow table or a pandas frame.
    site_column
        The column that names each row's site; it becomes no variable.

    Raises
    ------
    DataError
        When the site column is not there or fewer than two columns can be variables.

    Notes
    -----
    Privacy: reads rows, so it runs where one may see them (simulation, or one site's own file);
    the bounds it proposes come from data and are public once the study is shared.
    """
    table = to_arrow(data)
    source = str(data) if isinstance(data, str | os.PathLike) else ""
    sites = split_by_site(table, site_column, source=source)
    guesses = {
        column: _guess(column, {site: part.column(column) for site, part in sites.items()})
        for column in table.column_names
        if column != site_column
    }
    variables = {c.strip(): dict(g.content) for c, g in guesses.items() if not g.skip}
    skipped = {c: g.skip for c, g in guesses.items() if g.skip}
    if len(variables) < 2:
        reasons = "; ".join(f"{column}: {why}" for column, why in skipped.items())
        raise DataError(f"expected two usable columns or more, got {len(variables)} ({reasons})")
    return Proposal(
        study=Study.model_validate({"study": {"name": name}, "variables": variables}),
        notes={c.strip(): g.notes for c, g in guesses.items() if g.notes and not g.skip},
        skipped=skipped,
    )


def nice_bounds(lo: float, hi: float) -> tuple[float, float]:
    """Bounds rounded outward to 1, 2 or 5 times a power of ten, about a tenth of the range.

    >>> nice_bounds(29, 77)
    (25.0, 80.0)
    """
    width = (hi - lo) / 10
    power = 10.0 ** math.floor(math.log10(width))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= width * (1 - 1e-9))
    digits = max(0, 1 - math.floor(math.log10(step)))
    low, high = math.floor(lo / step) * step, math.ceil(hi / step) * step
    return min(round(low, digits), lo), max(round(high, digits), hi)


def _guess(column: str, parts: Mapping[str, Any]) -> _Guess:
    words = {site: _words(part) for site, part in parts.items()}
    present = [w for part in words.values() for w in part if w is not None]
    counts = Counter(present)
    if not present:
        return _Guess(skip="no row has a value")
    if len(counts) == 1:
        return _Guess(skip="it has one value in all rows")
    codes = _missing_codes(counts)
    if all(_is_number(w) for w in counts if w not in codes):
        return _guess_numbers(words, codes, column=column)
    return _guess_levels(words, counts, len(present))


def _guess_levels(
    words: Mapping[str, Sequence[str | None]], counts: Counter[str], num_present: int
) -> _Guess:
    levels = sorted(counts, key=lambda w: (w.casefold(), w))
    if len(levels) == num_present and num_present >= _MIN_IDENTIFIER_ROWS:
        return _Guess(skip="every row has its own text: an identifier")
    if len(levels) > MAX_LEVELS:
        return _Guess(skip=f"{len(levels)} different texts: free text, not levels")
    kind = "binary" if len(levels) == 2 else "categorical"
    present = {site: [w for w in part if w is not None] for site, part in words.items()}
    notes = _site_notes(present, words)
    return _Guess(content={"kind": kind, "categories": levels}, notes=tuple(notes))


def _guess_numbers(
    words: Mapping[str, Sequence[str | None]], codes: Sequence[str], *, column: str
) -> _Guess:
    by_site = {
        site: np.array([float(w) for w in part if w is not None and w not in codes])
        for site, part in words.items()
    }
    values = np.concatenate(list(by_site.values()))
    distinct = np.unique(values)
    is_whole = bool(np.all(distinct == np.rint(distinct)))
    if len(distinct) == 1:
        return _Guess(skip="it has one value in all rows")
    if not np.all(np.isfinite(distinct)):
        return _Guess(skip="it has infinite values")
    if is_whole and _is_identifier(column, values, len(distinct)):
        return _Guess(skip="every row has its own whole number: an identifier")
    content: dict[str, Any] = {"missing": list(codes)} if codes else {}
    notes = [f"{', '.join(map(repr, codes))} read as missing"] if codes else []
    if len(distinct) == 2:
        levels = [plain_number(repr(float(v))) for v in distinct]
        content |= {"kind": "binary", "categories": levels}
    elif is_whole and len(distinct) <= MAX_CODES:
        content |= {"kind": "ordinal", "bounds": [float(distinct[0]), float(distinct[-1])]}
        notes.append('whole numbers: if their order means nothing, write kind = "categorical"')
    else:
        content |= {"kind": "continuous", "bounds": list(nice_bounds(distinct[0], distinct[-1]))}
        notes += _zero_notes(by_site)
    present = {site: values.tolist() for site, values in by_site.items()}
    return _Guess(content=content, notes=(*notes, *_site_notes(present, words)))


def _zero_notes(by_site: Mapping[str, Vector]) -> list[str]:
    """Zeros that look like missing: common at a site, and far from every other value."""
    values = np.concatenate(list(by_site.values()))
    others = values[values != 0]
    if not len(others) or others.min() < 0.02 * others.max() or len(others) == len(values):
        return []
    shares = {site: float(np.mean(v == 0)) for site, v in by_site.items() if len(v)}
    found = [(site, share) for site, share in shares.items() if share > 0]
    note = f"0 for {_shares(found)}; if that means missing, write missing = [0]"
    return [note] if found else []


def _site_notes(
    present: Mapping[str, Sequence[object]], words: Mapping[str, Sequence[str | None]]
) -> list[str]:
    lacking = {site: 1 - len(part) / max(len(words[site]), 1) for site, part in present.items()}
    mostly = [(site, share) for site, share in lacking.items() if share > MOSTLY]
    constant = [
        site for site, part in present.items() if len(set(part)) == 1 and lacking[site] <= MOSTLY
    ]
    notes = [f"missing for {_shares(mostly)}"] if mostly else []
    return notes + ([f"constant at {', '.join(constant)}"] if constant else [])


def _shares(shares: Sequence[tuple[str, float]]) -> str:
    """Shares of rows by site, in words: "99% of rows at Hungary, 96% at Switzerland"."""
    (first, share), *rest = shares
    return ", ".join([f"{share:.0%} of rows at {first}", *(f"{p:.0%} at {s}" for s, p in rest)])


def _words(column: Any) -> list[str | None]:
    """Each row's trimmed text, None where missing."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    texts = [_text(value) for value in array.to_pylist()]
    return [None if is_missing_text(text) else text for text in texts]


def _text(value: object) -> str:
    if value is None:
        return ""
    return plain_number(f"{value:.17g}") if isinstance(value, float) else str(value).strip()


def _missing_codes(counts: Counter[str]) -> list[str]:
    """A few words among numbers, like "?": codes for missing rather than levels."""
    odd = sorted(word for word in counts if not _is_number(word))
    num_numbers = len(counts) - len(odd)
    return odd if len(odd) <= 2 and num_numbers >= 3 else []


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return "_" not in word


def _is_identifier(column: str, values: Vector, num_distinct: int) -> bool:
    if num_distinct < len(values) or len(values) < _MIN_IDENTIFIER_ROWS:
        return False
    name = column.casefold().replace("-", "_").replace(" ", "_").split("_")
    is_dense = float(values.max() - values.min()) < 1.5 * len(values)
    return is_dense or any(word in _IDENTIFIER_WORDS for word in name)


def _toml(value: object) -> str:
    """A TOML value on one line; JSON strings, numbers and lists of them are TOML as well."""
    return json.dumps(value, ensure_ascii=False)


def _toml_key(name: str) -> str:
    is_bare = name.isascii() and name.replace("_", "").replace("-", "").isalnum()
    return name if is_bare else _toml(name)
