"""The structural causal model that users ask: sample, counterfactual, log_prob, effect."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from fedcausal.errors import GraphError, InputError
from fedcausal.graph import Graph
from fedcausal.model.engine import Columns, Engine
from fedcausal.model.family_basis import FloatArray, Range
from fedcausal.model.frames import do_codes, read_frame, source_of, write_column
from fedcausal.model.gram_model import GramModel
from fedcausal.model.mechanics import push
from fedcausal.model.policies import Draw, Policy, Shift, action_of
from fedcausal.schema import Schema

if TYPE_CHECKING:
    from fedcausal.effects.effect import EffectEstimate
    from fedcausal.effects.identification import Pairs
    from fedcausal.effects.target import Values
    from fedcausal.model.mechanism import Mechanism

__all__ = ["COUNTERFACTUAL_DRAWS", "StructuralCausalModel"]

COUNTERFACTUAL_DRAWS = 100
"""Worlds over which a value below a changed level is averaged."""

ASSUMPTIONS = (
    "The graph is correct and has no hidden common cause.",
    "Mechanisms are the same at all sites, apart from an intercept.",
)
MONOTONE_NOISE = "monotone-noise"
GUMBEL_MAX = "gumbel-max"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StructuralCausalModel:
    """A causal model over a DAG, in declared units and the study's own level names.

    Attributes
    ----------
    graph
        The DAG.
    schema
        The study's variables.
    family
        "gram" (closed form) or "nodeflow" (neural).
    engine
        The fitted mechanisms.
    ranges
        Public range of every numeric variable: do() must stay inside.

    Assumptions: no latent confounding; counterfactuals of numbers need noise in which they are
    monotone, those of levels Gumbel-max noise. Numbers may leave their declared bounds: they
    are not clipped.

    Privacy: made from released totals only; any question to it is free of further disclosure.
    """

    graph: Graph
    schema: Schema
    family: Literal["gram", "nodeflow"]
    engine: Engine
    ranges: Mapping[str, Range]

    def __post_init__(self) -> None:
        if self.graph.kind != "dag":
            raise GraphError(f"a causal model needs a dag, got a {self.graph.kind}")
        if set(self.engine.names) != set(self.graph.nodes):
            raise GraphError("the model's nodes are not the graph's nodes")

    def with_mechanism(self, name: str, mechanism: "Mechanism") -> "StructuralCausalModel":
        """The model with one's own mechanism of a variable: any object that keeps the interface.

        It must have the parents of the graph (`mechanism.family`), and `predict` must undo
        `abduct`. Such a model is asked like any other; it is written to disk only where its kind
        is known to `model.artifact`.

        Raises
        ------
        InputError
            The variable is unknown, or the model is a neural one.
        GraphError
            The mechanism has other parents than the graph.
        """
        if not isinstance(self.engine, GramModel) or name not in self.graph.nodes:
            raise InputError(f"{name!r} is no variable of a model in closed form")
        mechanisms = {**self.engine.mechanisms, name: mechanism}
        engine = GramModel(graph=self.graph, schema=self.schema, mechanisms=mechanisms)
        return replace(self, engine=engine)

    def sample(
        self, num_rows: int, *, do: Mapping[str, Policy] | None = None, seed: int = 0
    ) -> pd.DataFrame:
        """Draw records, under do() if given; one seed gives the same noise whatever is done.

        Several variables at once are exact; besides a value, a variable may be given a `Shift` of
        what it would have been, or a law to be drawn from (`Draw`).

        Raises
        ------
        InputError
            For an unknown variable or level, or a value beyond the bounds.
        """
        if num_rows < 1:
            raise InputError(f"sample: expected 1 row or more, got {num_rows}")
        rng = np.random.default_rng(seed)
        hard = {n: p for n, p in (do or {}).items() if not isinstance(p, Shift | Draw)}
        if len(hard) == len(do or {}):
            columns = self.engine.sample(num_rows, do=self._codes(hard), rng=rng)
        else:
            columns = self._under_policies(num_rows, do or {}, rng, seed)
        return self._frame(columns, pd.RangeIndex(num_rows))

    def counterfactual(
        self,
        frame: pd.DataFrame,
        *,
        do: Mapping[str, float | str],
        probabilities: bool = False,
        draws: int = COUNTERFACTUAL_DRAWS,
        seed: int = 0,
    ) -> pd.DataFrame:
        """What the records of `frame` would have been under do().

        Returns the frame with the columns of `do` and of their descendants replaced; every other
        column is the very same. Levels are the most probable ones; with `probabilities` a column
        "name=level" is added per level of each changed node. What lies below a changed level is
        the mean over `draws` worlds. `attrs["assumptions"]` names what the answer rests on.

        Raises
        ------
        InputError
            When a needed column is absent or has missing values, or do() is not possible.
        """
        clamped = self._codes(do)
        changed = self._changed(clamped)
        columns = self._complete(frame, changed - set(clamped))
        rng = np.random.default_rng(seed)
        answer = self.engine.counterfactual(columns, do=clamped, draws=draws, rng=rng)
        written: dict[str, FloatArray | list[str]] = {}
        for name in [n for n in self.graph.nodes if n in changed]:
            values = answer.values[name]
            if name not in frame.columns or not np.array_equal(values, columns[name]):
                written[name] = write_column(values, self.schema[name])
            if probabilities and name in answer.probabilities:
                for code, level in enumerate(self.schema[name].categories):
                    written[f"{name}={level}"] = answer.probabilities[name][:, code]
        result = _with_columns(frame, written)
        result.attrs["assumptions"] = self._assumptions(changed - set(clamped))
        return result

    def log_prob(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Log density (per unit) or log probability of each node given its parents.

        A missing value contributes 0 to its own node and to the nodes below it.
        """
        columns = read_frame(frame, self.schema, self.graph.nodes)
        found = self.engine.log_prob(columns)
        return pd.DataFrame({n: found[n] for n in self.graph.nodes}, index=frame.index)

    def effect(
        self,
        treatment: str,
        outcome: str,
        values: tuple[float | str, float | str],
        *,
        graph: Graph | None = None,
        hidden: "Pairs" = (),
        population: str = "pooled",
        treated: bool = False,
        given: "Values | None" = None,
        means: "Values | None" = None,
        extrapolate: float = 0.0,
        draws: int = 200,
        samples: int = 4000,
        seed: int = 0,
    ) -> "EffectEstimate":
        """The average effect of moving `treatment` between two values; see `effects.effect`."""
        from fedcausal.effects.effect import effect

        return effect(
            self,
            treatment,
            outcome,
            values,
            graph=graph,
            hidden=hidden,
            population=population,
            treated=treated,
            given=given,
            means=means,
            extrapolate=extrapolate,
            draws=draws,
            samples=samples,
            seed=seed,
        )

    def _codes(self, do: Mapping[str, float | str] | None) -> dict[str, float]:
        self._check_known(do or {})
        return do_codes(do, self.schema, self.ranges)

    def _check_known(self, do: Mapping[str, Policy]) -> None:
        unknown = sorted(set(do) - set(self.graph.nodes))
        if unknown:
            known = ", ".join(self.graph.nodes)
            raise InputError(f"do {unknown[0]}: no such variable in the model; it has {known}")

    def _under_policies(
        self, num_rows: int, do: Mapping[str, Policy], rng: np.random.Generator, seed: int
    ) -> Columns:
        self._check_known(do)
        mechanics, chance = self.engine.mechanics(), np.random.default_rng([seed, 4])
        actions = {
            name: action_of(policy, self.schema[name], self.ranges.get(name), chance)
            for name, policy in do.items()
        }
        return push(mechanics, mechanics.draw_noise(num_rows, rng), actions)

    def _changed(self, clamped: Mapping[str, float]) -> set[str]:
        if not clamped:
            return set()
        return set(clamped).union(*(self.graph.descendants(name) for name in clamped))

    def _complete(self, frame: pd.DataFrame, below: set[str]) -> Columns:
        """Factual columns, complete wherever abduction below the action reads them."""
        needed = below.union(*(self.graph.parents(name) for name in below)) if below else set()
        present = [n for n in self.graph.nodes if n in needed or n in frame.columns]
        columns = read_frame(frame, self.schema, present)
        for name in self.graph.nodes:
            if name in needed and np.isnan(columns[name]).any():
                missing = int(np.isnan(columns[name]).sum())
                raise InputError(
                    f"{source_of(frame)}:{name}: {missing} missing values, and the "
                    "counterfactual needs this column; fill them in or drop the rows"
                )
        absent = np.full(len(frame), np.nan)
        return {name: columns.get(name, absent) for name in self.graph.nodes}

    def _assumptions(self, below: set[str]) -> list[str]:
        kinds = {not self.schema[name].is_numeric for name in below}
        labels = {False: MONOTONE_NOISE, True: GUMBEL_MAX}
        return [*sorted(labels[kind] for kind in kinds), *ASSUMPTIONS]

    def _frame(self, columns: Columns, index: pd.Index) -> pd.DataFrame:
        written = {n: write_column(columns[n], self.schema[n]) for n in self.graph.nodes}
        return pd.DataFrame(written, index=index)


def _with_columns(
    frame: pd.DataFrame, written: Mapping[str, FloatArray | list[str]]
) -> pd.DataFrame:
    """A copy with columns replaced in place or appended, all at once; others bit for bit."""
    kept = frame.loc[:, ~frame.columns.isin(list(written))]
    new = pd.DataFrame(dict(written), index=frame.index)
    result = pd.concat([kept, new], axis=1)[list(dict.fromkeys([*frame.columns, *written]))]
    result.attrs = dict(frame.attrs)
    return result
