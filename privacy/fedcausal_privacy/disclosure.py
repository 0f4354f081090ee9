"""The cell rule: which entries of a total are withheld so that no small count can be read."""

from itertools import product

import numpy as np
from numpy.typing import NDArray

from fedcausal_privacy.small_counts import shown_to_be_small
from fedcausal_privacy.statistic_spec import (
    CountTable,
    IntVector,
    RecordGroups,
    Released,
    StatisticSpec,
)

__all__ = ["apply_cell_rule"]

BoolVector = NDArray[np.bool_]

PLACES_AT_ONCE = 256
"""Bounds the memory of one comparison of corners."""


def apply_cell_rule(totals: IntVector, spec: StatisticSpec) -> Released:
    """Withhold small counts and everything from which they could be computed.

    Entries in `spec.counts` and in `spec.tables` count records, those in `spec.presence` sites.
    Primary suppression withholds a count with 0 < total < min_cell, and a number of sites with
    0 < total < min_present. Complementary suppression then gives every withheld cell of a
    table partners, such that another table with the same margins and the same released cells
    exists (`_protect_table`). Guards withhold their dependents. The three are repeated until
    nothing changes; the result depends on totals and spec only. A group of records in the sums
    (`spec.groups`) that is too small withholds everything.

    Parameters
    ----------
    totals : int64 array, shape (length,)
    spec : StatisticSpec

    Returns
    -------
    Released
        The totals with withheld entries set to zero, and the marks; with `spec.shows_small`,
        withheld cells that may be shown to be small hold `min_cell` - 1.

    Notes
    -----
    Assumptions: the tables declared in the spec are all tables of these counts; an entry that
    equals a table's margin is linked to its row by a guard, because margins count as known.
    Privacy: a rule for exact counts. It says nothing about differences between two studies.
    References: Hundepool et al. (2012), Statistical Disclosure Control, chapter 4;
    doi:10.1002/9781118348239.
    """
    if _has_small_group(totals, spec.groups):
        return Released(totals=np.zeros_like(totals), withheld=np.ones(len(totals), dtype=bool))
    withheld = _primary(totals, spec)
    num_withheld = -1
    while num_withheld != (num_withheld := int(withheld.sum())):
        for guard in spec.guards:
            if withheld[guard.count]:
                withheld[list(guard.dependents)] = True
        for table in spec.tables:
            _protect_table(totals, withheld, table)
    shown = np.where(withheld, 0, totals)
    if spec.shows_small:
        shown[shown_to_be_small(totals, withheld, spec)] = spec.min_cell - 1
    return Released(totals=shown, withheld=withheld)


def _primary(totals: IntVector, spec: StatisticSpec) -> BoolVector:
    cells = [*spec.counts, *(cell for table in spec.tables for cell in table.cells)]
    is_count = np.zeros(spec.length, dtype=bool)
    is_count[cells] = True
    is_presence = np.zeros(spec.length, dtype=bool)
    is_presence[list(spec.presence)] = True
    few = (is_count & (totals < spec.min_cell)) | (is_presence & (totals < spec.min_present))
    if spec.groups is not None:
        few[spec.groups.others] = totals[spec.groups.others] < spec.groups.min_records
    return few & (totals > 0)


def _has_small_group(totals: IntVector, groups: RecordGroups | None) -> bool:
    if groups is None:
        return False
    listed = totals[list(groups.listed)]
    return bool(((listed > 0) & (listed < groups.min_records)).any())


def _protect_table(totals: IntVector, withheld: BoolVector, table: CountTable) -> None:
    """Withhold further cells of one table, in place, until each withheld one has a partner box."""
    cells = np.array(table.cells, dtype=np.int64)
    if not withheld[cells].any():
        return
    grid = cells.reshape([size for size in table.shape if size > 1] or [1])
    if grid.size == 1:
        return
    places = np.argwhere(withheld[grid])
    for place in places[~_has_box(totals[grid], withheld[grid], places)]:
        withheld[_cheapest_box(totals, withheld, grid, tuple(place))] = True


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
    totals: IntVector, withheld: BoolVector, grid: NDArray[np.int64], place: tuple[int, ...]
) -> NDArray[np.int64]:
    """Entries of the best box that has the cell at `place` as a corner.

    A box is given by an opposite corner that differs in every coordinate: a pair in one
    dimension, a rectangle in two. Moving one record around its corners with alternating signs
    keeps all margins, so a table in which that move is possible hides the cell. Preferred, in
    this order: boxes where a move is possible without a negative count (for cells that are not
    zero), fewest newly withheld cells, fewest records in them, the first.
    """
    corners, is_odd = _corners(grid.shape, place)
    box = grid.ravel()[corners]  # (2^dimensions, boxes): indices into the vector
    new, counts = ~withheld[box], totals[box]
    can_move = (counts[~is_odd] > 0).all(axis=0) | (counts[is_odd] > 0).all(axis=0)
    wanted = can_move | (counts[0] <= 0)
    # A zero cell is the last resort: nobody learns less from it, and it hides less.
    num_zeros = (new & (counts == 0)).sum(axis=0)
    num_records = (new * counts).sum(axis=0)
    best = np.lexsort((num_records, num_zeros, new.sum(axis=0), ~wanted))[0]
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
