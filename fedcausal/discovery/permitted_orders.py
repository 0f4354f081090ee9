"""Causal orders that honour background knowledge: where a variable may stand, random ones."""

from collections.abc import Sequence

import numpy as np

from fedcausal.pdag import bits

__all__ = ["PermittedOrders"]


class PermittedOrders:
    """Orders in which each variable stands after all that must precede it.

    Parameters
    ----------
    before
        Per variable, the transitively closed mask of its predecessors (`Knowledge.predecessors`).
    """

    def __init__(self, before: Sequence[int]) -> None:
        self.before = tuple(before)
        after = [0] * len(self.before)
        for i, mask in enumerate(self.before):
            for j in bits(mask):
                after[j] |= 1 << i
        self.after = tuple(after)

    def arrange(self, wanted: Sequence[int]) -> list[int]:
        """The order wanted, each variable held back until all that must precede it are placed.

        >>> PermittedOrders([0b100, 0, 0]).arrange([0, 1, 2])
        [1, 2, 0]
        """
        order, placed, held = list[int](), 0, list(wanted)
        while held:
            waiting = list[int]()
            for variable in held:
                if self.before[variable] & ~placed:
                    waiting.append(variable)
                else:
                    order.append(variable)
                    placed |= 1 << variable
            held = waiting
        return order

    def random(self, rng: np.random.Generator) -> list[int]:
        """A random permitted order."""
        return self.arrange(rng.permutation(len(self.before)).tolist())

    def shuffled(self, parents: Sequence[int], rng: np.random.Generator) -> list[int]:
        """A random permitted order of a DAG, given by the parent masks of its variables."""
        before = [known | given for known, given in zip(self.before, parents, strict=True)]
        return PermittedOrders(before).random(rng)

    def span(self, rest: Sequence[int], variable: int) -> tuple[int, int]:
        """First and last position at which a variable may enter an order of the others."""
        low, high = 0, len(rest)
        for position, other in enumerate(rest):
            if self.before[variable] >> other & 1:
                low = position + 1
            if self.after[variable] >> other & 1:
                high = min(high, position)
        return low, high
