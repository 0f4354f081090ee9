"""The privacy ledger of one site: what was released, when, at what cost; it survives restarts."""

import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from fedcausal_privacy.canonical import canonical_json
from fedcausal_privacy.dp.accountant import epsilon_of
from fedcausal_privacy.dp.events import Event, NoPrivacy, event_from_json, event_to_json
from fedcausal_privacy.errors import BudgetExceededError, InputError, ProtocolError

__all__ = ["Budget", "Charge", "Ledger", "LedgerEntry"]

_LOCK_SECONDS = 120.0
_TABLE = """
CREATE TABLE IF NOT EXISTS releases (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    at TEXT NOT NULL,
    study TEXT NOT NULL,
    run TEXT NOT NULL,
    release TEXT NOT NULL,
    part TEXT NOT NULL,
    event TEXT NOT NULL,
    description TEXT NOT NULL,
    UNIQUE (run, release)
)
"""
_COLUMNS = "number, at, study, run, release, part, event, description"


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """A limit on epsilon at delta, over one study or part, or over everything (None)."""

    epsilon: float
    delta: float
    study: str | None = None
    part: str | None = None

    def __post_init__(self) -> None:
        if not self.epsilon >= 0 or not 0 < self.delta < 1:
            raise InputError(
                "a budget needs epsilon >= 0 and 0 < delta < 1, "
                f"got epsilon = {self.epsilon!r}, delta = {self.delta!r}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """One release to be written down; `release` names it once and for all within `run`."""

    event: Event
    study: str
    run: str
    release: str
    part: str
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """One release: its place in the ledger, when (UTC, ISO 8601), for what, and the event."""

    number: int
    when: str
    study: str
    run: str
    release: str
    part: str
    event: Event
    description: str


class Ledger:
    """A site's persistent list of releases, on one file.

    The file is a SQLite database in WAL mode with full synchronisation: an entry that `charge`
    returned is on the disk. Several processes may use the file at once: the check of the budget
    and the entry are one transaction. Nothing is ever deleted or changed.

    Privacy: `charge` comes BEFORE noise is drawn. A crash after it costs budget without a
    release, never the other way round.
    """

    def __init__(self, path: Path) -> None:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        self._connection = sqlite3.connect(path, timeout=_LOCK_SECONDS, isolation_level=None)
        try:
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.execute(_TABLE)
        except sqlite3.Error:
            self._connection.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; the ledger can be opened again."""
        self._connection.close()

    def entries(
        self, *, study: str | None = None, part: str | None = None
    ) -> tuple[LedgerEntry, ...]:
        """All entries in the order of charging, or those of one study or part."""
        rows = self._connection.execute(
            f"SELECT {_COLUMNS} FROM releases "  # noqa: S608 - the columns are a constant
            "WHERE (:study IS NULL OR study = :study) AND (:part IS NULL OR part = :part) "
            "ORDER BY number",
            {"study": study, "part": part},
        )
        return tuple(_entry(row) for row in rows)

    def unprotected(self) -> tuple[LedgerEntry, ...]:
        """The entries released without differential privacy, which no epsilon covers."""
        return tuple(entry for entry in self.entries() if isinstance(entry.event, NoPrivacy))

    def spent(self, delta: float, *, study: str | None = None, part: str | None = None) -> float:
        """Epsilon at `delta` of all private releases together (see `unprotected` for the rest)."""
        return epsilon_of((e.event for e in self.entries(study=study, part=part)), delta)

    def would_exceed(self, event: Event, budget: Budget) -> bool:
        """Whether charging the event would pass the budget; nothing is written."""
        return self._cost_with(event, budget) > budget.epsilon

    def charge(
        self,
        event: Event,
        *,
        study: str,
        run: str,
        release: str,
        part: str,
        description: str = "",
        budgets: Sequence[Budget] = (),
    ) -> LedgerEntry:
        """Write a release down before it happens, unless a budget forbids it.

        Charging the same `release` of the same `run` again returns the recorded entry and costs
        nothing, so that a retry can send the same bytes once more.

        Raises
        ------
        BudgetExceededError
            When a budget that covers this study and part would be exceeded; nothing is written.
        ProtocolError
            When the release is on record with another event, study or part.
        """
        one = Charge(
            event=event,
            study=study,
            run=run,
            release=release,
            part=part,
            description=description,
        )
        (entry,) = self.charge_all([one], budgets=budgets)
        return entry

    def charge_all(
        self, charges: Sequence[Charge], *, budgets: Sequence[Budget] = ()
    ) -> tuple[LedgerEntry, ...]:
        """Write several releases down together, all or none: see `charge`.

        A release that would be refused beside the others leaves nothing in the ledger, so that
        the rest of its message costs nothing.
        """
        with self._transaction():
            return tuple(self._charge(charge, budgets) for charge in charges)

    def _charge(self, charge: Charge, budgets: Sequence[Budget]) -> LedgerEntry:
        text = canonical_json(event_to_json(charge.event)).decode()
        known = self._find(charge.run, charge.release)
        if known is not None:
            _check_same(known, charge.event, charge.study, charge.part)
            return known
        for budget in budgets:
            if budget.study in (None, charge.study) and budget.part in (None, charge.part):
                self._check_budget(charge.event, budget)
        row = (charge.study, charge.run, charge.release, charge.part, text, charge.description)
        self._connection.execute(
            "INSERT INTO releases (at, study, run, release, part, event, description) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (_now(), *row),
        )
        charged = self._find(charge.run, charge.release)
        if charged is None:
            raise ProtocolError("the ledger did not keep an entry; nothing may be released")
        return charged

    def _cost_with(self, event: Event, budget: Budget) -> float:
        if isinstance(event, NoPrivacy):
            return 0.0
        before = self.entries(study=budget.study, part=budget.part)
        return epsilon_of([*(entry.event for entry in before), event], budget.delta)

    def _check_budget(self, event: Event, budget: Budget) -> None:
        cost = self._cost_with(event, budget)
        if cost > budget.epsilon:
            scope = f"part {budget.part!r}" if budget.part else "this site's data"
            raise BudgetExceededError(
                f"the release would bring {scope} to epsilon {cost:.3g} at delta "
                f"{budget.delta:g}; the budget is {budget.epsilon:g}. Nothing was drawn or sent; "
                "raise the budget or ask for fewer releases"
            )

    def _find(self, run: str, release: str) -> LedgerEntry | None:
        row = self._connection.execute(
            f"SELECT {_COLUMNS} FROM releases "  # noqa: S608 - the columns are a constant
            "WHERE run = ? AND release = ?",
            (run, release),
        ).fetchone()
        return None if row is None else _entry(row)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")


def _entry(row: tuple[int, str, str, str, str, str, str, str]) -> LedgerEntry:
    number, when, study, run, release, part, event, description = row
    return LedgerEntry(
        number=number,
        when=when,
        study=study,
        run=run,
        release=release,
        part=part,
        event=event_from_json(json.loads(event)),
        description=description,
    )


def _check_same(known: LedgerEntry, event: Event, study: str, part: str) -> None:
    if (known.event, known.study, known.part) != (event, study, part):
        raise ProtocolError(
            f"release {known.release!r} of run {known.run!r} is on record as another release; "
            "a release id names one release"
        )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
