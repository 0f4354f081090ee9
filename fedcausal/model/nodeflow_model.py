"""A trained NodeFlow behind the interface of every structural causal model."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedcausal.graph import Graph
from fedcausal.model.engine import Columns, CounterfactualColumns, Doing
from fedcausal.model.family_basis import scale, unscale
from fedcausal.model.family_gram import FamilyGram
from fedcausal.model.gram_fit import fit_mechanism
from fedcausal.model.mechanism import NumericMechanism
from fedcausal.model.nodeflow_spec import NodeFlowSpec, NodeStart
from fedcausal.model.offsets import NodeOffset
from fedcausal.model.scm import StructuralCausalModel
from fedcausal.schema import Schema

if TYPE_CHECKING:
    from fedcausal.model.nodeflow import NodeFlow

__all__ = ["NodeFlowModel", "from_members", "from_nodeflow", "nodeflow_starts"]

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NodeFlowModel:
    """An engine that hands every question to a trained NodeFlow.

    torch is imported when a question is asked, not before.
    """

    flow: "NodeFlow"

    @property
    def spec(self) -> NodeFlowSpec:
        """The flow's public description."""
        return self.flow.spec

    @property
    def names(self) -> tuple[str, ...]:
        """The flow's nodes, in the order of its columns."""
        return self.spec.names

    def mechanics(self) -> "NodeFlowMechanics":
        """The same flow node by node, in double precision."""
        from fedcausal.model.placing import in_double

        return NodeFlowMechanics(flow=in_double(self.flow))

    def on(self, device: str) -> "NodeFlowModel":
        """The same flow, answering in float64 on a device."""
        from fedcausal.model.placing import in_double

        return NodeFlowModel(flow=in_double(self.flow, device))

    def sample(
        self, num_records: int, *, do: Mapping[str, float], rng: np.random.Generator
    ) -> Columns:
        """Draw records under do()."""
        from fedcausal.model import nodeflow_queries

        return self._columns(nodeflow_queries.sample(self.flow, num_records, do=do, rng=rng))

    def log_prob(self, columns: Mapping[str, NDArray[np.float64]]) -> Columns:
        """Log density or probability of every node given its parents."""
        from fedcausal.model import nodeflow_queries

        return self._columns(nodeflow_queries.log_prob(self.flow, self._matrix(columns)))

    def counterfactual(
        self,
        columns: Mapping[str, NDArray[np.float64]],
        *,
        do: Doing,
        draws: int,
        rng: np.random.Generator,
    ) -> CounterfactualColumns:
        """What the records would have been under do()."""
        from fedcausal.model import nodeflow_queries

        answer = nodeflow_queries.counterfactual(
            self.flow, self._matrix(columns), do=do, rng=rng, draws=draws
        )
        table = self._columns(answer.table())
        changed = set(self.spec.descendants(do)) - set(do)
        levels = dict(zip(self.spec.names, self.spec.levels, strict=True))
        return CounterfactualColumns(
            values=table,
            probabilities={n: answer.probabilities(n) for n in sorted(changed) if levels[n]},
        )

    def _matrix(self, columns: Mapping[str, NDArray[np.float64]]) -> Matrix:
        return np.column_stack([columns[name] for name in self.names])

    def _columns(self, matrix: Matrix) -> Columns:
        return {name: matrix[:, i] for i, name in enumerate(self.names)}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NodeFlowMechanics:
    """A flow in double precision, asked for one node at a time."""

    flow: "NodeFlow"

    @property
    def order(self) -> tuple[str, ...]:
        """All nodes, parents before children."""
        spec = self.flow.spec
        return tuple(spec.names[node] for level in spec.topological_levels for node in level)

    def parents(self, name: str) -> tuple[str, ...]:
        """The parents of a node."""
        return tuple(self.flow.spec.parents(name))

    def draw_noise(self, num_records: int, rng: np.random.Generator) -> Columns:
        """Noise of every node (num_records, width)."""
        from fedcausal.model import nodeflow_queries

        drawn = nodeflow_queries.draw_noise(self.flow.spec, num_records, rng)
        return {name: drawn[:, i] for i, name in enumerate(self.flow.spec.names)}

    def abduct(self, columns: Mapping[str, Matrix], rng: np.random.Generator) -> Columns:
        """Noise that explains the records."""
        from fedcausal.model import nodeflow_queries

        rows = np.column_stack([columns[name] for name in self.flow.spec.names])
        noise, _ = nodeflow_queries.abduct(self.flow, rows, rng)
        return {name: noise[:, i] for i, name in enumerate(self.flow.spec.names)}

    def evaluate(self, name: str, noise: Matrix, columns: Mapping[str, Matrix]) -> Matrix:
        """The value of one node, from its noise and the columns of its parents."""
        from fedcausal.model import nodeflow_queries

        return nodeflow_queries.node_value(self.flow, name, noise, columns)


def from_nodeflow(flow: "NodeFlow", graph: Graph, schema: Schema) -> StructuralCausalModel:
    """The causal model of a trained flow; do() must stay inside the flow's public bounds."""
    spec = flow.spec
    bounds = zip(spec.names, spec.kinds, spec.bounds, strict=True)
    return StructuralCausalModel(
        graph=graph,
        schema=schema,
        family="nodeflow",
        engine=NodeFlowModel(flow=flow),
        ranges={name: interval for name, kind, interval in bounds if kind != "discrete"},
    )


def from_members(
    flows: Sequence["NodeFlow"], graph: Graph, schema: Schema
) -> StructuralCausalModel:
    """The causal model of several flows over one graph."""
    from fedcausal.model.ensemble import EnsembleModel

    alone = from_nodeflow(flows[0], graph, schema)
    engine = EnsembleModel(members=tuple(NodeFlowModel(flow=flow) for flow in flows))
    return replace(alone, engine=engine)


def nodeflow_starts(
    grams: Mapping[str, FamilyGram], offsets: Sequence[NodeOffset] = ()
) -> dict[str, NodeStart]:
    """Linear mechanisms in closed form from which a flow's training sets out.

    A node with an offset starts at it, with the residual's spread.

    Privacy: computed from the released family Grams; nothing further leaves a site.
    """
    above = {offset.node: offset for offset in offsets}
    return {
        node: _around(gram, above[node]) if node in above else _start(gram)
        for node, gram in grams.items()
    }


def _around(gram: FamilyGram, offset: NodeOffset) -> NodeStart:
    """No location of its own, and the spread of what the offset leaves."""
    first, slopes = gram.family.basis.num_features, np.array(offset.coefficients[1:])
    shared = float(gram.products[first, :first] @ slopes)
    bent = float(slopes @ gram.products[:first, :first] @ slopes)
    left = max(float(gram.products[first, first]) - 2.0 * shared + bent, 0.0)
    low, high = offset.range
    spread = 0.5 * (high - low) * math.sqrt(left / max(gram.num_records - gram.num_means, 1))
    return NodeStart(intercept=0.5 * (low + high), scale=max(spread, 1e-9 * (high - low)))


def _start(gram: FamilyGram) -> NodeStart:
    """Least squares on lines and levels alone, in declared units."""
    terms = gram.family.basis.terms
    linear = np.array(
        [len(t) == 1 and t[0].bump is None and t[0].degree <= 1 for t in terms], dtype=np.bool_
    )
    mechanism = fit_mechanism(replace(gram, usable=gram.usable & linear))
    if not isinstance(mechanism, NumericMechanism):
        return NodeStart(probabilities=tuple(_law(gram).tolist()))
    low, high = mechanism.family.known_range
    half = 0.5 * (high - low)
    intercept = float(unscale(mechanism.coefficients[:1], (low, high))[0])
    slopes: dict[str, tuple[float, ...]] = {}
    for parent in mechanism.family.basis.parents:
        mine = [i for i, t in enumerate(terms) if linear[i] and t[0].variable == parent]
        weights = half * mechanism.coefficients[1:][mine]
        interval = mechanism.family.basis.ranges.get(parent)
        if interval is None:
            slopes[parent] = (0.0, *weights.tolist())
            continue
        if not mine:
            continue
        slope = float(weights[0]) * 2.0 / (interval[1] - interval[0])
        slopes[parent] = (slope,)
        intercept += float(weights[0]) * float(scale(np.zeros(1), interval)[0])
    return NodeStart(intercept=intercept, slopes=slopes, scale=half * mechanism.residual.sd)


def _law(gram: FamilyGram) -> Matrix:
    """Frequencies of the levels, none of them zero."""
    means = np.maximum(gram.means[gram.family.basis.num_features :], 1e-6)
    return np.asarray(means / means.sum())
