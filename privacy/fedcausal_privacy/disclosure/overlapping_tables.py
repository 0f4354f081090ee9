"""Which further cells are withheld so that overlapping tables give no small count away."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fedcausal_privacy.disclosure.joint_bounds import JointCells, joint_cells, joint_sets
from fedcausal_privacy.disclosure.partners import give_another_partner
from fedcausal_privacy.disclosure.small_counts import shown_to_be_small
from fedcausal_privacy.statistic_spec import CountTable, IntVector, StatisticSpec

__all__ = ["protect_overlaps"]

BoolVector = NDArray[np.bool_]

PATIENT_TURNS, FINER_TURN, NEAR_TURN, LAST_TURN = 8, 10, 12, 13
"""Partners first; then what near tables say of a count; its own and finer tables whole; near
tables whole; all tables of the stage."""

UNKNOWN = 2**36
"""More records than there are: what is known of a withheld count by itself."""


def protect_overlaps(
    totals: IntVector,
    withheld: BoolVector,
    marked: BoolVector,
    spec: StatisticSpec,
    stage: int,
    complete: Callable[[], None],
) -> None:
    """Withhold and mark cells of one stage, in place, until no small count has one value left.

    What an attacker knows of every cell follows from all released cells and marks of this stage
    and those before (`JointCells.determined`). Where a small count has one value, its table gets
    another box of partners; if it has none left, or was released before, a line of the table of
    this stage that shows fewest records about it is withheld. Where that does not help, more is,
    in the end all tables of the stage. Then cells are marked as small (`shown_to_be_small`), and
    the marks of tables near a count that they determine are taken away again.

    Parameters
    ----------
    totals, withheld, marked : arrays, shape (length,)
        Of earlier stages as they were released; `withheld` after suppression table by table.
    complete
        Suppression table by table once more, after further cells were withheld.

    Notes
    -----
    Assumptions: what is examined are the joint tables of `joint_sets`; of more variables than it
    can examine no table is released. The result depends on the
    totals and the spec only.
    """
    audit = _audit(totals, spec, stage) if _has_gaps(withheld, spec, stage) else None
    if audit is not None:
        audit = audit.after_earlier_stages(withheld, marked)
        audit.protect(withheld, marked, complete)
    if not spec.shows_small:
        return
    marks = shown_to_be_small(totals, withheld, _of_stage(spec, stage))
    while audit is not None and marks.any() and (pinned := audit.pinned(withheld, marked | marks)):
        audit.unmark(marks, pinned)
    marked |= marks


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Audit:
    """The small counts of some tables, and what is known of them together."""

    totals: IntVector
    spec: StatisticSpec
    tables: tuple[CountTable, ...]
    stage: int
    cells: JointCells
    before: tuple[int, ...] = ()

    def after_earlier_stages(self, withheld: BoolVector, marked: BoolVector) -> "_Audit":
        """Leave out the cells that are known without this stage: it cannot help them."""
        if self.stage == 0:
            return self
        hidden = withheld.copy()
        for table in self._new_tables():
            hidden[list(table.cells)] = True
        lows, highs = self._bounds(hidden, marked)
        return replace(
            self, before=tuple(np.flatnonzero((lows == highs)[: len(self.totals)]).tolist())
        )

    def protect(
        self, withheld: BoolVector, marked: BoolVector, complete: Callable[[], None]
    ) -> None:
        """Withhold more, in place, until nothing is pinned or nothing of the stage is left."""
        for turn in range(LAST_TURN + 1):
            pinned = self.pinned(withheld, marked)
            if not pinned:
                return
            if turn < PATIENT_TURNS:
                self._widen(withheld, pinned)
            else:
                self._hide(withheld, pinned, turn)
            complete()

    def pinned(self, withheld: BoolVector, marked: BoolVector) -> list[tuple[CountTable, int]]:
        """Small counts of which one value is left, with their tables; the finest first."""
        lows, highs = self._bounds(withheld, marked)
        asked = withheld & (self.totals > 0) & (self.totals < self.spec.min_cell)
        asked[list(self.before)] = False
        known = asked & (lows == highs)[: len(asked)]
        if not known.any():
            known = asked & self.cells.fixed_by_equations(highs > lows)[: len(asked)]
        return [
            (table, table.cells[at])
            for table in sorted(self.tables, key=lambda t: (-len(t.cells), t.axes))
            for at in np.flatnonzero(known[list(table.cells)]).tolist()
        ]

    def _bounds(self, withheld: BoolVector, marked: BoolVector) -> tuple[IntVector, IntVector]:
        low = np.where(withheld, np.where(marked, 1, 0), self.totals)
        most = np.where(marked, self.spec.min_cell - 1, UNKNOWN)
        return self.cells.bounds(low, np.where(withheld, most, self.totals))

    def _widen(self, withheld: BoolVector, pinned: list[tuple[CountTable, int]]) -> None:
        """Withhold the least around counts far from each other, in place; others wait."""
        done = list[CountTable]()
        for table, cell in pinned:
            if any(_is_near(table, other) for other in done):
                continue
            done.append(table)
            is_new = table.stage == self.stage
            if is_new and give_another_partner(self.totals, withheld, table, cell):
                continue
            lines = [line[~withheld[line]] for line in self._lines(table, cell)]
            shown = [line for line in lines if self.totals[line].any()]
            if shown:
                withheld[min(shown, key=lambda line: int(self.totals[line].sum()))] = True

    def _hide(self, withheld: BoolVector, pinned: list[tuple[CountTable, int]], turn: int) -> None:
        """Withhold much around all counts, in place: the later, the more."""
        for table, cell in pinned:
            for line in self._lines(table, cell):
                withheld[line] = True
            for other in self._new_tables():
                is_around = turn >= NEAR_TURN and _is_near(table, other)
                is_finer = turn >= FINER_TURN and set(table.axes) <= set(other.axes)
                if turn == LAST_TURN or is_around or is_finer:
                    withheld[list(other.cells)] = True

    def unmark(self, marks: BoolVector, pinned: list[tuple[CountTable, int]]) -> None:
        """Take the marks of the stage near some tables away, in place; all where that is none."""
        num_marks = int(marks.sum())
        for table in self._new_tables():
            if any(_is_near(table, other) for other, _ in pinned):
                marks[list(table.cells)] = False
        if int(marks.sum()) == num_marks:
            marks[:] = False

    def _lines(self, table: CountTable, cell: int) -> Iterator[NDArray[np.int64]]:
        """What each near table of the stage says about the records of a cell."""
        where = np.unravel_index(table.cells.index(cell), table.shape)
        level = dict(zip(table.axes, (int(i) for i in where), strict=True))
        for other in self._new_tables():
            if other.axes != table.axes and _is_near(table, other):
                at = tuple(level.get(axis, slice(None)) for axis in other.axes)
                yield np.array(other.cells).reshape(other.shape)[at].ravel()

    def _new_tables(self) -> Iterator[CountTable]:
        return (table for table in self.tables if table.stage == self.stage)


def _audit(totals: IntVector, spec: StatisticSpec, stage: int) -> _Audit:
    tables = tuple(t for t in spec.tables if t.axes and t.stage <= stage)
    occurring = _occurring(totals, tables)
    cells = joint_cells(spec.length, spec.counts[0], occurring, joint_sets(occurring))
    return _Audit(totals=totals, spec=spec, tables=tables, stage=stage, cells=cells)


def _occurring(totals: IntVector, tables: Sequence[CountTable]) -> list[CountTable]:
    """The tables without levels that no record has, so that these do not change the outcome.

    A request has a level for missing values until the first tables show that there are none.
    """
    levels = {t.axes[0]: np.flatnonzero(totals[list(t.cells)]) for t in tables if len(t.axes) == 1}
    found = list[CountTable]()
    for table in tables:
        cells = np.array(table.cells).reshape(table.shape)[
            np.ix_(*(levels[a] for a in table.axes))
        ]
        found.append(replace(table, cells=tuple(cells.ravel().tolist()), shape=cells.shape))
    return found


def _has_gaps(withheld: BoolVector, spec: StatisticSpec, stage: int) -> bool:
    """Whether anything is withheld of the stage, or of an earlier one, which it may show."""
    return any(t.axes and t.stage <= stage and withheld[list(t.cells)].any() for t in spec.tables)


def _of_stage(spec: StatisticSpec, stage: int) -> StatisticSpec:
    return replace(spec, tables=tuple(t for t in spec.tables if t.stage == stage))


def _is_near(table: CountTable, other: CountTable) -> bool:
    """Whether two tables have all variables but one of the smaller in common, one at least."""
    shared = len(set(table.axes) & set(other.axes))
    return shared >= max(min(len(table.axes), len(other.axes)) - 1, 1)
