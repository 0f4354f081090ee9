"""Which withheld cells may be shown to be small without showing how small."""

from itertools import product

import numpy as np
from numpy.typing import NDArray

from fedcausal_privacy.statistic_spec import CountTable, IntVector, StatisticSpec

__all__ = ["shown_to_be_small"]

BoolVector = NDArray[np.bool_]

FEWEST_VALUES = 2
"""A count that is shown to be small has at least so many values left."""

PLACES_AT_ONCE = 256
"""Bounds the memory of one comparison of corners."""


def shown_to_be_small(totals: IntVector, withheld: BoolVector, spec: StatisticSpec) -> BoolVector:
    """Mark cells with 0 < total < min_cell whose count stays open to all who see the marks.

    Call zero, 1 to min_cell - 1, and min_cell or more the classes of a count. A quiet move takes
    one record around a box of withheld cells, with alternating signs, such that every corner
    stays in its class: it leads to another table with the same margins, the same released cells
    and the same classes. A withheld small cell is marked if it is the corner of a quiet move in
    each of its tables, so that even someone who knew the class of every cell of the table could
    not compute it. A cell below a withheld margin is never marked: the number of small cells
    would bound the margin.

    Parameters
    ----------
    totals, withheld : arrays, shape (length,)
        The totals, and what suppression withholds of them.
    spec : StatisticSpec

    Returns
    -------
    bool array, shape (length,)

    Notes
    -----
    Assumptions: as for suppression, every table is protected on its own. Privacy: a mark says
    that a count lies between 1 and `min_cell` - 1, which suppression alone lets many readers
    guess. With `min_cell` below 3 that is one value, and nothing is marked.
    """
    marked = np.zeros(len(totals), dtype=bool)
    if spec.min_cell - 1 < FEWEST_VALUES:
        return marked
    for table in spec.tables:
        marked[list(table.cells)] = True
    marked &= withheld & (totals > 0) & (totals < spec.min_cell)
    for guard in spec.guards:
        if withheld[guard.count]:
            marked[list(guard.dependents)] = False
    for table in spec.tables:
        _unmark_closed(marked, totals, withheld, table, spec.min_cell)
    return marked


def _unmark_closed(
    marked: BoolVector,
    totals: IntVector,
    withheld: BoolVector,
    table: CountTable,
    min_cell: int,
) -> None:
    """Take the mark, in place, from the cells that no quiet move of their table leaves open."""
    cells = np.array(table.cells, dtype=np.int64)
    if not marked[cells].any():
        return
    grid = cells.reshape([size for size in table.shape if size > 1] or [1])
    places = np.argwhere(marked[grid])
    is_open = _has_quiet_move(totals[grid], withheld[grid], places, min_cell)
    marked[grid[tuple(places[~is_open].T)]] = False


def _has_quiet_move(
    counts: IntVector, withheld: BoolVector, places: NDArray[np.int64], min_cell: int
) -> BoolVector:
    """Which places are a corner of a box of withheld cells with a quiet move."""
    is_small, is_large = (counts > 0) & (counts < min_cell), counts >= min_cell
    takes = (is_small & (counts < min_cell - 1)) | is_large
    gives = (is_small & (counts > 1)) | (counts > min_cell)
    others, has_move = np.argwhere(withheld), np.zeros(len(places), dtype=bool)
    for start in range(0, len(places), PLACES_AT_ONCE):
        here = places[start : start + PLACES_AT_ONCE]
        at, opposite = np.nonzero((here[:, None] != others[None]).all(axis=2))
        gains, loses = np.ones(len(at), dtype=bool), np.ones(len(at), dtype=bool)
        for pattern in product((False, True), repeat=counts.ndim):
            corner = tuple(np.where(pattern, others[opposite], here[at]).T)
            first, second = (gives, takes) if sum(pattern) % 2 else (takes, gives)
            gains = gains & first[corner]
            loses = loses & second[corner]
            kept = withheld[corner] & (gains | loses)
            at, opposite, gains, loses = (a[kept] for a in (at, opposite, gains, loses))
        has_move[start + at] = True
    return has_move
