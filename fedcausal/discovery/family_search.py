"""Climbs of the order search over remembered families: for few variables, without compilation."""

from collections.abc import Callable, Sequence
from math import isnan, nan
from typing import Protocol

import numpy as np

from fedcausal.discovery.knowledge import Knowledge
from fedcausal.discovery.optimum import IDLE_ROUNDS, Optimum
from fedcausal.discovery.permitted_orders import PermittedOrders
from fedcausal.pdag import bits
from fedcausal.scores.score import Families

__all__ = ["FamilyScore", "FamilySearch"]

# A move must gain more than this: below it, floating point decides.
TOLERANCE = 1e-8

# Evaluated parent sets kept in memory; the families found from them are kept for good.
CACHED_PARENT_SETS = 4096


class FamilyScore(Protocol):
    """A decomposable score of families of variables, by position."""

    @property
    def names(self) -> tuple[str, ...]:
        """The variables."""

    def local(self, child: int, parents: Sequence[int]) -> float:
        """The score of one family."""

    def families(self, parents: Sequence[int]) -> Families:
        """The scores of all families around one parent set; NaN in `here`: ask `local`."""


class FamilySearch:
    """Best families of each variable among its predecessors, remembered.

    Grow-shrink per child: from the required parents, the candidate that raises the score most is
    added while any does; then the parent whose removal raises it most is taken out while any does.

    Parameters
    ----------
    score
        The local scores.
    knowledge
        Which parents are allowed, required, and what must come first.
    """

    def __init__(self, score: FamilyScore, knowledge: Knowledge) -> None:
        self.score = score
        self.num_scores = 0
        self.allowed = knowledge.allowed_parents(score.names)
        self.required = knowledge.required_parents(score.names)
        self.orders = PermittedOrders(knowledge.predecessors(score.names))
        self._families: dict[int, Families] = {}
        self._candidates: dict[tuple[int, int], list[int]] = {}
        self._local: dict[tuple[int, int], float] = {}
        self._best: dict[tuple[int, int], tuple[int, float]] = {}

    def best(self, child: int, available: int) -> tuple[int, float]:
        """The grow-shrink parents of a child within a mask of predecessors, and their score."""
        available &= self.allowed[child]
        key = (child, available)
        found = self._best.get(key)
        if found is None:
            parents = self._shrink(child, self._grow(child, available))
            found = self._best[key] = (parents, self._score(child, parents))
        return found

    def total(self, order: Sequence[int]) -> float:
        """The score of an order: the sum over its families."""
        before, total = 0, 0.0
        for child in order:
            total += self.best(child, before)[1]
            before |= 1 << child
        return total

    def parents(self, order: Sequence[int]) -> list[int]:
        """The parent masks of the DAG of an order."""
        before, parents = 0, [0] * len(order)
        for child in order:
            parents[child] = self.best(child, before)[0]
            before |= 1 << child
        return parents

    def climb(
        self, order: Sequence[int], rng: np.random.Generator, is_over: Callable[[], bool]
    ) -> Optimum:
        """Move each variable to its best position until no move helps, or the time is over."""
        current, idle, variable = list(order), 0, 0
        while idle < IDLE_ROUNDS * len(order) and not is_over():
            has_gained = self._move(current, variable, rng)
            idle = 0 if has_gained else idle + 1
            variable = (variable + 1) % len(order)
        return Optimum(
            order=tuple(current), parents=tuple(self.parents(current)), score=self.total(current)
        )

    def _move(self, order: list[int], variable: int, rng: np.random.Generator) -> bool:
        """Move one variable to its best position, one of equals at random; whether it helped."""
        best, current = self.best, order.index(variable)
        rest = order[:current] + order[current + 1 :]
        low, high = self.orders.span(rest, variable)
        before = sum(1 << i for i in rest[:low])
        totals = [best(variable, before)[1]]
        shift = 0.0
        for other in rest[low:high]:
            shift += best(other, before)[1] - best(other, before | 1 << variable)[1]
            before |= 1 << other
            totals.append(shift + best(variable, before)[1])
        highest = max(totals)
        equals = [i for i, total in enumerate(totals) if total > highest - TOLERANCE]
        rest.insert(low + equals[int(rng.random() * len(equals))], variable)
        order[:] = rest
        return highest > totals[current - low] + TOLERANCE

    def _grow(self, child: int, available: int) -> int:
        parents = self.required[child]
        while True:
            ranked = self._raising(child, parents)
            chosen = next((k for k in ranked if available >> k & 1), None)
            if chosen is None:
                return parents
            parents |= 1 << chosen

    def _shrink(self, child: int, parents: int) -> int:
        while True:
            best, score = parents, self._score(child, parents) + TOLERANCE
            for k in bits(parents & ~self.required[child]):
                without = parents & ~(1 << k)
                if self._score(child, without) > score:
                    best, score = without, self._score(child, without)
            if best == parents:
                return parents
            parents = best

    def _raising(self, child: int, parents: int) -> list[int]:
        """Allowed further parents that raise the score, best first."""
        key = (child, parents)
        ranked = self._candidates.get(key)
        if ranked is None:
            scores = self._evaluate(parents).with_one_more[child]
            here = self._score(child, parents)
            raising = np.flatnonzero(scores > here + TOLERANCE)
            raising = raising[np.argsort(-scores[raising], kind="stable")]
            ranked = [k for k in raising.tolist() if self.allowed[child] >> k & 1]
            self._candidates[key] = ranked
        return ranked

    def _score(self, child: int, parents: int) -> float:
        """One family's score: from a pass already made, else alone, which is quicker."""
        key = (child, parents)
        score = self._local.get(key)
        if score is None:
            families = self._families.get(parents)
            score = nan if families is None else float(families.here[child])
            if isnan(score):
                score = self.score.local(child, list(bits(parents)))
                self.num_scores += 1
            self._local[key] = score
        return score

    def _evaluate(self, parents: int) -> Families:
        families = self._families.get(parents)
        if families is None:
            if len(self._families) >= CACHED_PARENT_SETS:
                self._families.clear()
            families = self._families[parents] = self.score.families(list(bits(parents)))
            self.num_scores += families.with_one_more.size
        return families
