"""Scores of single fits in a folder, so that a long table can be run piece by piece."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from task import Score

__all__ = ["MISSING", "Runs"]

MISSING = Score(np.nan, np.nan, np.nan)


@dataclass(frozen=True)
class Runs:
    """One JSON file for each case, seed, number of epochs and model; without a folder, none.

    With `reads_only` nothing is fitted: what no file has is `MISSING`.
    """

    folder: Path | None = None
    reads_only: bool = False

    def score(self, key: str, fit: Callable[[], Score]) -> Score:
        """The score in the file of this key, else that of a fit, which is kept."""
        path = None if self.folder is None else self.folder / f"{key}.json"
        if path is not None and path.exists():
            return Score(**json.loads(path.read_text()))
        if self.reads_only:
            return MISSING
        found = fit()
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(asdict(found)) + "\n")
        return found
