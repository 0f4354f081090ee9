"""What a model family must answer, on arrays: the interface behind a structural causal model."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fedcausal.model.mechanics import Act, Mechanics

__all__ = ["Columns", "CounterfactualColumns", "Doing", "Engine"]

FloatArray = NDArray[np.float64]
Columns = dict[str, FloatArray]
Doing: TypeAlias = Mapping[str, float | Act]
"""Actions by node: a value or code, or what is made of the value that would have been."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CounterfactualColumns:
    """Counterfactual answers of some records.

    Attributes
    ----------
    values
        Node -> (num_records,): the mean of a numeric node, the most probable code of levels.
    probabilities
        Node with levels -> (num_records, num_levels).
    """

    values: Columns
    probabilities: Columns


class Engine(Protocol):
    """A fitted model of one family; columns are in declared units or level codes."""

    @property
    def names(self) -> tuple[str, ...]:
        """The model's nodes."""
        ...

    def mechanics(self) -> Mechanics:
        """The same model node by node."""
        ...

    def on(self, device: str) -> "Engine":
        """The same model, answering on "cpu" or "cuda" where it has neural parts."""
        ...

    def sample(
        self, num_records: int, *, do: Mapping[str, float], rng: np.random.Generator
    ) -> Columns:
        """Draw records under do(); the same `rng` state gives the same noise whatever is done."""
        ...

    def log_prob(self, columns: Mapping[str, FloatArray]) -> Columns:
        """Log density or probability of every node given its parents; 0 where one is missing."""
        ...

    def counterfactual(
        self,
        columns: Mapping[str, FloatArray],
        *,
        do: Doing,
        draws: int,
        rng: np.random.Generator,
    ) -> CounterfactualColumns:
        """What the records would have been under do().

        Where an action is random the answer is that of `draws` worlds, of levels acted upon too.
        """
        ...
