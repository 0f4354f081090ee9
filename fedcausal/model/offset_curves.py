"""The closed form's curves as tensors, on a NodeFlow's scale."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor

from fedcausal.model.bsplines import DEGREE
from fedcausal.model.nodeflow_spec import NodeFlowSpec
from fedcausal.model.offsets import NodeOffset

__all__ = ["OffsetCurves"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Curve:
    """`Curves` of one node: parents and mean on the flow's scale."""

    parents: Tensor
    edges: Tensor
    starts: Tensor
    widths: Tensor
    intercept: Tensor
    alone: Tensor
    pairs: Tensor
    together: Tensor

    def apply(self, fn: Callable[[Tensor], Tensor]) -> "_Curve":
        return replace(self, **{f.name: fn(getattr(self, f.name)) for f in fields(self)})

    def locations(self, values: Tensor) -> Tensor:
        """The mean (num_rows,) at scaled rows (num_rows, num_nodes)."""
        count, steps = len(self.parents), self.edges.shape[1] + 1
        read = values[:, self.parents].T.repeat(len(self.edges) // count, 1)
        inside = (read[:, None, :] >= self.edges[:, :, None]).sum(dim=1)
        at = inside + steps * torch.arange(len(read), device=inside.device)[:, None]
        place = (read - self.starts[at]) * self.widths[at]
        found = _cubic(self.alone[at[:count]], place[:count, :, None]).sum(dim=0)
        if len(self.pairs[0]):
            first, second = self.pairs
            cell = inside[first] * steps + inside[second]
            number = torch.arange(len(first), device=cell.device)
            cell = cell + steps * steps * number[:, None]
            rows = _cubic(self.together[cell], place[first][:, :, None, None])
            found = found + _cubic(rows, place[second][:, :, None]).sum(dim=0)
        return (found + self.intercept)[:, 0]


@dataclass(frozen=True, slots=True, kw_only=True)
class OffsetCurves:
    """The closed form's means of some nodes of a flow."""

    nodes: tuple[int, ...]
    num_nodes: int
    curves: tuple[_Curve, ...]

    @classmethod
    def of(cls, spec: NodeFlowSpec) -> "OffsetCurves":
        """The curves of a flow's offsets, on the CPU."""
        nodes = tuple(spec.index(offset.node) for offset in spec.offsets)
        curves = tuple(_curve(spec, offset) for offset in spec.offsets)
        return cls(nodes=nodes, num_nodes=len(spec.names), curves=curves)

    def apply(self, fn: Callable[[Tensor], Tensor]) -> "OffsetCurves":
        """The same with `fn` applied to every tensor."""
        return replace(self, curves=tuple(curve.apply(fn) for curve in self.curves))

    def locations(self, values: Tensor, wanted: Sequence[int] | None = None) -> Tensor:
        """Locations (num_rows, len(wanted)) of scaled rows without NaN, 0 without an offset."""
        of = dict(zip(self.nodes, self.curves, strict=True))
        columns = [
            of[node].locations(values) if node in of else values.new_zeros(len(values))
            for node in (range(self.num_nodes) if wanted is None else wanted)
        ]
        return torch.stack(columns, dim=1)


def _curve(spec: NodeFlowSpec, offset: NodeOffset) -> _Curve:
    own, at = offset.curves, spec.index(offset.node)
    parents = [spec.index(name) for name in own.parents]
    axes = np.tile(parents, len(own.edges) // len(parents))
    unit, middle = spec.units[axes], spec.middles[axes]
    repeats = own.edges.shape[1] + 1
    low, high = offset.range
    size = 0.5 * (high - low) / spec.units[at]
    shift = (0.5 * (low + high) - spec.middles[at]) / spec.units[at]
    numbers = {
        "edges": (own.edges - middle[:, None]) / unit[:, None],
        "starts": (own.starts - np.repeat(middle, repeats)) / np.repeat(unit, repeats),
        "widths": own.widths * np.repeat(unit, repeats),
        "intercept": own.intercept * size + shift,
        "alone": own.alone * size,
        "together": own.together * size,
    }
    tensors = {n: torch.tensor(v, dtype=torch.float32, device="cpu") for n, v in numbers.items()}
    return _Curve(
        parents=torch.tensor(parents, device="cpu"),
        pairs=torch.tensor(own.pairs.reshape(2, -1), device="cpu"),
        **tensors,
    )


def _cubic(coefficients: Tensor, at: Tensor) -> Tensor:
    """Horner's rule along the third axis."""
    found = coefficients[:, :, DEGREE]
    for power in range(DEGREE - 1, -1, -1):
        found = found * at + coefficients[:, :, power]
    return found
