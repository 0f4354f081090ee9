"""The structural causal model that users ask: sample, counterfactual, log_prob, effect."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from fedcausal.errors import GraphError, InputError
from fedcausal.graph import Graph
from fedcausal.model.answer_frames import is_replaced, replaced, told, with_columns
from fedcausal.model.engine import Columns, CounterfactualColumns, Doing, Engine
from fedcausal.model.family_basis import FloatArray, Range
from fedcausal.model.frames import (
    check_share,
    do_codes,
    far_records,
    few_columns,
    read_frame,
    source_of,
    value_code,
    write_frame,
    write_parts,
)
from fedcausal.model.gram_model import GramModel
from fedcausal.model.intervals import CONFORMAL, conformal_bounds
from fedcausal.model.mechanics import Act, push
from fedcausal.model.open_edges import open_at, open_below, open_sentence
from fedcausal.model.policies import Draw, Policy, Shift, action_of, far_values
from fedcausal.schema import Kind, Schema

if TYPE_CHECKING:
    from fedcausal.effects.conditional import ConditionalLaw
    from fedcausal.effects.effect import EffectEstimate
    from fedcausal.effects.identification import Pairs
    from fedcausal.effects.target import Values
    from fedcausal.model.calibration import Calibration
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
COUNT_RANKS = "A count keeps its rank; the rank within its own share of the law is drawn."


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
    calibrations
        How far held-out records lie from the fitted mean of a node, where a study asked for it.
    learnt
        The class of graphs that the data admit, which the DAG was chosen from; None where the DAG
        was given. Answers name the directions they rest on that it leaves open.

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
    calibrations: Mapping[str, "Calibration"] = field(default_factory=dict)
    learnt: Graph | None = None

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

    def on(self, device: str) -> "StructuralCausalModel":
        """The same model, its flow in float64 on "cpu" (where a loaded one is) or "cuda".

        A closed form is answered by NumPy wherever it is. Noise is drawn on the CPU, so that one
        seed gives the same records on every device, up to rounding.

        Raises
        ------
        InputError
            There is no such device here.
        """
        return replace(self, engine=self.engine.on(device))

    def sample(
        self,
        num_rows: int,
        *,
        do: Mapping[str, Policy] | None = None,
        extrapolate: float = 0.0,
        seed: int = 0,
    ) -> pd.DataFrame:
        """Draw records, under do() if given; one seed gives the same noise whatever is done.

        Several variables at once are exact; besides a value, a variable may be given a `Shift` of
        what it would have been, or a law to be drawn from (`Draw`). A value may lie beyond the
        bounds by the share `extrapolate` of their width. `attrs["warnings"]` names the directions
        that the law under do() rests on and the data leave open, and how far given and shifted
        values lie beyond where the sites have data.

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
            columns = self.engine.sample(num_rows, do=self._codes(hard, extrapolate), rng=rng)
        else:
            columns = self._under_policies(num_rows, do or {}, rng, seed, extrapolate)
        drawn = write_frame(columns, self.schema, self.graph.nodes, pd.RangeIndex(num_rows))
        shifted = {n: columns[n] for n, p in (do or {}).items() if isinstance(p, Shift)}
        drawn.attrs["warnings"] = [
            *far_values(do or {}, self.schema, self.ranges),
            *self._beyond(shifted),
            *open_sentence(open_at(self.graph, self.learnt, do or {})),
        ]
        return drawn

    def counterfactual(
        self,
        frame: pd.DataFrame,
        *,
        do: Mapping[str, Policy],
        probabilities: bool = False,
        level: float | None = None,
        extrapolate: float = 0.0,
        draws: int = COUNTERFACTUAL_DRAWS,
        seed: int = 0,
    ) -> pd.DataFrame:
        """What the records of `frame` would have been under do().

        A `Shift` adds to what the variable would have been (its fact, unless another action
        reaches it); a `Draw` makes every changed answer one of `draws` worlds: their mean, their
        most probable level.

        Returns the frame with the columns of `do` and of their descendants replaced; every other
        column is the very same. Levels are the most probable ones; with `probabilities` a column
        "name=level" is added per level of each changed node. What lies below a changed level is
        the mean over `draws` worlds (the median, for codes of an order).
        `attrs["assumptions"]` names what the answer rests on, `attrs["warnings"]` how far the
        facts that were read and the values of do() lie beyond all data, and which directions the
        data leave open.

        With `level` a changed number NAME has columns "NAME:low" and "NAME:high": see
        `intervals.conformal_bounds`. A value of do() may lie beyond the bounds by the share
        `extrapolate` of their width; the answer then has a warning.

        Raises
        ------
        InputError
            When a needed column is absent or has missing values, or do() is not possible.
        """
        doing = self._doing(do, seed, extrapolate)
        changed = self._changed(doing)
        below, facts = self._read_nodes(doing, changed)
        needed = below.union(facts, *(self.graph.parents(name) for name in below))
        columns = self._complete(frame, needed)
        rng = np.random.default_rng(seed)
        answer = self.engine.counterfactual(columns, do=doing, draws=draws, rng=rng)
        read = {n: columns[n] for n in self.graph.nodes if n in needed}
        shifted = {n: answer.values[n] for n, act in doing.items() if isinstance(act, Act)}
        fixed = {n: p for n, p in do.items() if not isinstance(p, Shift | Draw)}
        warned = [
            *far_values(fixed, self.schema, self.ranges),
            *self._beyond(read),
            *self._beyond(shifted),
            *open_sentence(open_below(self.graph, self.learnt, doing)),
        ]
        moved = [
            n
            for n in self.graph.nodes
            if n in changed
            and (n not in frame.columns or not np.array_equal(answer.values[n], columns[n]))
        ]
        if not probabilities and level is None and is_replaced(frame, moved):
            result = replaced(frame, few_columns(answer.values, self.schema, moved))
            return told(result, self._assumptions(changed - set(doing)), warned)
        new = write_parts(answer.values, self.schema, moved, frame.index)
        if probabilities:
            new += [self._shares(n, answer, frame.index) for n in self.graph.nodes]
        if level is not None:
            new.append(
                conformal_bounds(
                    self, changed - set(doing), columns | answer.values, level, frame.index
                )
            )
        result = with_columns(frame, new)
        rests_on = self._assumptions(changed - set(doing))
        rests_on = rests_on if level is None else [*rests_on, CONFORMAL]
        return told(result, rests_on, warned)

    def log_prob(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Log density (per unit) or log probability of each node given its parents.

        A missing value contributes 0 to its own node and to the nodes below it.
        `attrs["warnings"]` tells of records beyond where the sites have data.
        """
        columns = read_frame(frame, self.schema, self.graph.nodes)
        found = self.engine.log_prob(columns)
        result = pd.DataFrame({n: found[n] for n in self.graph.nodes}, index=frame.index)
        result.attrs["warnings"] = self._beyond(columns)
        return result

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
        records: "pd.DataFrame | None" = None,
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
            records=records,
            extrapolate=extrapolate,
            draws=draws,
            samples=samples,
            seed=seed,
        )

    def query(
        self,
        outcome: str,
        *,
        given: "Values",
        do: "Values | None" = None,
        samples: int = 20_000,
        seed: int = 0,
    ) -> "ConditionalLaw":
        """The law of a variable among records with given values; see `effects.conditional`."""
        from fedcausal.effects.conditional import conditional_law

        return conditional_law(self, outcome, given=given, do=do, samples=samples, seed=seed)

    def _codes(self, do: Mapping[str, float | str], beyond: float) -> dict[str, float]:
        self._check_known(do)
        check_share(beyond)
        return do_codes(do, self.schema, self.ranges, beyond=beyond)

    def _check_known(self, do: Mapping[str, Policy]) -> None:
        unknown = sorted(set(do) - set(self.graph.nodes))
        if unknown:
            known = ", ".join(self.graph.nodes)
            raise InputError(f"do {unknown[0]}: no such variable in the model; it has {known}")

    def _under_policies(
        self,
        num_rows: int,
        do: Mapping[str, Policy],
        rng: np.random.Generator,
        seed: int,
        beyond: float,
    ) -> Columns:
        self._check_known(do)
        check_share(beyond)
        mechanics, chance = self.engine.mechanics(), np.random.default_rng([seed, 4])
        actions = {
            name: action_of(
                policy, self.schema[name], self.ranges.get(name), chance, beyond=beyond
            )
            for name, policy in do.items()
        }
        return push(mechanics, mechanics.draw_noise(num_rows, rng), actions)

    def _doing(self, do: Mapping[str, Policy], seed: int, beyond: float) -> Doing:
        """Values and codes, or actions; the draws of a law follow the seed."""
        self._check_known(do)
        check_share(beyond)
        chance = np.random.default_rng([seed, 4])
        return {
            name: self._act(name, policy, chance, beyond)
            if isinstance(policy, Shift | Draw)
            else value_code(self.schema[name], policy, self.ranges.get(name), beyond=beyond)
            for name, policy in do.items()
        }

    def _act(
        self, name: str, policy: Shift | Draw, chance: np.random.Generator, beyond: float
    ) -> Act:
        interval = self.ranges.get(name)
        give = action_of(policy, self.schema[name], interval, chance, beyond=beyond)
        return Act(give, is_random=isinstance(policy, Draw))

    def _changed(self, doing: Doing) -> set[str]:
        return set(doing).union(*(self.graph.descendants(name) for name in doing))

    def _beyond(self, columns: Mapping[str, FloatArray]) -> list[str]:
        return far_records(columns, self.schema, self.ranges)

    def _read_nodes(self, doing: Doing, changed: set[str]) -> tuple[set[str], set[str]]:
        """The nodes whose noise is abducted, and those of which the fact alone is read."""
        moved = {n for n, act in doing.items() if isinstance(act, Act) and not act.is_random}
        reached = set[str]().union(*(self.graph.descendants(name) for name in doing))
        return changed - (set(doing) - (moved & reached)), moved - reached

    def _complete(self, frame: pd.DataFrame, needed: set[str]) -> Columns:
        """Factual columns, complete wherever abduction below the action reads them."""
        present = [n for n in self.graph.nodes if n in needed or n in frame.columns]
        columns = read_frame(frame, self.schema, present)
        read = [columns[name] for name in present if name in needed]
        for name in self.graph.nodes if np.isnan(np.array(read)).any() else ():
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
        counted = any(self.schema[name].kind is Kind.COUNT for name in below)
        of_counts = (COUNT_RANKS,) if counted else ()
        return [*sorted(labels[kind] for kind in kinds), *of_counts, *ASSUMPTIONS]

    def _shares(self, name: str, answer: CounterfactualColumns, index: pd.Index) -> pd.DataFrame:
        """A column for each level of a changed node; none for any other."""
        if name not in answer.probabilities:
            return pd.DataFrame(index=index)
        names = [f"{name}={level}" for level in self.schema[name].categories]
        return pd.DataFrame(answer.probabilities[name], columns=names, index=index)
