"""Made-up records for a study: to rehearse where no real ones may be used."""

from typing import Any

import numpy as np
import pyarrow as pa

from fedcausal.schema import Kind, Variable
from fedcausal.study import Study

__all__ = ["made_up_rows"]

NUM_ROWS = 900


def made_up_rows(study: Study, *, seed: int, num_rows: int = NUM_ROWS) -> Any:
    """Rows with the study's variables and no meaning: each leans on the one before it.

    Values keep the study's bounds and levels, so that every site accepts them.
    """
    rng = np.random.default_rng(seed)
    columns: dict[str, Any] = {}
    latent = rng.normal(size=num_rows)
    for variable in study.schema().variables:
        latent = 0.6 * latent + 0.8 * rng.normal(size=num_rows)
        columns[variable.name] = pa.array(_column(variable, latent))
    return pa.table(columns)


def _column(variable: Variable, latent: np.ndarray[Any, np.dtype[np.float64]]) -> list[Any]:
    """One variable: the latent number in its bounds, or the level of its rank."""
    levels = variable.categories
    if levels:
        ranks = np.argsort(np.argsort(latent)) * len(levels) // len(latent)
        return [levels[rank] for rank in ranks]
    if variable.bounds is None:
        return [float(value) for value in latent]
    low, high = variable.bounds
    values = np.clip((low + high) / 2 + latent * (high - low) / 8, low, high)
    if variable.kind is Kind.ORDINAL:
        return [int(value) for value in np.round(values)]
    return [float(value) for value in values]
