"""Where a climb of the order search has ended."""

from dataclasses import dataclass

__all__ = ["IDLE_ROUNDS", "Optimum"]

# Times that every variable is looked at without a gain before a climb ends. Equals are taken at
# random, and the compiled search begins the second round from a random order of the DAG found:
# both look from other orders of the same score, where a move may help again. At 100 variables that
# finds in a sixth of the time what restarts alone find. A third round found nothing more there,
# and cost a sixth.
IDLE_ROUNDS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimum:
    """A causal order, the parent masks of its DAG, and their score."""

    order: tuple[int, ...]
    parents: tuple[int, ...]
    score: float
