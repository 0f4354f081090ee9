"""The frame of an answer: a user's own, with columns replaced or added and words about them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from fedcausal.model.frames import FEW_WORDS

__all__ = ["is_replaced", "replaced", "told", "with_columns"]


def told(result: pd.DataFrame, rests_on: list[str], warned: list[str]) -> pd.DataFrame:
    """The answer, with what it rests on and what a reader must be warned of."""
    result.attrs["assumptions"] = rests_on
    result.attrs["warnings"] = warned
    return result


def with_columns(frame: pd.DataFrame, written: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """A copy with columns replaced in place or appended, all at once; others bit for bit."""
    new = [part for part in written if part.shape[1]]
    names = [name for part in new for name in part.columns]
    is_new = frame.columns.isin(names)
    kept = [frame.loc[:, ~is_new]] if not is_new.all() else []
    order = list(dict.fromkeys([*frame.columns, *names]))
    result = pd.concat([*kept, *new], axis=1)
    result = result if list(result.columns) == order else result[order]
    result.attrs = dict(frame.attrs)
    return result


def replaced(frame: pd.DataFrame, columns: Mapping[str, Any]) -> pd.DataFrame:
    """A copy of a few records with some columns replaced."""
    bare = frame.copy(deep=False)
    bare.attrs = {}  # pandas copies them with every column that is looked at
    data = {n: columns[n] if n in columns else bare[n].array for n in frame.columns}
    result = pd.DataFrame(data, index=frame.index)
    result.columns, result.attrs = frame.columns, dict(frame.attrs)
    return result


def is_replaced(frame: pd.DataFrame, names: Sequence[str]) -> bool:
    """Whether a few records are only written over, and what stays is of no guessed type."""
    is_few = 0 < len(frame) <= FEW_WORDS and frame.columns.is_unique
    if not is_few or not set(names) <= set(frame.columns):
        return False
    is_kept = ~frame.columns.isin(list(names))
    return np.dtype(object) not in list(frame.dtypes[is_kept])
