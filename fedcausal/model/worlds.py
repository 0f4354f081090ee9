"""One answer of many worlds: what they share, else a mean, a median or the most probable level."""

import numpy as np
from numpy.typing import NDArray

from fedcausal.schema import Kind, Variable

__all__ = ["one_answer", "shared_or_mean"]

FloatArray = NDArray[np.float64]


def one_answer(worlds: FloatArray, variable: Variable) -> FloatArray:
    """One value per record (num_records,) of its worlds (num_worlds, num_records).

    >>> from fedcausal.schema import Kind
    >>> sex = Variable(name="sex", kind=Kind.BINARY, categories=("f", "m"))
    >>> one_answer(np.array([[0.0, 1.0], [1.0, 1.0], [1.0, 1.0]]), sex)
    array([1., 1.])
    """
    if variable.is_numeric and not variable.categories and variable.kind is not Kind.COUNT:
        return shared_or_mean(worlds)
    if variable.is_numeric:
        return np.asarray(np.quantile(worlds, 0.5, axis=0, method="inverted_cdf"))
    codes = np.arange(variable.num_levels)
    shares = (worlds[..., None] == codes).mean(axis=0)
    return np.asarray(np.argmax(shares, axis=-1).astype(float))


def shared_or_mean(worlds: FloatArray) -> FloatArray:
    """What all worlds share bit for bit, else their mean; worlds along the first axis."""
    shared = np.all(worlds == worlds[0], axis=0)
    return np.asarray(np.where(shared, worlds[0], worlds.mean(axis=0)))
