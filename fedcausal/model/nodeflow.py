"""NodeFlow: one conditional monotone mechanism per node of a DAG, all nodes computed at once."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Self, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from fedcausal.errors import ProtocolError
from fedcausal.model.grouped import GroupedLinear
from fedcausal.model.nodeflow_spec import NUMBER, OBSERVED, NodeFlowSpec, NodeStart
from fedcausal.model.offset_curves import OffsetCurves
from fedcausal.model.splines import rational_quadratic, rational_quadratic_inverse

__all__ = ["NodeFlow", "build", "from_vector", "to_vector"]

Float32 = NDArray[np.float32]

# log standard deviations stay in (-5, 5) of the flow's scale.
_LOG_SCALE_LIMIT = 5.0
# A normal quantile beyond which no probability is left in double precision.
_FAR = 30.0
_HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)


class NodeFlow(nn.Module):
    r"""The joint density of a structural causal model as a product of node mechanisms.

    A numeric node is :math:`x = m(pa) + s(pa)\,T^{-1}(u; pa)` with standard normal u and a
    rational-quadratic spline T; an ordinal node is that, rounded, with the probability of the
    interval around its code; a discrete node takes logits from its parents. The networks see a
    node's own parents only (gathered by a padded index), each as (value x observed, observed)
    and levels one-hot, so that no other variable can enter. Where the spec has an offset, m is
    the closed form's mean (a missing parent: the middle of its bounds) and what is learnt on top.

    `forward` maps scaled rows (num_rows, num_nodes; `NodeFlowSpec.scale`, NaN for missing) to
    the negative log-likelihood of each row (num_rows,), over its observed nodes.

    Assumptions: causal sufficiency and the graph. Counterfactuals of numeric nodes assume that
    they increase in their noise. Missing values: missing (completely) at random given parents.

    Privacy: scaling comes from public bounds, never from rows; there are no buffers.

    References
    ----------
    Javaloy et al. (2023), arXiv:2306.05415 (causal normalizing flows). Durkan et al. (2019),
    arXiv:1906.04032 (splines).
    """

    def __init__(self, spec: NodeFlowSpec) -> None:
        super().__init__()
        self.spec = spec
        self._layout = _layout(spec)
        self._offsets = OffsetCurves.of(spec)
        sizes, num_nodes = spec.layer_sizes, len(spec.names)
        self.first = GroupedLinear(num_nodes, *sizes["first"])
        self.second = GroupedLinear(num_nodes, *sizes["second"])
        self.head = GroupedLinear(num_nodes, *sizes["head"])
        self.linear = GroupedLinear(num_nodes, *sizes["linear"])

    def forward(self, rows: Tensor) -> Tensor:
        """Negative log-likelihood (num_rows,) of scaled rows, over their observed nodes."""
        return -self.log_prob(rows).sum(dim=1)

    def log_prob(self, rows: Tensor) -> Tensor:
        """Log density or probability of every node (num_rows, num_nodes), 0 where missing.

        Rows may be `prepared`.
        """
        size = len(self.spec.names)
        rows, offsets = rows[:, :size], rows[:, size:] if rows.shape[1] > size else None
        observed = ~rows.isnan()
        values = torch.where(observed, rows, 0.0)
        heads = self.heads(values, observed, offsets)
        return torch.where(observed, self._log_prob(values, heads), 0.0)

    def prepared(self, rows: Tensor) -> Tensor:
        """Rows with the closed form's locations beside them, so that training finds them once."""
        if not self.spec.offsets:
            return rows
        return torch.cat([rows, self._offsets.locations(rows.nan_to_num(0.0))], dim=1)

    def heads(self, values: Tensor, observed: Tensor, offsets: Tensor | None = None) -> Tensor:
        """Mechanism parameters (num_rows, num_nodes, num_heads) of all nodes.

        `offsets` are locations that are known already.
        """
        if self.spec.offsets and offsets is None:
            offsets = self._offsets.locations(values * observed)
        inputs = self._inputs(values, observed, slice(None))
        hidden = functional.silu(self.first(inputs))
        hidden = hidden + functional.silu(self.second(hidden))
        return _join(self.head(hidden), self.linear(inputs), offsets)

    def some_heads(self, values: Tensor, observed: Tensor, nodes: Tensor) -> Tensor:
        """Mechanism parameters of some nodes (num_rows, len(nodes), num_heads)."""
        inputs = self._inputs(values, observed, nodes)
        hidden = functional.silu(self.first.some(inputs, nodes))
        hidden = hidden + functional.silu(self.second.some(hidden, nodes))
        offsets = None
        if self.spec.offsets:
            offsets = self._offsets.locations(values * observed, nodes.tolist())
        return _join(self.head.some(hidden, nodes), self.linear.some(inputs, nodes), offsets)

    def to_noise(self, values: Tensor, heads: Tensor) -> tuple[Tensor, Tensor]:
        """Noise u of numeric values, and log |du/dx| on the flow's scale."""
        location, log_scale, *spline = self._split(heads)
        noise, log_derivative = rational_quadratic(
            (values.movedim(0, -1) - location) * torch.exp(-log_scale), *spline
        )
        return noise.movedim(-1, 0), (log_derivative - log_scale).movedim(-1, 0)

    def from_noise(self, noise: Tensor, heads: Tensor) -> Tensor:
        """Numeric values (flow's scale) of noise u."""
        location, log_scale, *spline = self._split(heads)
        standard = rational_quadratic_inverse(noise.movedim(0, -1), *spline)
        return (location + torch.exp(log_scale) * standard).movedim(-1, 0)

    def interval(self, values: Tensor, heads: Tensor, nodes: Tensor) -> tuple[Tensor, Tensor]:
        """The noise interval (lower, upper) in which an ordinal node keeps its code."""
        half, lowest, highest = (t[nodes] for t in self._layout.ordinal_steps)
        lower, _ = self.to_noise(values - half, heads)
        upper, _ = self.to_noise(values + half, heads)
        return (
            torch.where(values - half < lowest, -_FAR, lower),
            torch.where(values + half > highest, _FAR, upper),
        )

    def log_levels(self, heads: Tensor, nodes: Tensor) -> Tensor:
        """Log probabilities (num_rows, len(nodes), most levels); -inf where a level is none."""
        allowed = self._layout.levels[nodes]
        logits = heads[..., : allowed.shape[-1]].masked_fill(~allowed, -torch.inf)
        return logits.log_softmax(dim=-1)

    def set_mixed_precision(self, is_mixed: bool) -> None:
        """Take the products of the linear layers in bfloat16, or not; splines stay exact."""
        for layer in (self.first, self.second, self.head, self.linear):
            layer.is_mixed = is_mixed

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move the index tables along with the parameters (they are no buffers)."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._layout = self._layout.apply(fn)
        self._offsets = self._offsets.apply(fn)
        return self

    def _inputs(self, values: Tensor, observed: Tensor, nodes: Tensor | slice) -> Tensor:
        """(num_rows, len(nodes), num_slots), rows last in memory."""
        layout = self._layout
        source, role = layout.source[nodes], layout.role[nodes][..., None]
        gathered = values.T.contiguous()[source]
        present = layout.present[nodes][..., None]
        feature = gathered * (present * (role == NUMBER)) + present * (role == OBSERVED)
        if max(self.spec.levels):
            feature = feature + present * ((gathered == role) & (role >= 0))
        seen = observed.T.to(values.dtype)[source]
        return (feature * seen).permute(2, 0, 1)

    def _split(self, heads: Tensor) -> tuple[Tensor, ...]:
        bins = self.spec.bins
        location, log_scale, widths, heights, slopes = torch.split(
            heads.movedim(0, -1)[..., : 3 * bins + 1, :], [1, 1, bins, bins, bins - 1], dim=-2
        )
        log_scale = _LOG_SCALE_LIMIT * torch.tanh(log_scale.squeeze(-2) / _LOG_SCALE_LIMIT)
        return location.squeeze(-2), log_scale, widths, heights, slopes

    def _log_prob(self, values: Tensor, heads: Tensor) -> Tensor:
        """Of every node as if it were observed; only kinds that there are cost anything."""
        layout = self._layout
        found = {
            "continuous": (layout.continuous, self._log_density),
            "ordinal": (layout.ordinal, self._log_interval),
            "discrete": (layout.discrete, self._log_level),
        }
        parts = []
        for nodes, log_prob in found.values():
            if len(nodes) == len(self.spec.names):
                return log_prob(values, heads)
            if len(nodes):
                parts.append(log_prob(values[:, nodes], heads[:, nodes]))
        return torch.cat(parts, dim=1)[:, layout.position]

    def _log_density(self, values: Tensor, heads: Tensor) -> Tensor:
        noise, log_derivative = self.to_noise(values, heads)
        return log_derivative - 0.5 * noise**2 - _HALF_LOG_TWO_PI

    def _log_interval(self, values: Tensor, heads: Tensor) -> Tensor:
        lower, upper = self.interval(values, heads, self._layout.ordinal)
        return _log_normal_interval(lower, upper)

    def _log_level(self, values: Tensor, heads: Tensor) -> Tensor:
        log_probability = self.log_levels(heads, self._layout.discrete)
        return log_probability.gather(-1, values.long()[..., None]).squeeze(-1)


def build(
    spec: NodeFlowSpec, seed: int, *, start: Mapping[str, NodeStart] | None = None
) -> NodeFlow:
    """A NodeFlow before training: the same parameters everywhere for one spec, seed and start.

    Hidden layers are random, outputs are zero: every node starts at `start` (or standard normal
    on the flow's scale, or uniform over levels), whatever the seed.
    """
    flow = NodeFlow(spec)
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for layer in (flow.first, flow.second):
            fan_in = layer.weight.shape[-1]
            drawn = rng.standard_normal(tuple(layer.weight.shape)) / math.sqrt(fan_in)
            layer.weight.copy_(torch.from_numpy(drawn))
        for name, mechanism in sorted((start or {}).items()):
            _set_out(flow, spec.index(name), mechanism)
    return flow


def to_vector(flow: NodeFlow) -> Float32:
    """All parameters as one float32 vector, in the order of declaration."""
    parts = [p.detach().to("cpu", torch.float32).reshape(-1) for p in flow.parameters()]
    return cast(Float32, torch.cat(parts).numpy())


def from_vector(spec: NodeFlowSpec, vector: Float32) -> NodeFlow:
    """The NodeFlow with the given parameters; a vector of another length is a `ProtocolError`."""
    flow = NodeFlow(spec)
    if vector.shape != (spec.num_parameters,):
        raise ProtocolError(f"expected {spec.num_parameters} parameters, got {vector.shape}")
    sizes = [p.numel() for p in flow.parameters()]
    numbers = torch.from_numpy(np.array(vector, dtype=np.float32))
    with torch.no_grad():
        for parameter, part in zip(flow.parameters(), torch.split(numbers, sizes), strict=True):
            parameter.copy_(part.view_as(parameter))
    return flow


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layout:
    """Index tables of a spec: where each network's inputs come from, which node is what.

    `source`, `role` and `present` are (num_nodes, num_slots): variable, meaning (a level's code,
    a number, the observed flag) and whether the slot is used.
    """

    source: Tensor
    role: Tensor
    present: Tensor
    continuous: Tensor
    ordinal: Tensor
    discrete: Tensor
    position: Tensor
    levels: Tensor
    half: Tensor
    lowest: Tensor
    highest: Tensor

    @property
    def ordinal_steps(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.half, self.lowest, self.highest

    def apply(self, fn: Callable[[Tensor], Tensor]) -> "_Layout":
        return _Layout(**{f.name: fn(getattr(self, f.name)) for f in fields(self)})


def _layout(spec: NodeFlowSpec) -> _Layout:
    table = np.zeros((len(spec.names), spec.layer_sizes["first"][0], 3))
    for node, name in enumerate(spec.names):
        for place, (source, role) in enumerate(spec.inputs(name)):
            table[node, place] = source, role, 1.0
    by_kind = [
        np.flatnonzero([kind == wanted for kind in spec.kinds])
        for wanted in ("continuous", "ordinal", "discrete")
    ]
    lo, hi = (spec.scale(np.array([pair])) for pair in zip(*spec.bounds, strict=True))
    levels = np.arange(max(1, *spec.levels)) < np.array(spec.levels)[:, None]
    continuous, ordinal, discrete = (torch.tensor(nodes, device="cpu") for nodes in by_kind)
    return _Layout(
        source=torch.tensor(table[..., 0].astype(np.int64), device="cpu"),
        role=torch.tensor(table[..., 1], dtype=torch.float32, device="cpu"),
        present=torch.tensor(table[..., 2], dtype=torch.float32, device="cpu"),
        continuous=continuous,
        ordinal=ordinal,
        discrete=discrete,
        position=torch.tensor(np.argsort(np.concatenate(by_kind)), device="cpu"),
        levels=torch.tensor(levels, device="cpu"),
        half=torch.tensor(0.5 / spec.units, dtype=torch.float32, device="cpu"),
        lowest=torch.tensor(lo[0], dtype=torch.float32, device="cpu"),
        highest=torch.tensor(hi[0], dtype=torch.float32, device="cpu"),
    )


def _join(heads: Tensor, linear: Tensor, offsets: Tensor | None) -> Tensor:
    """Add the linear part to the leading heads (location and log scale, or logits)."""
    own, leading = heads.permute(1, 2, 0), linear.permute(1, 2, 0)
    if offsets is not None:
        leading = leading + functional.pad(offsets.T[:, None], (0, 0, 0, leading.shape[1] - 1))
    count = leading.shape[1]
    return torch.cat([own[:, :count] + leading, own[:, count:]], dim=1).permute(2, 0, 1)


def _log_normal_interval(lower: Tensor, upper: Tensor) -> Tensor:
    """log(Phi(upper) - Phi(lower)) without cancellation in either tail."""
    mirrored = lower + upper > 0
    low = torch.where(mirrored, -upper, lower)
    high = torch.where(mirrored, -lower, upper)
    log_high: Tensor = torch.special.log_ndtr(high)
    gap = (torch.special.log_ndtr(low) - log_high).clamp(max=-1e-6)
    return log_high + torch.log(-torch.expm1(gap))


def _set_out(flow: NodeFlow, node: int, start: NodeStart) -> None:
    spec, layer = flow.spec, flow.linear
    if spec.levels[node]:
        probabilities = torch.tensor(start.probabilities, dtype=torch.float64)
        layer.bias[node, : spec.levels[node]] = probabilities.clamp_min(1e-6).log()
        return
    unit, bias = spec.units[node], start.intercept - spec.middles[node]
    slots = spec.inputs(spec.names[node])
    for parent, slopes in start.slopes.items():
        source = spec.index(parent)
        used = [i for i, (s, role) in enumerate(slots) if s == source and role != OBSERVED]
        scaled = np.asarray(slopes) * spec.units[source] / unit
        layer.weight[node, 0, used] = torch.tensor(scaled, dtype=torch.float32)
        if not spec.levels[source]:
            bias += slopes[0] * spec.middles[source]
    layer.bias[node, 0] = float(bias / unit)
    log_scale = math.log(start.scale / unit) / _LOG_SCALE_LIMIT
    layer.bias[node, 1] = _LOG_SCALE_LIMIT * math.atanh(min(max(log_scale, -0.99), 0.99))
