"""The spreads of many nodes' noise, evaluated together for few records."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcausal.model.family_basis import FloatArray
from fedcausal.model.mechanism import Mechanism
from fedcausal.model.regressions import Regressions, regressions_of
from fedcausal.model.scaled_noise import ScaledNoiseMechanism
from fedcausal.model.spread import sizes_of

__all__ = ["Scaling", "scaling_of"]

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scaling:
    """Spreads of some nodes; records come as rows of all variables.

    Attributes
    ----------
    rows
        The nodes whose noise is scaled.
    low, high
        (num_variables, 1) public ranges, within which a spread is read.
    """

    rows: Indices
    low: FloatArray
    high: FloatArray
    regressions: Regressions

    def factors(self, values: FloatArray, rows: Indices) -> FloatArray:
        """Spreads (num_rows, num_records) of some nodes, 1 where noise is not scaled."""
        held = np.minimum(np.maximum(values, self.low), self.high)
        found = np.ones(values.shape)
        found[self.rows] = sizes_of(self.regressions.evaluate(held))
        return found[rows]


def scaling_of(mechanisms: Sequence[Mechanism], names: Sequence[str]) -> Scaling | None:
    """The spreads of those mechanisms that have one; None where none has."""
    scaled = [m for m in mechanisms if isinstance(m, ScaledNoiseMechanism)]
    if not scaled:
        return None
    row: Mapping[str, int] = {name: place for place, name in enumerate(names)}
    low, high = np.full((len(names), 1), -np.inf), np.full((len(names), 1), np.inf)
    for name, interval in [pair for m in scaled for pair in m.spread.basis.ranges.items()]:
        low[row[name]], high[row[name]] = interval
    return Scaling(
        rows=np.array([row[m.family.node] for m in scaled]),
        low=low,
        high=high,
        regressions=regressions_of([m.spread.regression() for m in scaled], names),
    )
