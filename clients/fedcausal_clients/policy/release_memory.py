"""What a site remembers of its own releases: of which rows, with whom, how many numbers."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from fedcausal_clients.data.survey import Survey
from fedcausal_clients.state_store import StateStore
from fedcausal_privacy.canonical import JsonValue, canonical_json
from fedcausal_privacy.disclosure.row_sketch import ColumnSketch, column_key
from fedcausal_privacy.errors import ProtocolError

__all__ = ["Look", "Memory", "ReleaseNote", "load_memory", "save_memory", "site_secret"]

MEMORY_FILE = "releases.json"
SKETCH_KEY_FILE = "sketch-key"

# Two looks share no rows when this part of both together differs; estimates err by 9 %.
_NOTHING_SHARED = 0.75


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseNote:
    """One release without noise: a statistic of a study over a roster, and how many numbers."""

    study: str
    statistic: str
    roster: tuple[str, ...]
    numbers: int

    @property
    def share(self) -> float:
        """The site's part of the numbers: a total is shared by the sites that it adds up."""
        return self.numbers / len(self.roster)


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """The rows at one time, and what was released of them."""

    num_rows: int
    columns: Mapping[str, ColumnSketch]
    notes: tuple[ReleaseNote, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """All looks of a site at its rows, the oldest first.

    Privacy: keyed sketches and public names. It is the site's own, and never sent.
    """

    secret: bytes
    looks: tuple[Look, ...] = ()

    def changes(self, survey: Survey) -> Iterator[tuple[Look, str, float]]:
        """Per earlier look with a release and column in common: how many values changed."""
        for look in self.looks:
            for column in sorted(look.columns.keys() & survey.columns.keys()):
                yield look, column, self._changes(look, survey, column)

    def related(self, survey: Survey) -> Iterator[ReleaseNote]:
        """Releases of rows that are, in part at least, those of today."""
        for look in self.looks:
            shared = sorted(look.columns.keys() & survey.columns.keys())
            both = look.num_rows + survey.num_rows
            if any(self._changes(look, survey, c) <= _NOTHING_SHARED * both for c in shared):
                yield from look.notes

    def of_same_rows(self, survey: Survey) -> Iterator[ReleaseNote]:
        """Releases of exactly the rows of today."""
        for look in self.looks:
            if self._is_same(look, survey):
                yield from look.notes

    def with_release(self, survey: Survey, note: ReleaseNote) -> "Memory":
        """The memory after one release; the same release again changes nothing."""
        looks = list(self.looks)
        for i, look in enumerate(looks):
            if self._is_same(look, survey):
                notes = look.notes if note in look.notes else (*look.notes, note)
                looks[i] = replace(look, columns={**look.columns, **survey.columns}, notes=notes)
                return replace(self, looks=tuple(looks))
        new = Look(num_rows=survey.num_rows, columns=survey.columns, notes=(note,))
        return replace(self, looks=(*self.looks, new))

    def _is_same(self, look: Look, survey: Survey) -> bool:
        """Whether a look saw the rows of today: in a column at least, and nothing else."""
        shared = look.columns.keys() & survey.columns.keys()
        return (
            bool(shared)
            and look.num_rows == survey.num_rows
            and not any(self._changes(look, survey, column) for column in shared)
        )

    def _changes(self, look: Look, survey: Survey, column: str) -> float:
        key = column_key(self.secret, column)
        return look.columns[column].num_changes(survey.columns[column], key)


def site_secret(store: StateStore) -> bytes:
    """The key of the site's sketches, made from the system's randomness at the first use."""
    secret = store.read(SKETCH_KEY_FILE)
    if secret is None:
        secret = os.urandom(32)
        store.write(SKETCH_KEY_FILE, secret)
    return secret


def load_memory(store: StateStore) -> Memory:
    """What the site remembers; a file that cannot be read is an error, never an empty memory."""
    content = store.read(MEMORY_FILE)
    secret = site_secret(store)
    if content is None:
        return Memory(secret=secret)
    try:
        return Memory(secret=secret, looks=tuple(_look(value) for value in json.loads(content)))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ProtocolError(
            f"state/{MEMORY_FILE} cannot be read, and without it nothing may leave; restore it"
        ) from None


def save_memory(store: StateStore, memory: Memory) -> None:
    """Write the memory durably."""
    store.write(MEMORY_FILE, canonical_json([_to_json(look) for look in memory.looks]))


def _to_json(look: Look) -> JsonValue:
    notes: Iterable[JsonValue] = (
        [n.study, n.statistic, list(n.roster), n.numbers] for n in look.notes
    )
    return {
        "num_rows": look.num_rows,
        "columns": {name: sketch.to_json() for name, sketch in look.columns.items()},
        "notes": list(notes),
    }


def _look(value: Mapping[str, Any]) -> Look:
    return Look(
        num_rows=int(value["num_rows"]),
        columns={name: ColumnSketch.from_json(s) for name, s in value["columns"].items()},
        notes=tuple(
            ReleaseNote(study=study, statistic=name, roster=tuple(roster), numbers=int(numbers))
            for study, name, roster, numbers in value["notes"]
        ),
    )
