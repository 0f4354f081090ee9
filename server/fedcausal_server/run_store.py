"""Finished runs: folders under `runs/`, found by path or by the beginning of their name."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fedcausal.errors import InputError

__all__ = ["RunSummary", "list_runs", "new_run_folder", "resolve_run", "show_run"]

RUNS_FOLDER = "runs"
RUN_FILE = "run.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """One run in a list."""

    name: str
    folder: Path
    study: str
    num_sites: int
    num_rounds: int


def new_run_folder(root: Path, *, now: datetime | None = None) -> Path:
    """A folder name under `root` that no run has: the time, with a number when it is taken."""
    stem = (now or datetime.now(UTC)).strftime("%Y%m%d-%H%M%S")
    names = [stem, *(f"{stem}-{i}" for i in range(2, 1000))]
    return next(root / name for name in names if not (root / name).exists())


def list_runs(root: Path) -> tuple[RunSummary, ...]:
    """All runs under a folder, by name; folders without a run card are left out."""
    if not root.is_dir():
        return ()
    folders = sorted(p for p in root.iterdir() if (p / RUN_FILE).is_file())
    return tuple(_summary(folder) for folder in folders)


def show_run(folder: Path) -> dict[str, Any]:
    """The run card of a run folder."""
    try:
        card = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise InputError(f"{folder}: expected a run folder with {RUN_FILE}") from None
    if not isinstance(card, dict):
        raise InputError(f"{folder / RUN_FILE}: expected a run card")
    return card


def resolve_run(reference: str, root: Path) -> Path:
    """The folder of a run given by path, by name, or by the beginning of its name.

    Raises
    ------
    InputError
        No run has this name, or several begin so; the message lists them.
    """
    if (Path(reference) / RUN_FILE).is_file():
        return Path(reference)
    names = [run.name for run in list_runs(root)]
    found = [n for n in names if n == reference] or [n for n in names if n.startswith(reference)]
    if len(found) != 1:
        known = ", ".join(found or names) or "none"
        raise InputError(
            f"expected one run called {reference!r} under {root}, found {len(found)}; "
            f"runs there: {known}"
        )
    return root / found[0]


def _summary(folder: Path) -> RunSummary:
    card = show_run(folder)
    return RunSummary(
        name=folder.name,
        folder=folder,
        study=str(card.get("study", {}).get("name", "")),
        num_sites=len(card.get("sites", [])),
        num_rounds=int(card.get("rounds", 0)),
    )
