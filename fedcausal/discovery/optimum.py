"""Where a climb of the order search has ended."""

from dataclasses import dataclass

__all__ = ["Optimum"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimum:
    """A causal order, the parent masks of its DAG, and their score."""

    order: tuple[int, ...]
    parents: tuple[int, ...]
    score: float
