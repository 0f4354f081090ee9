"""The cell rule: which entries of a total are withheld so that no small count can be read."""

from itertools import product

import numpy as np
from numpy.typing import NDArray

from fedcausal_privacy.statistic_spec import CountTable, IntVector, Released, StatisticSpec

__all__ = ["apply_cell_rule"]

BoolVector = NDArray[np.bool_]


def apply_cell_rule(totals: IntVector, spec: StatisticSpec) -> Released:
    """Withhold small counts and everything from which they could be computed.

    Entries in `spec.counts` and in `spec.tables` count records. Primary suppression withholds a
    count with 0 < total < min_cell. Complementary suppression then gives every withheld cell of a
    table partners, such that another table with the same margins and the same released cells
    exists (`_protect_table`). Guards withhold their dependents. The three are repeated until
    nothing changes; the result depends on totals and spec only.

    Parameters
    ----------
    totals : int64 array, shape (length,)
    spec : StatisticSpec

    Returns
    -------
    Released
        The totals with withheld entries set to zero, and the marks.

    Notes
    -----
    Assumptions: the tables declared in the spec are all tables of these counts; an entry that
    equals a table's margin is linked to its row by a guard, because margins count as known.
    Privacy: a rule for exact counts. It says nothing about differences between two studies.
    References: Hundepool et al. (2012), Statistical Disclosure Control, chapter 4;
    doi:10.1002/9781118348239.
    """
    withheld = _primary(totals, spec)
    num_withheld = -1
    while num_withheld != (num_withheld := int(withheld.sum())):
        for guard in spec.guards:
            if withheld[guard.count]:
                withheld[list(guard.dependents)] = True
        for table in spec.tables:
            _protect_table(totals, withheld, table)
    return Released(totals=np.where(withheld, 0, totals), withheld=withheld)


def _primary(totals: IntVector, spec: StatisticSpec) -> BoolVector:
    cells = [*spec.counts, *(cell for table in spec.tables for cell in table.cells)]
    is_count = np.zeros(spec.length, dtype=bool)
    is_count[cells] = True
    return is_count & (totals > 0) & (totals < spec.min_cell)


def _protect_table(totals: IntVector, withheld: BoolVector, table: CountTable) -> None:
    """Withhold further cells of one table, in place, until each withheld one has a partner box."""
    cells = np.array(table.cells, dtype=np.int64)
    if not withheld[cells].any():
        return
    grid = cells.reshape([size for size in table.shape if size > 1] or [1])
    if grid.size == 1:
        return
    for place in np.argwhere(withheld[grid]):
        withheld[_cheapest_box(totals, withheld, grid, tuple(place))] = True


def _cheapest_box(
    totals: IntVector, withheld: BoolVector, grid: NDArray[np.int64], place: tuple[int, ...]
) -> NDArray[np.int64]:
    """Entries of the best box that has the cell at `place` as a corner.

    A box is given by an opposite corner that differs in every coordinate: a pair in one
    dimension, a rectangle in two. Moving one record around its corners with alternating signs
    keeps all margins, so a table in which that move is possible hides the cell. Preferred, in
    this order: boxes where a move is possible without a negative count (for cells that are not
    zero), fewest newly withheld cells, fewest records in them, the first.
    """
    opposite = [[i for i in range(n) if i != at] for n, at in zip(grid.shape, place, strict=True)]
    corners, even = [], []
    for pattern in product((False, True), repeat=grid.ndim):
        axes = [o if far else [at] for far, o, at in zip(pattern, opposite, place, strict=True)]
        corners.append(np.broadcast_to(grid[np.ix_(*axes)], [len(o) for o in opposite]).ravel())
        even.append(sum(pattern) % 2 == 0)
    box = np.stack(corners)  # (2^dimensions, boxes): indices into the vector
    new, counts, parity = ~withheld[box], totals[box], np.array(even)
    can_move = (counts[parity] > 0).all(axis=0) | (counts[~parity] > 0).all(axis=0)
    wanted = can_move | (counts[0] <= 0)
    # A zero cell is the last resort: nobody learns less from it, and it hides less.
    num_zeros = (new & (counts == 0)).sum(axis=0)
    num_records = (new * counts).sum(axis=0)
    best = np.lexsort((num_records, num_zeros, new.sum(axis=0), ~wanted))[0]
    return box[:, best]
