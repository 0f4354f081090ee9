"""One answer of many worlds: what they share, else a mean, a median or the most probable level."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from fedcausal.schema import Kind, Variable

__all__ = ["is_mean", "one_answer", "shared_laws", "shared_or_mean"]

FloatArray = NDArray[np.float64]


def one_answer(worlds: FloatArray, variable: Variable) -> FloatArray:
    """One value per record (num_records,) of its worlds (num_worlds, num_records).

    >>> from fedcausal.schema import Kind
    >>> sex = Variable(name="sex", kind=Kind.BINARY, categories=("f", "m"))
    >>> one_answer(np.array([[0.0, 1.0], [1.0, 1.0], [1.0, 1.0]]), sex)
    array([1., 1.])
    """
    if is_mean(variable):
        return shared_or_mean(worlds)
    if variable.is_numeric:
        return np.asarray(np.quantile(worlds, 0.5, axis=0, method="inverted_cdf"))
    codes = np.arange(variable.num_levels)
    shares = (worlds[..., None] == codes).mean(axis=0)
    return np.asarray(np.argmax(shares, axis=-1).astype(float))


def is_mean(variable: Variable) -> bool:
    """Whether the answer of many worlds is their mean: of numbers that need not be whole."""
    is_whole = bool(variable.categories) or variable.kind is Kind.COUNT
    return variable.is_numeric and not is_whole


def shared_or_mean(worlds: FloatArray) -> FloatArray:
    """What all worlds share bit for bit, else their mean; worlds along the first axis."""
    shared = np.all(worlds == worlds[0], axis=0)
    return np.asarray(np.where(shared, worlds[0], worlds.mean(axis=0)))


def shared_laws(laws: Mapping[int, FloatArray], copies: int) -> dict[int, FloatArray]:
    """The law (num_records, num_levels) of every node over its worlds.

    Given are (copies * num_records, num_levels), world by world; nodes of equally many levels are
    taken at once.
    """
    groups: dict[int, list[int]] = {}
    for row, law in laws.items():
        groups.setdefault(law.shape[-1], []).append(row)
    found: dict[int, FloatArray] = {}
    for count, rows in groups.items():
        stacked = np.array([laws[row] for row in rows]).reshape(len(rows), copies, -1, count)
        shared = shared_or_mean(stacked.swapaxes(0, 1))
        found |= dict(zip(rows, shared, strict=True))
    return found
