"""Which totals over different rosters may be released together."""

from collections import Counter
from collections.abc import Iterable, Iterator, Set

import numpy as np

__all__ = ["exposed_sites"]

_MOST_ATOMS = 64


def exposed_sites(rosters: Iterable[Set[str]], *, fewest: int) -> frozenset[str]:
    """Fewer than `fewest` sites whose sum follows from totals over the rosters; empty if none.

    Totals can be added and subtracted with any weights. What follows from them is the span of
    the rosters' indicator vectors, and a combination of few sites is exposed when the span holds
    a vector that is zero everywhere else. Sites that are in the same rosters cannot be told
    apart, so cells of the rosters' Boolean algebra stand for their sites.

    >>> sorted(exposed_sites([{"a", "b", "c", "d"}, {"a", "b", "c"}], fewest=3))
    ['d']
    >>> exposed_sites([{"a", "b", "c"}, {"a", "d", "e"}], fewest=3)
    frozenset()

    Privacy: with more than 64 cells, every cell smaller than `fewest` counts as exposed.
    """
    known = [frozenset(roster) for roster in rosters]
    cells = _cells(known)
    sizes = [len(cell) for cell in cells]
    if len(cells) > _MOST_ATOMS:
        return next((cell for cell in cells if len(cell) < fewest), frozenset())
    span = np.array([[cell <= roster for cell in cells] for roster in known], dtype=float)
    rank = np.linalg.matrix_rank(span) if span.size else 0
    for chosen in _small_unions(sizes, fewest):
        others = [i for i in range(len(cells)) if i not in chosen]
        outside = span[:, others]
        if (np.linalg.matrix_rank(outside) if outside.size else 0) < rank:
            return frozenset().union(*(cells[i] for i in chosen))
    return frozenset()


def _cells(rosters: list[frozenset[str]]) -> list[frozenset[str]]:
    """Sites grouped by the rosters that they are in, in a fixed order."""
    sites = sorted(frozenset().union(*rosters))
    patterns = {site: tuple(site in roster for roster in rosters) for site in sites}
    order = Counter(patterns.values())
    return [frozenset(s for s in sites if patterns[s] == pattern) for pattern in order]


def _small_unions(sizes: list[int], fewest: int) -> Iterator[tuple[int, ...]]:
    """Sets of cells that hold fewer than `fewest` sites together."""

    def grow(start: int, chosen: tuple[int, ...], room: int) -> Iterator[tuple[int, ...]]:
        for i in range(start, len(sizes)):
            if sizes[i] <= room:
                yield (*chosen, i)
                yield from grow(i + 1, (*chosen, i), room - sizes[i])

    yield from grow(0, (), fewest - 1)
