"""What several overlapping tables say together: bounds of every cell of their joint tables."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb, prod

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import lsmr

from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.statistic_spec import CountTable, IntVector

__all__ = ["MAX_JOINT_CELLS", "JointCells", "joint_cells", "joint_sets", "num_joint_cells"]

MAX_JOINT_CELLS = 2**23
"""Cells of all joint tables of three variables: half a gigabyte, and seconds of work a turn."""

WHOLE_CELLS = 2**16
"""Joint tables of more and more variables are examined while all of them have fewer cells."""

UNION_CELLS = 2**18
"""Unions of two released tables are examined while they have fewer cells, smaller ones first."""

MAX_TURNS = 200
"""Bounds that still move then are valid, and wider than they need be; a dozen turns are usual."""

EQUATION_CELLS = 2**15
"""Equations are solved of no more cells; beyond it they take longer than the whole search."""

MAX_STEPS = 500
"""Of the solver for the equations; a few dozen are usual."""

STANDS_STILL = 1e-6
"""A cell that moves less does not move; the vector has numbers of the size of 1."""

Axes = tuple[int, ...]
Indices = NDArray[np.int32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class JointCells:
    """Cells of released tables and of joint tables that nobody saw, and the sums that tie them.

    Entries of the released vector come first. Each sum is (cells of a margin, for each of them
    the cells that add up to it).
    """

    num_cells: int
    sums: tuple[tuple[Indices, Indices], ...]

    def bounds(self, low: IntVector, high: IntVector) -> tuple[IntVector, IntVector]:
        r"""The least and largest count of every cell, by all sums together.

        The generalised shuttle algorithm: in every sum :math:`p = \sum_i c_i`, the margin lies
        between the sums of the bounds of its cells, and a cell between what the margin's bounds
        leave beside the other cells; repeated until nothing moves. Counts are whole and not
        negative, so are their bounds.

        Parameters
        ----------
        low, high : int64 arrays, shape (length,)
            What is known of each released entry by itself; equal where it is shown.

        References
        ----------
        Buzzigoli and Giusti (1999), An algorithm to calculate the lower and upper bounds of the
        elements of an array given its marginals. Dobra and Fienberg (2000), Bounds for cell
        entries in contingency tables given marginal totals and decomposable graphs,
        doi:10.1073/pnas.97.22.11885. The bounds are sharp where the margins are those of a
        decomposable model, elsewhere a linear programme can be narrower.
        """
        lows, highs = np.zeros(self.num_cells, np.int64), np.full(self.num_cells, high.max())
        lows[: len(low)], highs[: len(high)] = low, high
        for _ in range(MAX_TURNS):
            before = int(highs.sum() - lows.sum())
            for margin, cells in self.sums:
                self._tighten(lows, highs, margin, cells)
            if int(highs.sum() - lows.sum()) == before:
                break
        return lows, highs

    def fixed_by_equations(self, free: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Cells whose count no change of the free ones that keeps all sums can move.

        What bounds miss: cells that close a ring of sums. A vector without pattern, less its part
        in the space of the sums' rows, is a change that keeps all sums and, but for a set of
        measure zero, moves whatever can be moved. Of more than `EQUATION_CELLS` only cells that
        are not free are found.
        """
        if self.num_cells > EQUATION_CELLS:
            return ~free
        column = np.cumsum(free) - 1
        rows, cells, signs, at = list[Indices](), list[Indices](), list[NDArray[np.float64]](), 0
        for margin, summed in self.sums:
            row = np.arange(at, at + len(margin), dtype=np.int32)
            rows += [np.repeat(row, summed.shape[1]), row]
            cells += [summed.ravel(), margin]
            signs += [np.ones(summed.size), -np.ones(len(margin))]
            at += len(margin)
        cell = np.concatenate(cells)
        kept = free[cell]
        where = (np.concatenate(rows)[kept], column[cell[kept]])
        shape = (at, int(free.sum()))
        sums = csr_matrix((np.concatenate(signs)[kept], where), shape=shape)
        sums = sums[np.diff(sums.indptr) > 0]
        start = np.sin(np.arange(1.0, shape[1] + 1.0) ** 2)
        within = lsmr(sums.T.tocsr(), start, atol=1e-10, btol=1e-10, maxiter=MAX_STEPS)[0]
        change = start - sums.T @ within
        error = float(np.abs(sums @ change).max(initial=0.0))
        fixed = ~free
        fixed[free] = np.abs(change) < max(STANDS_STILL, 10.0 * error)
        return fixed

    @staticmethod
    def _tighten(lows: IntVector, highs: IntVector, margin: Indices, cells: Indices) -> None:
        """One sum of many margins, in place; a cell is in the sum of one of these margins only."""
        low, high = lows[cells], highs[cells]
        least, most = low.sum(axis=1), high.sum(axis=1)
        np.maximum.at(lows, margin, least)
        np.minimum.at(highs, margin, most)
        highs[cells] = np.minimum(high, low + (highs[margin] - least)[:, None])
        lows[cells] = np.maximum(low, high + (lows[margin] - most)[:, None])


def joint_sets(tables: Sequence[CountTable]) -> tuple[Axes, ...]:
    """The sets of variables whose joint tables are examined.

    All sets of two and three variables; larger ones while all sets of that size fit; unions of
    two released tables that have all but one variable in common, and all their subsets.

    Raises
    ------
    ProtocolError
        When the sets of three variables are too many (`num_joint_cells`).
    """
    sizes = {v: n for t in tables for v, n in zip(t.axes, t.shape, strict=True)}
    if num_joint_cells(list(sizes.values())) > MAX_JOINT_CELLS:
        raise ProtocolError("tables of too many variables to examine what they say together")
    found = {t.axes for t in tables} | {
        axes for number in (2, 3) for axes in combinations(sorted(sizes), number)
    }
    for number in range(4, len(sizes) + 1):
        if comb(len(sizes), number) > WHOLE_CELLS:
            break
        more = found | set(combinations(sorted(sizes), number))
        if _num_cells(more, sizes) > WHOLE_CELLS:
            break
        found = more
    room = UNION_CELLS - _num_cells(found, sizes)
    for union in _unions({t.axes for t in tables}, sizes):
        new = _subsets(union) - found
        if new and (room := room - _num_cells(new, sizes)) < 0:
            break
        found |= new
    return tuple(sorted(found, key=lambda axes: (len(axes), axes)))


def num_joint_cells(sizes: Sequence[int]) -> int:
    """Cells of the joint tables of all triples of variables, by their numbers of levels.

    >>> num_joint_cells([2, 3, 4, 1])
    50
    """
    one = sum(sizes)
    two = sum(size**2 for size in sizes)
    three = sum(size**3 for size in sizes)
    return (one**3 - 3 * one * two + 2 * three) // 6


def joint_cells(
    length: int, total: int, tables: Sequence[CountTable], sets: Iterable[Axes]
) -> JointCells:
    """Number the cells of joint tables behind a vector, and list the sums that tie them.

    Parameters
    ----------
    length
        Of the vector.
    total
        Its entry that counts all records.
    tables
        With axes; all margins of each are among them.
    sets
        Of two and more variables; all subsets of each with two and more are among them.
    """
    sizes = {v: n for t in tables for v, n in zip(t.axes, t.shape, strict=True)}
    places = {t.axes: np.array(t.cells, dtype=np.int32).reshape(t.shape) for t in tables}
    places[()] = np.array(total, dtype=np.int32)
    at = length
    for axes in sets:
        if axes not in places:
            shape = [sizes[v] for v in axes]
            places[axes] = np.arange(at, at + prod(shape), dtype=np.int32).reshape(shape)
            at += prod(shape)
    found = defaultdict[tuple[int, int], list[tuple[Indices, Indices]]](list)
    for axes, cells in places.items():
        for axis in range(len(axes)):
            size = cells.shape[axis]
            margin = places[axes[:axis] + axes[axis + 1 :]].ravel()
            found[axis, size].append((margin, np.moveaxis(cells, axis, -1).reshape(-1, size)))
    sums = tuple(
        (np.concatenate([m for m, _ in group]), np.concatenate([c for _, c in group]))
        for group in found.values()
    )
    return JointCells(num_cells=at, sums=sums)


def _unions(tables: set[Axes], sizes: dict[int, int]) -> list[Axes]:
    """Unions of two tables that differ in one variable each, those with fewer cells first."""
    beside = defaultdict[Axes, list[int]](list)
    for axes in tables:
        for i in range(len(axes)):
            beside[axes[:i] + axes[i + 1 :]].append(axes[i])
    unions = {
        tuple(sorted((*shared, *two)))
        for shared, others in beside.items()
        if len(shared) > 1
        for two in combinations(sorted(others), 2)
    }
    return sorted(unions, key=lambda axes: (prod(sizes[v] for v in axes), axes))


def _subsets(axes: Axes) -> set[Axes]:
    return {part for size in range(2, len(axes) + 1) for part in combinations(axes, size)}


def _num_cells(sets: Iterable[Axes], sizes: dict[int, int]) -> int:
    return sum(prod(sizes[v] for v in axes) for axes in sets)
