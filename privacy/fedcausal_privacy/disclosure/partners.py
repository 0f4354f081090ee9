"""Complementary suppression in one table: partners that leave a withheld cell open."""

from itertools import product

import numpy as np
from numpy.typing import NDArray

from fedcausal_privacy.statistic_spec import CountTable, IntVector

__all__ = ["give_another_partner", "protect_table"]

BoolVector = NDArray[np.bool_]

PLACES_AT_ONCE = 256
"""Bounds the memory of one comparison of corners."""


def protect_table(totals: IntVector, withheld: BoolVector, table: CountTable) -> None:
    """Withhold further cells of one table, in place, until each withheld one has a partner box.

    A box is given by two opposite corners that differ in every coordinate: a pair in one
    dimension, a rectangle in two. Moving one record around its corners with alternating signs
    keeps all margins, so a table in which that move is possible hides the cell.
    """
    grid = _grid(totals, table)
    if grid.size == 1 or not withheld[grid].any():
        return
    places = np.argwhere(withheld[grid])
    for place in places[~_has_box(totals[grid], withheld[grid], places)]:
        withheld[_cheapest_box(totals, withheld, grid, tuple(place))] = True


def give_another_partner(
    totals: IntVector, withheld: BoolVector, table: CountTable, cell: int
) -> bool:
    """Withhold the best box of a cell that takes along a shown count, in place; whether one does.

    For a cell whose boxes are open in its table and closed by others. Counts of zero do not help.
    """
    grid = _grid(totals, table)
    place = np.argwhere(grid == cell)
    if grid.size == 1 or len(place) == 0:
        return False
    box = _cheapest_box(totals, withheld, grid, tuple(place[0]), is_new=True)
    is_helped = bool((~withheld[box] & (totals[box] > 0)).any())
    if is_helped:
        withheld[box] = True
    return is_helped


def _grid(totals: IntVector, table: CountTable) -> NDArray[np.int64]:
    """The table's entries without axes of one level.

    Where tables overlap, without levels that do not occur either: these hide nothing, and whether
    a request has a level for missing values must not change what is withheld.
    """
    grid = np.array(table.cells, dtype=np.int64).reshape(table.shape)
    if table.axes:
        for axis in range(grid.ndim):
            others = tuple(a for a in range(grid.ndim) if a != axis)
            occurs = (totals[grid] > 0).any(axis=others)
            grid = np.compress(occurs, grid, axis=axis) if occurs.any() else grid
    return grid.reshape([size for size in grid.shape if size > 1] or [grid.size])


def _has_box(counts: IntVector, withheld: BoolVector, places: NDArray[np.int64]) -> BoolVector:
    """Which places are a corner of a box that is withheld already and allows a move.

    For these `_cheapest_box` finds a box without a new cell. Pairs of opposite corners are
    examined together, a few places at a time.
    """
    has_box = np.zeros(len(places), dtype=bool)
    for start in range(0, len(places), PLACES_AT_ONCE):
        here = places[start : start + PLACES_AT_ONCE]
        at, opposite = np.nonzero((here[:, None] != places[None]).all(axis=2))
        even_move = np.ones(len(at), dtype=bool)
        odd_move = even_move.copy()
        for pattern in product((False, True), repeat=counts.ndim):
            corner = tuple(np.where(pattern, places[opposite], here[at]).T)
            kept = withheld[corner]
            moves = odd_move if sum(pattern) % 2 else even_move
            moves &= counts[corner] > 0
            at, opposite, even_move, odd_move = (
                a[kept] for a in (at, opposite, even_move, odd_move)
            )
        is_wanted = even_move | odd_move | (counts[tuple(here[at].T)] <= 0)
        has_box[start + at[is_wanted]] = True
    return has_box


def _cheapest_box(
    totals: IntVector,
    withheld: BoolVector,
    grid: NDArray[np.int64],
    place: tuple[int, ...],
    *,
    is_new: bool = False,
) -> NDArray[np.int64]:
    """Entries of the best box that has the cell at `place` as a corner.

    Preferred, in this order: with `is_new` boxes with a count that is shown so far; boxes where a
    move is possible without a negative count (for cells that are not zero); fewest newly withheld
    cells; fewest records in them; the first.
    """
    corners, is_odd = _corners(grid.shape, place)
    box = grid.ravel()[corners]  # (2^dimensions, boxes): indices into the vector
    new, counts = ~withheld[box], totals[box]
    can_move = (counts[~is_odd] > 0).all(axis=0) | (counts[is_odd] > 0).all(axis=0)
    wanted = can_move | (counts[0] <= 0)
    # A zero cell is the last resort: nobody learns less from it, and it hides less.
    num_zeros = (new & (counts == 0)).sum(axis=0)
    num_records = (new * counts).sum(axis=0)
    late = ~(new & (counts > 0)).any(axis=0) if is_new else np.zeros(len(wanted), dtype=bool)
    best = np.lexsort((num_records, num_zeros, new.sum(axis=0), ~wanted, late))[0]
    return box[:, best]


def _corners(
    shape: tuple[int, ...], place: tuple[int, ...]
) -> tuple[NDArray[np.int64], BoolVector]:
    """Flat places of the corners of every box at `place`, and which corners are odd.

    (2^dimensions, boxes), the place itself first; and (2^dimensions,). Built axis by axis: an
    index grid per corner takes ten times as long, and this runs for every cell without partner.
    """
    corners, is_odd = np.zeros((1, 1), dtype=np.int64), np.zeros(1, dtype=bool)
    for size, at in zip(shape, place, strict=True):
        others = np.delete(np.arange(size), at)
        near = np.repeat(corners * size + at, len(others), axis=1)
        far = (corners[:, :, None] * size + others).reshape(near.shape)
        corners, is_odd = np.concatenate([near, far]), np.concatenate([is_odd, ~is_odd])
    return corners, is_odd
