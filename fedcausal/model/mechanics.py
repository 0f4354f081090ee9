"""A model node by node: what nested and partial interventions are made of."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Act", "Action", "Mechanics", "push"]

FloatArray = NDArray[np.float64]
Columns = dict[str, FloatArray]
Action = Callable[[FloatArray], FloatArray]
"""From the values that a node would take (num_records,) to those that it is given."""


@dataclass(frozen=True, slots=True)
class Act:
    """An action that is not one value for all.

    `is_random`: it draws whatever would have been, so that its answer is a mean over worlds.
    """

    give: Action
    is_random: bool = False


class Mechanics(Protocol):
    """The structural equations of a fitted model; columns are in declared units or codes."""

    @property
    def order(self) -> tuple[str, ...]:
        """All nodes, parents before children."""
        ...

    def parents(self, name: str) -> tuple[str, ...]:
        """The parents of a node."""
        ...

    def draw_noise(self, num_records: int, rng: np.random.Generator) -> Columns:
        """Noise of new records, first axis num_records; one seed, one noise."""
        ...

    def abduct(self, columns: Mapping[str, FloatArray], rng: np.random.Generator) -> Columns:
        """Noise that explains complete records, drawn where it is not unique."""
        ...

    def evaluate(
        self, name: str, noise: FloatArray, columns: Mapping[str, FloatArray]
    ) -> FloatArray:
        """The value of one node, from its noise and the columns of its parents."""
        ...


def push(
    mechanics: Mechanics,
    noise: Mapping[str, FloatArray],
    actions: Mapping[str, Action] | None = None,
) -> Columns:
    """The values that this noise gives while some nodes are acted upon, however many.

    An action sees what its node would have been in this very world, so that one intervention may
    rest on another.
    """
    columns: Columns = {}
    for name in mechanics.order:
        natural = mechanics.evaluate(name, noise[name], columns)
        action = (actions or {}).get(name)
        columns[name] = natural if action is None else action(natural)
    return columns
