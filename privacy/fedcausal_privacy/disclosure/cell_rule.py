"""The cell rule: which entries of a total are withheld so that no small count can be read."""

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from fedcausal_privacy.disclosure.overlapping_tables import protect_overlaps
from fedcausal_privacy.disclosure.partners import protect_table
from fedcausal_privacy.statistic_spec import (
    CountTable,
    Guard,
    IntVector,
    RecordGroups,
    Released,
    StatisticSpec,
)

__all__ = ["apply_cell_rule"]

BoolVector = NDArray[np.bool_]


def apply_cell_rule(totals: IntVector, spec: StatisticSpec) -> Released:
    """Withhold small counts and everything from which they could be computed.

    Entries in `spec.counts` and in `spec.tables` count records, those in `spec.presence` sites.
    Primary suppression withholds a count with 0 < total < min_cell, and a number of sites with
    0 < total < min_present. Complementary suppression then gives every withheld cell of a
    table partners, such that another table with the same margins and the same released cells
    exists (`protect_table`). Guards withhold their dependents. The three are repeated until
    nothing changes. Where tables overlap, more is withheld until all of them together leave every
    small count open (`protect_overlaps`). The result depends on totals and spec only. A group of
    records in the sums (`spec.groups`) that is too small withholds everything.

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
    withheld, marked = _primary(totals, spec), np.zeros(len(totals), dtype=bool)
    for stage in sorted({table.stage for table in spec.tables}) or [0]:
        tables = [table for table in spec.tables if table.stage == stage]
        cells = [np.array(table.cells, dtype=np.int64) for table in tables]
        complete = partial(_complete, totals, withheld, tables, spec.guards, cells, {})
        complete()
        protect_overlaps(totals, withheld, marked, spec, stage, complete)
    shown = np.where(withheld, 0, totals)
    shown[marked] = spec.min_cell - 1
    return Released(totals=shown, withheld=withheld)


def _complete(
    totals: IntVector,
    withheld: BoolVector,
    tables: Sequence[CountTable],
    guards: Sequence[Guard],
    cells: Sequence[IntVector],
    done: dict[int, int],
) -> None:
    """Guards and partners, table by table, in place, until nothing changes.

    `done` has the number of withheld cells that each table was protected with, or nothing; a
    table with as many is protected already.
    """
    num_withheld = -1
    while num_withheld != (num_withheld := int(withheld.sum())):
        for guard in guards:
            if withheld[guard.count]:
                withheld[list(guard.dependents)] = True
        for at, table in enumerate(tables):
            now = int(withheld[cells[at]].sum())
            if done.get(at) != now:
                protect_table(totals, withheld, table)
                done[at] = now


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
