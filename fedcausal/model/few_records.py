"""A closed-form model compiled for questions about few records: one pass per topological level."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeGuard

import numpy as np
from numpy.typing import NDArray

from fedcausal.graph import Graph
from fedcausal.model.engine import Columns, CounterfactualColumns, Doing
from fedcausal.model.family_basis import FloatArray
from fedcausal.model.gumbel import counterfactual_probabilities
from fedcausal.model.mechanics import Act
from fedcausal.model.mechanism import LevelMechanism, Mechanism, NumericMechanism, normalised
from fedcausal.model.regressions import Regression, Regressions, regressions_of
from fedcausal.model.scaled_noise import ScaledNoiseMechanism
from fedcausal.model.scaling import Scaling, scaling_of
from fedcausal.model.worlds import is_mean, one_answer, shared_laws, shared_or_mean
from fedcausal.schema import Kind, Schema, Variable

__all__ = ["FewRecords", "compiled"]

Indices = NDArray[np.int64]
Mask = NDArray[np.bool_]
COMPILED = (NumericMechanism, ScaledNoiseMechanism, LevelMechanism)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Numbers:
    """Numeric nodes: their rows and outputs, scales (num_nodes, 1), parents padded at the end.

    `tops` are the last codes of ordinal nodes, NaN for a number that is not rounded.
    """

    rows: Indices
    outputs: Indices
    middles: FloatArray
    halves: FloatArray
    tops: FloatArray
    parents: Indices

    def predict(self, means: FloatArray, noise: FloatArray) -> FloatArray:
        """Values in declared units, ordinal ones as codes."""
        values = (means + noise) * self.halves + self.middles
        if np.isnan(self.tops).all():
            return values
        codes = np.minimum(np.maximum(np.rint(values), 0.0), self.tops)
        return np.where(np.isnan(self.tops), values, codes)

    def abduct(self, values: FloatArray, means: FloatArray) -> FloatArray:
        """Residuals in scaled units."""
        return (values - self.middles) * (1.0 / self.halves) - means

    def some(self, chosen: Mask) -> "_Numbers":
        """Some of the nodes."""
        return _Numbers(
            rows=self.rows[chosen],
            outputs=self.outputs[chosen],
            middles=self.middles[chosen],
            halves=self.halves[chosen],
            tops=self.tops[chosen],
            parents=self.parents[chosen],
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Levels:
    """Nodes of equally many levels: rows, outputs (num_nodes, num_levels), padded parents."""

    rows: Indices
    outputs: Indices
    parents: Indices

    def law(self, fitted: FloatArray) -> FloatArray:
        """Probabilities (num_nodes, num_records, num_levels) from all outputs."""
        return normalised(np.moveaxis(fitted[self.outputs], 1, 2))

    def some(self, chosen: Mask) -> "_Levels":
        """Some of the nodes."""
        return _Levels(
            rows=self.rows[chosen], outputs=self.outputs[chosen], parents=self.parents[chosen]
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Layer:
    """Nodes that no one of them influences, with their fitted functions."""

    rows: Indices
    regressions: Regressions
    numbers: _Numbers
    levels: tuple[_Levels, ...]
    scaling: Scaling | None

    def scaled(self, noise: FloatArray, values: FloatArray, rows: Indices) -> FloatArray:
        """Noise of some nodes times their spreads at these values."""
        return noise if self.scaling is None else noise * self.scaling.factors(values, rows)

    def standardised(self, noise: FloatArray, values: FloatArray, rows: Indices) -> FloatArray:
        """Noise of some nodes divided by their spreads at these values."""
        return noise if self.scaling is None else noise / self.scaling.factors(values, rows)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FewRecords:
    """A closed-form model whose nodes are evaluated layer by layer, all at once.

    What a question costs is then the number of layers, not of nodes; for many records the
    arithmetic outweighs that, and its arrays would be large.

    Attributes
    ----------
    names, variables
        The nodes, parents before children: the rows of every array.
    whole
        All nodes as one layer: the fitted functions at the facts.
    layers
        The topological levels.

    Assumptions: the answers are those of `GramModel`, up to rounding (1e-12 of their size), and
    up to the draws below a changed level.
    """

    names: tuple[str, ...]
    variables: tuple[Variable, ...]
    whole: _Layer
    layers: tuple[_Layer, ...]

    def push(
        self,
        noise: Mapping[str, FloatArray],
        num_records: int,
        do: Mapping[str, float | FloatArray],
    ) -> Columns:
        """Values that this noise gives, with the nodes of `do` clamped."""
        values = np.zeros((len(self.names), num_records))
        clamped = {self.names.index(name): value for name, value in do.items()}
        for layer in self.layers:
            fitted = layer.regressions.evaluate(values)
            own = layer.numbers
            if own.rows.size:
                drawn = np.array([noise[self.names[row]] for row in own.rows])
                drawn = layer.scaled(drawn, values, own.rows)
                values[own.rows] = own.predict(fitted[own.outputs], drawn)
            for group in layer.levels:
                perturbed = np.array([noise[self.names[row]] for row in group.rows])
                codes = np.argmax(np.log(group.law(fitted)) + perturbed, axis=-1)
                values[group.rows] = codes
            for row, value in clamped.items():
                values[row] = value
        return dict(zip(self.names, values, strict=True))

    def counterfactual(
        self,
        columns: Mapping[str, FloatArray],
        do: Doing,
        affected: set[str],
        *,
        draws: int,
        rng: np.random.Generator,
    ) -> CounterfactualColumns:
        """Abduction, action, prediction of the nodes `affected` by the action.

        `columns` may be NaN where no affected node reads them.
        """
        once = np.array([columns[name] for name in self.names])
        moves = {self.names.index(n): act.give for n, act in do.items() if _is_move(act)}
        given = {self.names.index(n): act for n, act in do.items() if not _is_move(act)}
        reached = np.array([name in affected for name in self.names])
        reached[[*given]] = False
        has_levels = any(reached[g.rows].any() for g in self.whole.levels)
        is_random = any(isinstance(act, Act) for act in given.values())
        copies = draws if has_levels or is_random else 1
        worlds = _Worlds.of(np.tile(once, copies), np.nan_to_num(once), self.whole, copies)
        for row, act in given.items():
            values = np.full((1, worlds.size), 0.0 if isinstance(act, Act) else act)
            worlds.put(np.array([row]), act.give(values) if isinstance(act, Act) else values)
        laws: dict[int, FloatArray] = {}
        for layer, before in zip(self.layers, self._outputs(), strict=True):
            if not reached[layer.rows].any():
                continue
            fitted = layer.regressions.evaluate(worlds.values)
            numbers = layer.numbers.some(reached[layer.numbers.rows])
            if numbers.rows.size:
                worlds.put(numbers.rows, _changed(layer, numbers, fitted, before, worlds))
            for group in layer.levels:
                chosen = group.some(reached[group.rows])
                law = _level_law(chosen, fitted, before, worlds)
                laws |= dict(zip(chosen.rows.tolist(), law, strict=True))
                worlds.put(chosen.rows, _drawn(law, rng))
            for row in set(moves).intersection(layer.rows.tolist()):
                worlds.put(np.array([row]), moves[row](worlds.values[[row]]))
        return self._answer(worlds, laws, affected, copies)

    def _outputs(self) -> list[slice]:
        """Where the outputs of each layer lie among those of the whole model."""
        ends = np.cumsum([0, *(len(layer.regressions.intercepts) for layer in self.layers)])
        return [slice(a, b) for a, b in itertools.pairwise(ends)]

    def _answer(
        self,
        worlds: "_Worlds",
        laws: Mapping[int, FloatArray],
        affected: set[str],
        copies: int,
    ) -> CounterfactualColumns:
        found = worlds.values.reshape(len(self.names), copies, -1).swapaxes(0, 1)
        probabilities = shared_laws(laws, copies)
        values = {self.names[row]: np.argmax(p, axis=-1) * 1.0 for row, p in probabilities.items()}
        wanted = [k for k, n in enumerate(self.names) if n in affected and k not in probabilities]
        plain = [k for k in wanted if is_mean(self.variables[k])]
        means = shared_or_mean(found[:, plain]) if copies > 1 else found[0, plain]
        values |= {self.names[row]: own for row, own in zip(plain, means, strict=True)}
        for row in (k for k in wanted if not is_mean(self.variables[k])):
            own = found[:, row]
            values[self.names[row]] = (
                one_answer(own, self.variables[row]) if copies > 1 else own[0]
            )
        named = {self.names[row]: law for row, law in probabilities.items()}
        values = {name: values[name] for name in self.names if name in affected}
        return CounterfactualColumns(values=values, probabilities=named)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Worlds:
    """Records in as many worlds as are drawn, written layer by layer.

    `fitted` are the model's outputs at the facts; `differs` has a last row for no parent.
    """

    facts: FloatArray
    fitted: FloatArray
    values: FloatArray
    differs: Mask

    @classmethod
    def of(
        cls, facts: FloatArray, complete: FloatArray, whole: "_Layer", copies: int
    ) -> "_Worlds":
        """Every record in `copies` worlds, nothing changed as yet."""
        fitted = np.tile(whole.regressions.evaluate(complete), copies)
        differs = np.zeros((len(facts) + 1, facts.shape[1]), dtype=np.bool_)
        return cls(facts=facts, fitted=fitted, values=facts.copy(), differs=differs)

    @property
    def size(self) -> int:
        """Records times worlds."""
        return int(self.facts.shape[1])

    def put(self, rows: Indices, values: FloatArray) -> None:
        """Write some nodes."""
        self.values[rows] = values
        self.differs[rows] = values != self.facts[rows]


def _is_move(act: float | Act) -> TypeGuard[Act]:
    """Whether an action reads what would have been."""
    return isinstance(act, Act) and not act.is_random


def compiled(
    graph: Graph, schema: Schema, mechanisms: Mapping[str, Mechanism]
) -> FewRecords | None:
    """The model for few records; None where its mechanisms are not closed forms of numbers."""
    if any(type(m) not in COMPILED for m in mechanisms.values()):
        return None
    if any(variable.transform or variable.kind is Kind.COUNT for variable in schema):
        return None
    depth: dict[str, int] = {}
    for name in graph.topological_order():
        depth[name] = 1 + max((depth[parent] for parent in graph.parents(name)), default=-1)
    names = tuple(sorted(depth, key=depth.__getitem__))
    groups = [[n for n in names if depth[n] == k] for k in range(1 + max(depth.values()))]
    layers = tuple(_layer(group, names, schema, mechanisms) for group in groups)
    variables = tuple(schema[name] for name in names)
    return FewRecords(
        names=names,
        variables=variables,
        whole=_layer(names, names, schema, mechanisms),
        layers=layers,
    )


def _layer(
    members: Sequence[str],
    names: Sequence[str],
    schema: Schema,
    mechanisms: Mapping[str, Mechanism],
) -> _Layer:
    row = {name: place for place, name in enumerate(names)}
    functions, start = list[Regression](), 0
    numeric: list[tuple[NumericMechanism, int]] = []
    levelled: dict[int, list[tuple[LevelMechanism, int]]] = {}
    for name in members:
        mechanism = mechanisms[name]
        if isinstance(mechanism, LevelMechanism):
            levelled.setdefault(mechanism.family.num_levels, []).append((mechanism, start))
            functions.append(mechanism.regression())
        elif isinstance(mechanism, NumericMechanism):
            numeric.append((mechanism, start))
            functions.append(mechanism.regression())
        start += functions[-1].coefficients.shape[1]
    return _Layer(
        rows=np.array([row[name] for name in members]),
        regressions=regressions_of(functions, names),
        numbers=_numbers(numeric, row, schema),
        levels=tuple(_levels(own, count, row) for count, own in levelled.items()),
        scaling=scaling_of([mechanisms[name] for name in members], names),
    )


def _numbers(
    placed: Sequence[tuple[NumericMechanism, int]], row: Mapping[str, int], schema: Schema
) -> _Numbers:
    families = [mechanism.family for mechanism, _ in placed]
    low, high = np.array([f.known_range for f in families]).reshape(-1, 2).T[:, :, None]
    tops = [_top(schema, f.node) for f in families]
    return _Numbers(
        rows=np.array([row[f.node] for f in families], dtype=np.int64),
        outputs=np.array([start for _, start in placed], dtype=np.int64),
        middles=0.5 * (low + high),
        halves=0.5 * (high - low),
        tops=np.array(tops, dtype=float)[:, None],
        parents=_parents([f.basis.parents for f in families], row),
    )


def _top(schema: Schema, name: str) -> float:
    variable = schema[name]
    is_coded = variable.kind is Kind.ORDINAL and variable.categories
    return len(variable.categories) - 1.0 if is_coded else np.nan


def _levels(
    placed: Sequence[tuple[LevelMechanism, int]], num_levels: int, row: Mapping[str, int]
) -> _Levels:
    starts = np.array([[start] for _, start in placed])
    return _Levels(
        rows=np.array([row[m.family.node] for m, _ in placed]),
        outputs=starts + np.arange(num_levels),
        parents=_parents([m.family.basis.parents for m, _ in placed], row),
    )


def _parents(parents: Sequence[Sequence[str]], row: Mapping[str, int]) -> Indices:
    """(num_nodes, most parents) rows; filled up with the row after the last variable."""
    most = max((len(own) for own in parents), default=0)
    filled = [[*(row[n] for n in own), *[len(row)] * (most - len(own))] for own in parents]
    return np.array(filled, dtype=np.int64).reshape(len(parents), most)


def _changed(
    layer: _Layer, numbers: _Numbers, fitted: FloatArray, before: slice, worlds: _Worlds
) -> FloatArray:
    """Numbers in the changed worlds; the facts where no parent changed."""
    facts = worlds.facts[numbers.rows]
    noise = numbers.abduct(facts, worlds.fitted[before][numbers.outputs])
    noise = layer.standardised(noise, worlds.facts, numbers.rows)
    noise = layer.scaled(noise, worlds.values, numbers.rows)
    moved = worlds.differs[numbers.parents].any(axis=1)
    return np.where(moved, numbers.predict(fitted[numbers.outputs], noise), facts)


def _level_law(group: _Levels, fitted: FloatArray, before: slice, worlds: _Worlds) -> FloatArray:
    """Counterfactual probabilities (num_nodes, num_records, num_levels).

    The fact is certain where no parent changed.
    """
    after, now = group.law(fitted), group.law(worlds.fitted[before])
    facts = worlds.facts[group.rows].astype(np.int64)
    count = after.shape[-1]
    law = counterfactual_probabilities(
        now.reshape(-1, count), after.reshape(-1, count), facts.reshape(-1)
    ).reshape(after.shape)
    moved = np.asarray(worlds.differs[group.parents].any(axis=1))
    return np.where(moved[..., None], law, np.eye(count)[facts])


def _drawn(law: FloatArray, rng: np.random.Generator) -> FloatArray:
    """A code from every law."""
    cumulative = np.cumsum(law, axis=-1)
    uniform = rng.random(law.shape[:-1])[..., None] * cumulative[..., -1:]
    return np.asarray(np.sum(uniform >= cumulative[..., :-1], axis=-1).astype(float))
