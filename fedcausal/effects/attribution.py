"""To which mechanisms a change in an outcome between two models is due."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray

from fedcausal.errors import InputError
from fedcausal.model.mechanics import Columns, Mechanics
from fedcausal.model.open_edges import open_above, open_sentence
from fedcausal.model.scm import StructuralCausalModel
from fedcausal.schema import did_you_mean
from fedcausal_privacy.canonical import JsonValue

__all__ = ["Attribution", "attribute_change", "shapley_values"]

FloatArray = NDArray[np.float64]
Value = Callable[[frozenset[str]], float]

MOST_EXACT = 10
"""Nodes up to which all subsets are evaluated; beyond, orders are drawn."""
ORDERS = 200

ONE_GRAPH = (
    "The graph is correct, has no hidden common cause, and is the same behind both models.",
    "Mechanisms change independently of each other.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """The change of an outcome's mean from one model to another, by the mechanisms that changed.

    Attributes
    ----------
    outcome, outcome_level
        What changed: the mean of a number, or the probability of a level.
    before, after
        Its mean in either model.
    shares
        Node -> how much of the change its mechanism accounts for; they add up to the change.
    is_exact
        Whether all subsets were evaluated (else random orders, which add up all the same).
    warnings
        Directions above the outcome that the data leave open: the mechanisms, and with them the
        shares, are those of the DAG that was chosen.
    """

    outcome: str
    outcome_level: str | None
    before: float
    after: float
    shares: Mapping[str, float]
    is_exact: bool
    assumptions: tuple[str, ...] = ONE_GRAPH
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, JsonValue]:
        """The attribution as a JSON object."""
        return {
            "outcome": self.outcome,
            "outcome_level": self.outcome_level,
            "before": self.before,
            "after": self.after,
            "shares": dict(self.shares),
            "is_exact": self.is_exact,
            "assumptions": list(self.assumptions),
            "warnings": list(self.warnings),
        }


def attribute_change(
    before: StructuralCausalModel,
    after: StructuralCausalModel,
    outcome: str,
    *,
    samples: int = 4000,
    seed: int = 0,
) -> Attribution:
    """Shapley values of the mechanisms for the change of E[outcome] between two models.

    Every mechanism above the outcome is taken from the one model or from the other, and the
    model so put together is simulated with common noise.

    Assumptions: `ONE_GRAPH`.
    Privacy: questions to two released models.

    Raises
    ------
    InputError
        For an unknown outcome, or models of other graphs or variables.

    References
    ----------
    Budhathoki, Janzing, Bloebaum and Ng (2021), Why did the distribution change?, AISTATS.
    """
    if outcome not in before.graph.nodes:
        raise InputError(
            f"outcome: unknown variable {outcome!r}{did_you_mean(outcome, before.graph.nodes)}"
        )
    same = set(before.graph.directed_edges) == set(after.graph.directed_edges)
    if before.graph.nodes != after.graph.nodes or not same:
        raise InputError("the two models have other graphs; attribute within one graph")
    if [v.categories for v in before.schema] != [v.categories for v in after.schema]:
        raise InputError("the two models have other levels; attribute between equal variables")
    nodes = [n for n in before.graph.nodes if n == outcome or n in before.graph.ancestors(outcome)]
    variable = before.schema[outcome]
    level = None if variable.is_numeric else variable.num_levels - 1

    def mean_of(column: FloatArray) -> float:
        return float(column.mean() if level is None else np.mean(column == level))

    sides = [model.engine.mechanics() for model in (before, after)]
    noises = [side.draw_noise(samples, np.random.default_rng(seed)) for side in sides]

    def value(changed: frozenset[str]) -> float:
        return mean_of(_hybrid(sides, noises, nodes, changed)[outcome])

    shares = shapley_values(nodes, value, seed=seed)
    return Attribution(
        outcome=outcome,
        outcome_level=None if level is None else variable.categories[-1],
        before=value(frozenset()),
        after=value(frozenset(nodes)),
        shares=shares,
        is_exact=len(nodes) <= MOST_EXACT,
        warnings=open_sentence(
            tuple(
                dict.fromkeys(
                    e
                    for side in (before, after)
                    for e in open_above(side.graph, side.learnt, outcome)
                )
            )
        ),
    )


def shapley_values(players: Sequence[str], value: Value, *, seed: int = 0) -> dict[str, float]:
    """Each player's mean contribution over all orders, or over random ones where they are many.

    The values add up to value(all) - value(none), exactly up to rounding.

    >>> shapley_values("ab", lambda s: float(len(s) == 2))
    {'a': 0.5, 'b': 0.5}
    """
    known: dict[frozenset[str], float] = {}

    def at(group: frozenset[str]) -> float:
        if group not in known:
            known[group] = value(group)
        return known[group]

    if len(players) > MOST_EXACT:
        return _over_orders(players, at, np.random.default_rng([seed, 5]))
    found = dict.fromkeys(players, 0.0)
    size = len(players)
    for player in players:
        others = [p for p in players if p != player]
        for k in range(size):
            weight = 1.0 / (size * comb(size - 1, k))
            for group in combinations(others, k):
                found[player] += weight * (at(frozenset((*group, player))) - at(frozenset(group)))
    return found


def _over_orders(players: Sequence[str], at: Value, rng: np.random.Generator) -> dict[str, float]:
    found = dict.fromkeys(players, 0.0)
    for _ in range(ORDERS):
        group: frozenset[str] = frozenset()
        for player in rng.permutation(np.array(players)).tolist():
            larger = group | {player}
            found[player] += (at(larger) - at(group)) / ORDERS
            group = larger
    return found


def _hybrid(
    sides: Sequence[Mechanics],
    noises: Sequence[Mapping[str, FloatArray]],
    nodes: Sequence[str],
    changed: frozenset[str],
) -> Columns:
    columns: Columns = {}
    for name in sides[0].order:
        if name in nodes:
            side = int(name in changed)
            columns[name] = sides[side].evaluate(name, noises[side][name], columns)
    return columns
