"""Questions to a fitted NodeFlow: samples, interventions, counterfactuals, log probabilities."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri
from torch import Tensor

from fedcausal.errors import DataError, SchemaError
from fedcausal.model.engine import Doing
from fedcausal.model.gumbel import posterior_noise
from fedcausal.model.mechanics import Act
from fedcausal.model.nodeflow import NodeFlow
from fedcausal.model.nodeflow_spec import NodeFlowSpec
from fedcausal.model.placing import array_of, in_double, tensor_of

__all__ = [
    "Assumption",
    "Counterfactual",
    "abduct",
    "counterfactual",
    "draw_noise",
    "log_prob",
    "node_value",
    "predict",
    "sample",
]

Matrix = NDArray[np.float64]
Assumption: TypeAlias = Literal["monotone-noise", "gumbel-max"]

# Rows evaluated at once, so that memory does not grow with the question.
_CHUNK = 2**15
_SMALLEST_PROBABILITY = 1e-300


@dataclass(frozen=True, slots=True, kw_only=True)
class Counterfactual:
    """What would have been, as draws from the posterior of the noise.

    Attributes
    ----------
    spec
        The model's variables.
    values
        (draws, num_rows, num_nodes) in declared units, level codes, NaN for what was missing and
        is not reached by the intervention. One draw when nothing is uncertain given the model.
    assumption
        "gumbel-max" when a discrete node is among the answers: such counterfactuals are not
        identified without it; else "monotone-noise".
    """

    spec: NodeFlowSpec
    values: NDArray[np.float64]
    assumption: Assumption

    def table(self) -> Matrix:
        """One answer per row: means of continuous, medians of ordinal, modes of discrete nodes."""
        first = self.values[0]
        columns = []
        for node, kind in enumerate(self.spec.kinds):
            draws = self.values[:, :, node]
            if kind == "continuous":
                answer = draws.mean(axis=0)
            elif kind == "ordinal":
                answer = np.quantile(draws, 0.5, axis=0, method="inverted_cdf")
            else:
                answer = self._mode(node)
            constant = (draws == first[:, node]).all(axis=0)
            columns.append(np.where(constant, first[:, node], answer))
        return np.stack(columns, axis=1)

    def probabilities(self, name: str) -> Matrix:
        """Posterior probability of each level of a discrete node (num_rows, num_levels)."""
        node = self.spec.index(name)
        if not self.spec.levels[node]:
            raise SchemaError(f"variable {name!r} is numeric; it has values, not levels")
        codes = np.arange(self.spec.levels[node])
        return np.asarray((self.values[:, :, node, None] == codes).mean(axis=0))

    def _mode(self, node: int) -> NDArray[np.float64]:
        missing = np.isnan(self.values[0, :, node])
        mode = self.probabilities(self.spec.names[node]).argmax(axis=1).astype(np.float64)
        return np.where(missing, np.nan, mode)


def sample(
    flow: NodeFlow,
    num_rows: int,
    *,
    do: Mapping[str, float] | None = None,
    rng: np.random.Generator,
) -> Matrix:
    """Draw rows (num_rows, num_nodes) in declared units, under do() if given.

    do() clamps its nodes while the others follow in topological order: any number of nodes at
    once is exact. A discrete node takes a level's code.
    """
    spec, exact = flow.spec, in_double(flow)
    sizes = [min(_CHUNK, num_rows - i) for i in range(0, num_rows, _CHUNK)]
    parts = [predict(exact, draw_noise(spec, n, rng), do=do) for n in sizes]
    return np.concatenate([np.empty((0, len(spec.names))), *parts])


def log_prob(flow: NodeFlow, values: Matrix) -> Matrix:
    """Log density (per declared unit) or probability of each value (num_rows, num_nodes).

    A missing value has 0. Rows are read in declared units and level codes.
    """
    spec, exact = flow.spec, in_double(flow)
    continuous = np.array([kind == "continuous" for kind in spec.kinds])
    jacobian = np.where(continuous, np.log(spec.units), 0.0)
    parts = []
    with torch.no_grad():
        for chunk in _chunks(_checked(spec, values)):
            logs = array_of(exact.log_prob(tensor_of(exact, spec.scale(chunk))))
            parts.append(np.where(np.isnan(chunk), 0.0, logs - jacobian))
    return np.concatenate([np.empty((0, len(spec.names))), *parts])


def counterfactual(
    flow: NodeFlow,
    values: Matrix,
    *,
    do: Doing,
    rng: np.random.Generator,
    draws: int = 64,
) -> Counterfactual:
    """What the rows would have been under do(): abduction, action, prediction.

    Values that the intervention does not reach, or that keep all their parents, are copied bit
    for bit: a do() that changes nothing returns the rows. A missing value is drawn from its
    mechanism given its parents (not given its children); one that is not reached stays missing.

    Parameters
    ----------
    values
        (num_rows, num_nodes) in declared units, codes for levels, NaN for missing.
    draws
        Posterior draws, where the noise is uncertain given the rows.

    Assumptions: the graph, no hidden confounding, numeric nodes increasing in their noise,
    discrete nodes with Gumbel-max noise.

    References
    ----------
    Pearl (2009), Causality, section 7.1. Oberst and Sontag (2019), arXiv:1905.05824.
    """
    spec, exact = flow.spec, in_double(flow)
    action = _action(spec, {n: act for n, act in do.items() if not isinstance(act, Act)})
    acts = {spec.index(name): act for name, act in do.items() if isinstance(act, Act)}
    rows = _checked(spec, values)
    moved = {name for name, act in do.items() if isinstance(act, Act) and not act.is_random}
    kinds = {spec.kinds[spec.index(name)] for name in spec.descendants(do) | moved}
    is_random = any(act.is_random for act in acts.values())
    if kinds <= {"continuous"} and not np.isnan(rows).any() and not is_random:
        draws = 1
    parts = [
        _counterfactual(exact, np.tile(chunk, (draws, 1)), {**action, **acts}, rng).reshape(
            draws, len(chunk), -1
        )
        for chunk in _chunks(rows, max(1, _CHUNK // draws))
    ]
    return Counterfactual(
        spec=spec,
        values=np.concatenate([np.empty((draws, 0, len(spec.names))), *parts], axis=1),
        assumption="gumbel-max" if "discrete" in kinds else "monotone-noise",
    )


def draw_noise(spec: NodeFlowSpec, num_rows: int, rng: np.random.Generator) -> Matrix:
    """Noise (num_rows, num_nodes, width): normals of numeric nodes first, Gumbels of levels."""
    noise = rng.gumbel(size=(num_rows, len(spec.names), max(1, *spec.levels)))
    numeric = [node for node, kind in enumerate(spec.kinds) if kind != "discrete"]
    noise[:, numeric, 0] = rng.standard_normal((num_rows, len(numeric)))
    return noise


def abduct(flow: NodeFlow, values: Matrix, rng: np.random.Generator) -> tuple[Matrix, Matrix]:
    """Noise (as in `draw_noise`) that explains complete or completed rows, and those rows.

    Continuous noise is exact; ordinal and discrete noise is one posterior draw; a missing value
    is completed from its mechanism with fresh noise.
    """
    spec, exact = flow.spec, in_double(flow)
    noise = draw_noise(spec, len(values), rng)
    scaled = spec.scale(values)
    for nodes in _levels(spec):
        heads, present = _heads(exact, scaled, nodes), ~np.isnan(scaled[:, nodes])
        predicted = _predict_level(exact, noise, heads, nodes)
        scaled[:, nodes] = np.where(present, scaled[:, nodes], predicted)
        explained = _abduct_level(exact, scaled, heads, nodes, rng)
        noise[:, nodes] = np.where(present[..., None], explained, noise[:, nodes])
    return noise, scaled


def predict(flow: NodeFlow, noise: Matrix, *, do: Mapping[str, float] | None = None) -> Matrix:
    """Rows (num_rows, num_nodes) in declared units that follow from noise, under do() if given."""
    spec, exact = flow.spec, in_double(flow)
    action = _action(spec, do or {})
    scaled = np.zeros(noise.shape[:2])
    for nodes in _levels(spec):
        scaled[:, nodes] = _predict_level(exact, noise, _heads(exact, scaled, nodes), nodes)
        for node in set(nodes).intersection(action):
            scaled[:, node] = _scaled(spec, node, action[node])
    values = _declared(spec, scaled)
    for node, value in action.items():
        values[:, node] = value
    return values


def node_value(flow: NodeFlow, name: str, noise: Matrix, columns: Mapping[str, Matrix]) -> Matrix:
    """Values (num_rows,) of one node in declared units, from its noise (num_rows, width).

    `columns` hold its parents, in declared units and codes; the flow is in double precision.
    """
    spec, node = flow.spec, flow.spec.index(name)
    rows = np.tile(spec.middles, (len(noise), 1))
    for parent in spec.parents(name):
        rows[:, spec.index(parent)] = columns[parent]
    padded = np.zeros((len(noise), len(spec.names), noise.shape[1]))
    padded[:, node] = noise
    scaled = spec.scale(rows)
    heads = _heads(flow, scaled, [node])
    scaled[:, [node]] = _predict_level(flow, padded, heads, [node])
    return _declared(spec, scaled)[:, node]


def _counterfactual(
    flow: NodeFlow, rows: Matrix, action: Mapping[int, float | Act], rng: np.random.Generator
) -> Matrix:
    spec = flow.spec
    noise, factual = abduct(flow, rows, rng)
    changed = factual.copy()
    given: dict[int, Matrix] = {}
    for node, act in action.items():
        if not isinstance(act, Act):
            given[node] = np.full(len(rows), act)
        elif act.is_random:
            given[node] = act.give(np.zeros(len(rows)))
        if node in given:
            changed[:, node] = _scaled(spec, node, given[node])
    reached = {spec.index(name) for name in spec.descendants(spec.names[n] for n in action)}
    moves = {n: a for n, a in action.items() if isinstance(a, Act) and not a.is_random}
    reached |= moves.keys()
    for level in _levels(spec):
        nodes = [node for node in level if node in reached and node not in given]
        if nodes:
            predicted = _predict_level(flow, noise, _heads(flow, changed, nodes), nodes)
            moved = _parents_moved(spec, nodes, factual, changed)
            changed[:, nodes] = np.where(moved, predicted, factual[:, nodes])
        for node in set(level).intersection(moves):
            natural = np.where(changed == factual, rows, _declared(spec, changed))[:, node]
            given[node] = moves[node].give(natural)
            changed[:, node] = _scaled(spec, node, given[node])
    answer = np.where(changed == factual, rows, _declared(spec, changed))
    for node, values in given.items():
        answer[:, node] = values
    return answer


def _parents_moved(
    spec: NodeFlowSpec, nodes: Sequence[int], factual: Matrix, changed: Matrix
) -> NDArray[np.bool_]:
    different = factual != changed
    parents = [[spec.index(p) for p in spec.parents(spec.names[node])] for node in nodes]
    return np.stack([different[:, found].any(axis=1) for found in parents], axis=1)


def _predict_level(flow: NodeFlow, noise: Matrix, heads: Tensor, nodes: Sequence[int]) -> Matrix:
    """Scaled values (num_rows, len(nodes)) of nodes whose parents are known."""
    spec = flow.spec
    index = tensor_of(flow, np.array(nodes))
    with torch.no_grad():
        numeric = array_of(flow.from_noise(tensor_of(flow, noise[:, nodes, 0]), heads))
        logits = array_of(flow.log_levels(heads, index))
    with np.errstate(invalid="ignore"):
        level = np.argmax(logits + noise[:, nodes, : logits.shape[-1]], axis=-1)
    result = np.where([spec.kinds[n] == "discrete" for n in nodes], level, numeric)
    for place, node in enumerate(nodes):
        if spec.kinds[node] == "ordinal":
            result[:, place] = _nearest_code(spec, node, result[:, place])
    return result


def _abduct_level(
    flow: NodeFlow,
    scaled: Matrix,
    heads: Tensor,
    nodes: Sequence[int],
    rng: np.random.Generator,
) -> Matrix:
    """Noise (num_rows, len(nodes), width) that explains the values of some nodes."""
    spec, index = flow.spec, tensor_of(flow, np.array(nodes))
    values = tensor_of(flow, scaled[:, nodes])
    noise = np.zeros((len(scaled), len(nodes), max(1, *spec.levels)))
    with torch.no_grad():
        exact = array_of(flow.to_noise(values, heads)[0])
        lower, upper = (array_of(side) for side in flow.interval(values, heads, index))
        levels = array_of(flow.log_levels(heads, index).exp())
    for place, node in enumerate(nodes):
        if spec.kinds[node] == "continuous":
            noise[:, place, 0] = exact[:, place]
        elif spec.kinds[node] == "ordinal":
            noise[:, place, 0] = _truncated_normal(lower[:, place], upper[:, place], rng)
        else:
            size = spec.levels[node]
            shares = np.maximum(levels[:, place, :size], _SMALLEST_PROBABILITY)
            codes = scaled[:, node].astype(np.int64)
            noise[:, place, :size] = posterior_noise(shares, codes, rng)
    return noise


def _truncated_normal(
    lower: NDArray[np.float64], upper: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """A standard normal given that it lies in (lower, upper), computed in the nearer tail."""
    sign = np.where(lower + upper > 0, -1.0, 1.0)
    low, high = np.minimum(sign * lower, sign * upper), np.maximum(sign * lower, sign * upper)
    share = rng.uniform(size=low.shape)
    drawn = ndtri(ndtr(low) + share * (ndtr(high) - ndtr(low)))
    return np.asarray(sign * np.clip(drawn, low, high))


def _heads(flow: NodeFlow, scaled: Matrix, nodes: Sequence[int]) -> Tensor:
    values, index = tensor_of(flow, np.nan_to_num(scaled)), tensor_of(flow, np.array(nodes))
    with torch.no_grad():
        return flow.some_heads(values, torch.ones_like(values, dtype=torch.bool), index)


def _levels(spec: NodeFlowSpec) -> list[list[int]]:
    return [list(level) for level in spec.topological_levels]


def _nearest_code(
    spec: NodeFlowSpec, node: int, scaled: NDArray[np.float64]
) -> NDArray[np.float64]:
    lo, hi = spec.bounds[node]
    middle, unit = spec.middles[node], spec.units[node]
    code = np.clip(np.rint(scaled * unit + middle), np.ceil(lo), np.floor(hi))
    return np.asarray((code - middle) / unit)


def _declared(spec: NodeFlowSpec, scaled: Matrix) -> Matrix:
    """Declared units; ordinal codes come out as integers."""
    values = spec.unscale(scaled)
    ordinal = [kind == "ordinal" for kind in spec.kinds]
    return np.where(ordinal, np.rint(values), values)


def _scaled(spec: NodeFlowSpec, node: int, value: float | Matrix) -> Matrix:
    return np.asarray((value - spec.middles[node]) / spec.units[node])


def _action(spec: NodeFlowSpec, do: Mapping[str, float]) -> dict[int, float]:
    """do() by position, checked: known names, finite numbers, codes that exist."""
    action = {spec.index(name): float(value) for name, value in do.items()}
    for node, value in action.items():
        name, levels = spec.names[node], spec.levels[node]
        if levels and value not in range(levels):
            raise SchemaError(f"do({name}): expected a level code 0..{levels - 1}, got {value:g}")
        if not np.isfinite(value):
            raise SchemaError(f"do({name}): expected a number, got {value}")
    return action


def _checked(spec: NodeFlowSpec, values: Matrix) -> Matrix:
    rows = np.asarray(values, dtype=np.float64)
    if rows.ndim != 2 or rows.shape[1] != len(spec.names):
        raise DataError(f"expected rows of {len(spec.names)} columns, got shape {rows.shape}")
    for node, levels in enumerate(spec.levels):
        codes = rows[:, node][~np.isnan(rows[:, node])]
        if levels and not np.isin(codes, np.arange(levels)).all():
            raise DataError(f"column {spec.names[node]!r}: expected level codes 0..{levels - 1}")
    return rows


def _chunks(rows: Matrix, size: int = _CHUNK) -> list[Matrix]:
    return [rows[i : i + size] for i in range(0, len(rows), size)]
