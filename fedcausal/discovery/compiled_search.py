"""Climbs of the order search by compiled kernels: for many variables."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from fedcausal.discovery.knowledge import Knowledge
from fedcausal.discovery.optimum import IDLE_ROUNDS, Optimum
from fedcausal.discovery.order_kernels import climb_some
from fedcausal.discovery.permitted_orders import PermittedOrders
from fedcausal.discovery.search_state import NOW, TOLERANCE, Problem, State
from fedcausal.pdag import bits
from fedcausal.scores.score import BlockScore

__all__ = ["CompiledSearch"]

# Bytes for families found before, and their largest number.
KNOWN_BYTES, MOST_KNOWN = 2**27, 2**16

# Variables moved between two looks at the clock.
CHUNK = 16


class CompiledSearch:
    """Climbs from an order to one that no move of a single variable improves.

    Each child keeps its parents while the order changes around them; they are grown and shrunk
    again only when one has moved behind the child, or a candidate that helps has come before it.

    Parameters
    ----------
    score
        The local scores.
    knowledge
        Which parents are allowed, required, and what must come first.

    Attributes
    ----------
    problem, state
        What the kernels read, and what they change.
    orders
        The permitted ones.
    """

    def __init__(self, score: BlockScore, knowledge: Knowledge) -> None:
        self.problem = _problem(score, knowledge)
        self.orders = PermittedOrders(knowledge.predecessors(score.names))
        self.state = _empty_state(self.problem)

    @property
    def num_scores(self) -> int:
        """Families scored so far."""
        return int(self.state.num_scores[0])

    def climb(
        self, order: Sequence[int], rng: np.random.Generator, is_over: Callable[[], bool]
    ) -> Optimum:
        """Move each variable to its best position until no move helps, or the time is over."""
        state = self.state
        state.size[NOW] = 0
        self._place(order)
        idle, first = 0, 0
        while idle < IDLE_ROUNDS * len(order) and not is_over():
            if first == 0:
                rng.random(out=state.luck)
                if idle >= len(order) and self._place(self.orders.shuffled(self._parents(), rng)):
                    idle = 0
            last = min(first + CHUNK, len(order))
            has_gained = climb_some(self.problem, state, first, last)
            idle = 0 if has_gained else idle + last - first
            first = last % len(order)
        return Optimum(
            order=tuple(state.order.tolist()),
            parents=tuple(self._parents()),
            score=float(state.score[NOW].sum()),
        )

    def _place(self, order: Sequence[int]) -> bool:
        """Put the variables in this order, and make the families fit it; whether that helped."""
        state = self.state
        before = state.score[NOW].sum()
        state.order[:] = order
        state.rank[state.order] = np.arange(len(order))
        climb_some(self.problem, state, 0, 0)
        return bool(state.score[NOW].sum() > before + TOLERANCE)

    def _parents(self) -> list[int]:
        """The parent masks of the DAG as it stands."""
        families = zip(self.state.parents[NOW], self.state.size[NOW].tolist(), strict=True)
        return [sum(1 << parent for parent in row[:size].tolist()) for row, size in families]


def _problem(score: BlockScore, knowledge: Knowledge) -> Problem:
    size, width = score.padded.shape[:2]
    columns = [i * width + j for i in range(size) for j in range(score.widths[i])]
    records = score.num_records.max()
    area = np.outer(score.widths, score.widths)
    bound = score.penalty * np.log(records) / records * area - score.edge_prior.T * (2.0 / records)
    return Problem(
        covariance=np.ascontiguousarray(
            score.padded.reshape(size * width, size * width)[np.ix_(columns, columns)]
        ),
        start=np.concatenate([[0], np.cumsum(score.widths)]),
        width=int(score.widths.max()),
        counts=np.array(score.num_records),
        is_complete=bool(score.num_records.min() == records),
        half=0.5 * float(records),
        penalty=float(score.penalty),
        prior=np.array(score.edge_prior),
        least=np.where(
            _flags(knowledge.allowed_parents(score.names)),
            1.0 - np.exp(-np.maximum(bound, -700.0)),
            np.inf,
        ),
        required=_flags(knowledge.required_parents(score.names)),
        before=_flags(knowledge.predecessors(score.names)),
    )


def _empty_state(problem: Problem) -> State:
    size, columns, width = len(problem.start) - 1, len(problem.covariance), problem.width
    num_known = 2 ** int(np.log2(min(MOST_KNOWN, KNOWN_BYTES / (8 * size))))
    return State(
        order=np.zeros(size, dtype=np.int64),
        rank=np.zeros(size, dtype=np.int64),
        luck=np.zeros((size, size)),
        size=np.zeros((2, size), dtype=np.int64),
        parents=np.zeros((2, size, size), dtype=np.int64),
        score=np.zeros((2, size)),
        gain=np.zeros((2, size, size)),
        worst=np.zeros((2, size), dtype=np.int64),
        touched=np.zeros(size, dtype=np.bool_),
        codes=np.random.default_rng(0).integers(1, 2**62, (2, size)),
        known_key=np.zeros(num_known, dtype=np.int64),
        known_score=np.empty(num_known),
        known_worst=np.empty(num_known, dtype=np.int64),
        known_gain=np.empty((num_known, size)),
        rows=np.zeros((columns, columns)),
        inverse=np.zeros((columns, columns)),
        residual=np.zeros((2 * width, columns)),
        small=np.zeros((2 * width, 2 * width)),
        num_scores=np.zeros(1, dtype=np.int64),
    )


def _flags(masks: Sequence[int]) -> NDArray[np.bool_]:
    """Row i holds the bits of mask i."""
    flags = np.zeros((len(masks), len(masks)), dtype=np.bool_)
    for i, mask in enumerate(masks):
        flags[i, list(bits(mask))] = True
    return flags
