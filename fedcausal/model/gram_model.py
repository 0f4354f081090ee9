"""The closed-form model: one mechanism per node, pushed through the DAG in order."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fedcausal.errors import GraphError
from fedcausal.graph import Graph
from fedcausal.model.engine import Columns, CounterfactualColumns, Doing
from fedcausal.model.family_basis import FloatArray
from fedcausal.model.few_records import FewRecords, compiled
from fedcausal.model.gumbel import counterfactual_probabilities
from fedcausal.model.mechanics import Act
from fedcausal.model.mechanism import LevelMechanism, Mechanism
from fedcausal.model.worlds import one_answer
from fedcausal.schema import Kind, Schema, Variable

__all__ = ["GramModel"]

FEW = 8
"""Records up to which all nodes of a topological level are evaluated at once."""
ROW_CHUNK = 2048
"""Records whose counterfactuals are computed at once: bounds the memory of the draws."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GramModel:
    """An engine with a closed-form mechanism for every node of a DAG.

    Attributes
    ----------
    graph
        The DAG.
    schema
        The study's variables; an ordinal given in words is rounded to its codes.
    mechanisms
        Node -> mechanism, whose parents are the graph's.

    Assumptions: no latent confounding; mechanisms shared by all sites; noise independent
    across nodes.
    """

    graph: Graph
    schema: Schema
    mechanisms: Mapping[str, Mechanism]
    _order: tuple[str, ...] = field(init=False, repr=False)
    _compiled: list[FewRecords | None] = field(init=False, repr=False, default_factory=list)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_order", self.graph.topological_order())
        for name in self._order:
            mechanism = self.mechanisms.get(name)
            if mechanism is None:
                raise GraphError(f"the model has no mechanism of {name!r}")
            if set(mechanism.family.basis.parents) != set(self.graph.parents(name)):
                raise GraphError(f"the mechanism of {name!r} has other parents than the graph")

    @property
    def names(self) -> tuple[str, ...]:
        """The nodes, in the graph's order."""
        return self.graph.nodes

    @property
    def order(self) -> tuple[str, ...]:
        """All nodes, parents before children."""
        return self._order

    def mechanics(self) -> "GramModel":
        """Itself: the closed form is evaluated node by node."""
        return self

    def on(self, device: str) -> "GramModel":
        """Itself: NumPy answers on the CPU."""
        return self

    def parents(self, name: str) -> tuple[str, ...]:
        """The parents of a node."""
        return self.graph.parents(name)

    def sample(
        self, num_records: int, *, do: Mapping[str, float], rng: np.random.Generator
    ) -> Columns:
        """Draw records; every node consumes its noise, so runs with one seed share it."""
        return self.push(self.draw_noise(num_records, rng), num_records, do=do)

    def draw_noise(self, num_records: int, rng: np.random.Generator) -> Columns:
        """Noise of every node, in topological order."""
        return {n: self.mechanisms[n].draw_noise(num_records, rng) for n in self._order}

    def abduct(self, columns: Mapping[str, FloatArray], rng: np.random.Generator) -> Columns:
        """Noise that explains complete records: residuals, and draws of Gumbel noise."""
        return {n: self.mechanisms[n].abduct(columns[n], columns, rng) for n in self._order}

    def push(
        self,
        noise: Mapping[str, FloatArray],
        num_records: int,
        *,
        do: Mapping[str, float | FloatArray],
    ) -> Columns:
        """Values that this noise gives, with the nodes of `do` clamped (to one value, or each)."""
        if 0 < num_records <= FEW and (few := self._few()) is not None:
            return few.push(noise, num_records, do)
        columns: Columns = {}
        for name in self._order:
            columns[name] = (
                np.full(num_records, do[name])
                if name in do
                else self.evaluate(name, noise[name], columns)
            )
        return columns

    def log_prob(self, columns: Mapping[str, FloatArray]) -> Columns:
        """Log probability of each node; 0 where the node or a parent is missing."""
        found: Columns = {}
        for name in self._order:
            members = self.mechanisms[name].family.members
            complete = ~np.any([np.isnan(columns[m]) for m in members], axis=0)
            inside = {m: columns[m][complete] for m in members}
            found[name] = np.zeros(len(complete))
            found[name][complete] = self.mechanisms[name].log_prob(inside[name], inside)
        return found

    def counterfactual(
        self,
        columns: Mapping[str, FloatArray],
        *,
        do: Doing,
        draws: int,
        rng: np.random.Generator,
    ) -> CounterfactualColumns:
        """Abduction, action, prediction for the descendants of `do`; all else is copied.

        Numeric noise is found exactly. The law of a changed level is exact given its parents
        (`gumbel`); what lies below a changed level is averaged over `draws`.
        """
        num_records = len(next(iter(columns.values())))
        if 0 < num_records <= FEW and (few := self._few()) is not None:
            return few.counterfactual(columns, do, self._affected(do), draws=draws, rng=rng)
        parts = [
            self._counterfactual_chunk(
                {n: c[start : start + ROW_CHUNK] for n, c in columns.items()}, do, draws, rng
            )
            for start in range(0, max(num_records, 1), ROW_CHUNK)
        ]
        return CounterfactualColumns(
            values={n: np.concatenate([p.values[n] for p in parts]) for n in parts[0].values},
            probabilities={
                n: np.concatenate([p.probabilities[n] for p in parts])
                for n in parts[0].probabilities
            },
        )

    def resampler(self) -> "Callable[[np.random.Generator], GramModel]":
        """What draws the model with coefficients from their sampling distribution."""
        draw = {name: self.mechanisms[name].resampler() for name in self._order}

        def redrawn(rng: np.random.Generator) -> GramModel:
            drawn = {name: draw[name](rng) for name in self._order}
            return GramModel(graph=self.graph, schema=self.schema, mechanisms=drawn)

        return redrawn

    def ancestral(self, *names: str) -> "GramModel":
        """The model of some nodes and their ancestors, which no other node influences."""
        kept = set(names).union(*(self.graph.ancestors(name) for name in names))
        nodes = tuple(n for n in self.graph.nodes if n in kept)
        edges = [(a, b) for a, b in self.graph.directed_edges if b in nodes]
        mechanisms = {n: self.mechanisms[n] for n in nodes}
        return GramModel(graph=Graph.dag(nodes, edges), schema=self.schema, mechanisms=mechanisms)

    def evaluate(
        self, name: str, noise: FloatArray, columns: Mapping[str, FloatArray]
    ) -> FloatArray:
        """The value of one node; without parents one for each record of its noise."""
        predicted = self.mechanisms[name].predict(noise, columns)
        variable = self.schema[name]
        if variable.kind is Kind.ORDINAL and variable.categories:
            return np.clip(np.rint(predicted), 0, len(variable.categories) - 1)
        if variable.kind is Kind.COUNT:
            return np.maximum(np.rint(predicted), 0.0)
        return predicted

    def _few(self) -> FewRecords | None:
        """The compiled model, made when it is first asked for."""
        if not self._compiled:
            self._compiled.append(compiled(self.graph, self.schema, self.mechanisms))
        return self._compiled[0]

    def _affected(self, do: Doing) -> set[str]:
        return set(do).union(*(self.graph.descendants(name) for name in do))

    def _counterfactual_chunk(
        self,
        factual: Mapping[str, FloatArray],
        do: Doing,
        draws: int,
        rng: np.random.Generator,
    ) -> CounterfactualColumns:
        """Worlds are (num_records,) where certain and (draws, num_records) below a level."""
        affected = self._affected(do)
        worlds: Columns = {}
        probabilities: Columns = {}
        for name in self._order:
            mechanism = self.mechanisms[name]
            act = do.get(name)
            if isinstance(act, Act):
                worlds[name] = self._acted(name, act, factual, worlds, draws, rng)
            elif act is not None:
                worlds[name] = np.full_like(factual[name], act)
            elif name not in affected:
                worlds[name] = factual[name]
            elif isinstance(mechanism, LevelMechanism):
                law = self._level_law(mechanism, factual, worlds)
                worlds[name] = _draw_levels(law, draws, rng)
                probabilities[name] = law if law.ndim == 2 else law.mean(axis=0)
            else:
                worlds[name] = self._changed(name, factual, worlds, rng)
        values = {
            n: _collapse(worlds[n], probabilities.get(n), self.schema[n])
            for n in self._order
            if n in affected
        }
        return CounterfactualColumns(values=values, probabilities=probabilities)

    def _acted(
        self,
        name: str,
        act: Act,
        factual: Mapping[str, FloatArray],
        worlds: Mapping[str, FloatArray],
        draws: int,
        rng: np.random.Generator,
    ) -> FloatArray:
        """What a node is given: a law of its own in every world, or its natural value moved."""
        if act.is_random:
            return act.give(np.zeros((draws, len(factual[name]))))
        return act.give(self._changed(name, factual, worlds, rng))

    def _changed(
        self,
        name: str,
        factual: Mapping[str, FloatArray],
        worlds: Mapping[str, FloatArray],
        rng: np.random.Generator,
    ) -> FloatArray:
        """A numeric node in the changed worlds; the factual value where no parent changed."""
        mechanism = self.mechanisms[name]
        noise = mechanism.abduct(factual[name], factual, rng)
        predicted = self.evaluate(name, noise, worlds)
        return np.where(self._parents_equal(name, factual, worlds), factual[name], predicted)

    def _level_law(
        self,
        mechanism: LevelMechanism,
        factual: Mapping[str, FloatArray],
        worlds: Mapping[str, FloatArray],
    ) -> FloatArray:
        """Counterfactual probabilities, ([draws,] num_records, num_levels)."""
        name = mechanism.family.node
        after = mechanism.probabilities(worlds)
        before = np.broadcast_to(mechanism.probabilities(factual), after.shape)
        levels = np.broadcast_to(factual[name].astype(np.int64), after.shape[:-1])
        num_levels = after.shape[-1]
        law = counterfactual_probabilities(
            before.reshape(-1, num_levels), after.reshape(-1, num_levels), levels.reshape(-1)
        ).reshape(after.shape)
        same = self._parents_equal(name, factual, worlds)
        return np.where(same[..., None], np.eye(num_levels)[levels], law)

    def _parents_equal(
        self, name: str, factual: Mapping[str, FloatArray], worlds: Mapping[str, FloatArray]
    ) -> NDArray[np.bool_]:
        parents = self.mechanisms[name].family.basis.parents
        equal = np.ones_like(factual[name], dtype=bool)
        for parent in parents:
            if worlds[parent] is not factual[parent]:
                equal = equal & (worlds[parent] == factual[parent])
        return equal


def _draw_levels(law: FloatArray, draws: int, rng: np.random.Generator) -> FloatArray:
    """Codes drawn from each record's law: (draws, num_records), one draw per given world."""
    cumulative = np.cumsum(law, axis=-1)
    shape = (draws, law.shape[-2])
    uniform = rng.random(shape)[..., None] * cumulative[..., -1:]
    codes: FloatArray = np.sum(uniform >= cumulative[..., :-1], axis=-1).astype(float)
    return codes


def _collapse(
    worlds: FloatArray, probabilities: FloatArray | None, variable: Variable
) -> FloatArray:
    """One answer per record: the most probable code, the mean, or the value that all share."""
    if probabilities is not None:
        codes: FloatArray = np.argmax(probabilities, axis=-1).astype(float)
        return codes
    return worlds if worlds.ndim == 1 else one_answer(worlds, variable)
