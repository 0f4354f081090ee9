"""What is withheld further where tables overlap; tests/attacks has the linear programmes."""

from dataclasses import replace

import numpy as np
import pytest

from fedcausal_privacy.disclosure import joint_bounds, overlapping_tables
from fedcausal_privacy.disclosure.cell_rule import apply_cell_rule
from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.statistic_spec import CountTable, Guard, StatisticSpec

SHAPE = (2, 3, 2)
SETS = [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2)]


def spec_of(shape, sets=SETS, stages=(), shows_small=True):
    """All tables of some sets of variables, with guards from every margin."""
    starts, at, tables, guards = {(): 0}, 1, [], []
    for axes in sets:
        size = [shape[v] for v in axes]
        starts[axes], number = at, int(np.prod(size))
        cells = np.arange(at, at + number).reshape(size)
        stage = dict(stages).get(axes, 0)
        tables.append(
            CountTable(
                cells=tuple(cells.ravel().tolist()), shape=tuple(size), axes=axes, stage=stage
            )
        )
        for axis in range(len(axes)):
            margin = starts[axes[:axis] + axes[axis + 1 :]]
            finer = np.moveaxis(cells, axis, -1).reshape(-1, size[axis])
            guards += [
                Guard(count=margin + k, dependents=tuple(row.tolist()))
                for k, row in enumerate(finer)
            ]
        at += number
    return StatisticSpec(
        name="t",
        length=at,
        bound=10**6,
        min_cell=5,
        counts=(0,),
        tables=tuple(tables),
        guards=tuple(guards),
        shows_small=shows_small,
    )


def totals_of(joint, spec):
    totals = np.full(spec.length, joint.sum())
    for table in spec.tables:
        others = tuple(v for v in range(joint.ndim) if v not in table.axes)
        totals[list(table.cells)] = joint.sum(axis=others).ravel()
    return totals


def grouped():
    """Variable 2 is whether variable 1 has its last level; one count of (0, 1) is small."""
    joint = np.zeros(SHAPE, dtype=np.int64)
    joint[0, :, 0], joint[1, :, 0] = [20, 30, 0], [4, 20, 0]
    joint[:, 2, 1] = [9, 6]
    return joint


def test_a_count_that_a_group_gives_away_gets_a_partner_within_its_group(monkeypatch):
    spec = spec_of(SHAPE)
    totals = totals_of(grouped(), spec)
    cells = np.array(spec.tables[3].cells).reshape(2, 3)
    after = apply_cell_rule(totals, spec).withheld
    monkeypatch.setattr(overlapping_tables, "_has_gaps", lambda *_: False)
    alone = apply_cell_rule(totals, spec).withheld
    assert alone[cells[:, [0, 2]]].all()
    assert not alone[cells[:, 1]].any()
    assert after[cells].all()
    assert not after[list(spec.tables[4].cells)].any()


def test_tables_without_axes_are_as_they_were():
    spec = spec_of(SHAPE)
    plain = replace(spec, tables=tuple(replace(t, axes=()) for t in spec.tables))
    totals = totals_of(grouped(), spec)
    cells = np.array(spec.tables[3].cells).reshape(2, 3)
    assert not apply_cell_rule(totals, plain).withheld[cells[:, 1]].any()


@pytest.mark.parametrize("late", [(0, 1), (0, 2)])
def test_an_earlier_stage_is_withheld_as_if_it_were_alone(late):
    sets = [axes for axes in SETS if axes != late]
    first, second = spec_of(SHAPE, sets), spec_of(SHAPE, [*sets, late], [(late, 1)])
    joint = grouped()
    one = apply_cell_rule(totals_of(joint, first), first)
    two = apply_cell_rule(totals_of(joint, second), second)
    np.testing.assert_array_equal(one.withheld, two.withheld[: first.length])
    np.testing.assert_array_equal(one.totals, two.totals[: first.length])
    # The table of variables 0 and 2 gives the small count of 0 and 1 away: the later one yields.
    assert two.withheld[list(second.tables[-1].cells)].any()


def test_a_level_for_missing_values_that_nobody_has_changes_nothing():
    shape = (2, 4, 3)
    wide = np.zeros(shape, dtype=np.int64)
    wide[:, :3, :2] = grouped()
    spec, padded = spec_of(SHAPE), spec_of(shape)
    one = apply_cell_rule(totals_of(grouped(), spec), spec)
    two = apply_cell_rule(totals_of(wide, padded), padded)
    for narrow, broad in zip(spec.tables, padded.tables, strict=True):
        kept = np.array(broad.cells).reshape(broad.shape)[tuple(map(slice, narrow.shape))].ravel()
        np.testing.assert_array_equal(one.withheld[list(narrow.cells)], two.withheld[kept])
        np.testing.assert_array_equal(one.totals[list(narrow.cells)], two.totals[kept])


def test_marks_that_would_determine_a_count_are_taken_away():
    rng = np.random.default_rng(3)
    for _ in range(30):
        joint = np.zeros(SHAPE, dtype=np.int64)
        joint[:, :2, 0] = rng.poisson(6, (2, 2))
        joint[:, 2, 1] = rng.poisson(6, 2)
        spec = spec_of(SHAPE)
        totals = totals_of(joint, spec)
        if totals[0] < 10:
            continue
        shown = apply_cell_rule(totals, spec)
        cells = joint_bounds.joint_cells(
            spec.length, 0, spec.tables, joint_bounds.joint_sets(spec.tables)
        )
        marked = shown.withheld & (shown.totals > 0)
        low = np.where(shown.withheld, np.where(marked, 1, 0), totals)
        high = np.where(shown.withheld, np.where(marked, 4, 10**6), totals)
        lows, highs = cells.bounds(low, high)
        occurs = shown.withheld & (totals > 0) & (totals < 5)
        assert (lows[: spec.length] < highs[: spec.length])[occurs].all()


def test_what_cannot_be_examined_is_not_released(monkeypatch):
    monkeypatch.setattr(joint_bounds, "MAX_JOINT_CELLS", 3)
    spec = spec_of(SHAPE)
    with pytest.raises(ProtocolError, match="too many variables"):
        apply_cell_rule(totals_of(grouped(), spec), spec)
