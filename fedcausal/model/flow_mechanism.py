"""One number's mechanism from a trained flow, among the closed forms of the other variables."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fedcausal.model.family_basis import Family, FloatArray
from fedcausal.model.mechanism import Parents

if TYPE_CHECKING:
    from fedcausal.model.nodeflow import NodeFlow

__all__ = ["FlowMechanism"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FlowMechanism:
    """A node of a flow in double precision: increasing in standard normal noise.

    Attributes
    ----------
    family
        The node, its parents and its range; the features are the closed form's and unused.
    flow
        The whole flow.

    Assumptions: those of the flow; doubt about its weights is in no interval.
    """

    family: Family
    flow: "NodeFlow"
    dropped: tuple[str, ...] = ()

    def draw_noise(self, num_records: int, rng: np.random.Generator) -> FloatArray:
        """Standard normal noise."""
        return rng.standard_normal(num_records)

    def abduct(self, value: FloatArray, parents: Parents, rng: np.random.Generator) -> FloatArray:
        """The noise: it is unique."""
        from fedcausal.model.nodeflow_queries import abduct

        rows, shape = self._rows(value, parents)
        noise, _ = abduct(self.flow, rows, rng)
        return noise[:, self.flow.spec.index(self.family.node), 0].reshape(shape)

    def predict(self, noise: FloatArray, parents: Parents) -> FloatArray:
        """The value that this noise gives, in declared units."""
        from fedcausal.model.nodeflow_queries import node_value

        spec, names = self.flow.spec, self.family.basis.parents
        columns = np.broadcast_arrays(noise, *(parents[name] for name in names))
        shape, flat = columns[0].shape, [column.ravel() for column in columns]
        padded = np.zeros((len(flat[0]), max(1, *spec.levels)))
        padded[:, 0] = flat[0]
        given = dict(zip(names, flat[1:], strict=True))
        return node_value(self.flow, self.family.node, padded, given).reshape(shape)

    def log_prob(self, value: FloatArray, parents: Parents) -> FloatArray:
        """Log density per declared unit."""
        from fedcausal.model.nodeflow_queries import log_prob

        rows, shape = self._rows(value, parents)
        return log_prob(self.flow, rows)[:, self.flow.spec.index(self.family.node)].reshape(shape)

    def resampler(self) -> "Callable[[np.random.Generator], FlowMechanism]":
        """Itself: a flow has no sampling law."""
        return lambda rng: self

    def _rows(self, value: FloatArray, parents: Parents) -> tuple[FloatArray, tuple[int, ...]]:
        """Rows of the flow with this node and its parents, all else in the middle."""
        spec, names = self.flow.spec, self.family.basis.parents
        columns = np.broadcast_arrays(value, *(parents[name] for name in names))
        rows = np.tile(np.asarray(spec.middles, dtype=float), (columns[0].size, 1))
        for name, column in zip((self.family.node, *names), columns, strict=True):
            rows[:, spec.index(name)] = column.ravel()
        return rows, columns[0].shape
