"""Specifications: valid or non-existent, and the same digest on both sides of a wire."""

import json
from dataclasses import replace

import numpy as np
import pytest

from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.statistic_spec import CountTable, Guard, Released, StatisticSpec

SPEC = StatisticSpec(
    name="s",
    length=6,
    bound=10,
    min_cell=5,
    counts=(0,),
    tables=(CountTable(cells=(0, 1, 2, 3), shape=(2, 2)),),
    guards=(Guard(count=0, dependents=(4, 5)),),
)


NAMED = CountTable(cells=(0, 1, 2, 3), shape=(2, 2), axes=(0, 2), stage=1)


def test_json_there_and_back_keeps_value_and_digest():
    named = replace(SPEC, tables=(NAMED,))
    for spec in (SPEC, replace(SPEC, limbs=1), replace(SPEC, tables=(), guards=()), named):
        back = StatisticSpec.from_json(json.loads(json.dumps(spec.to_json())))
        assert back == spec
        assert back.digest() == spec.digest()


@pytest.mark.parametrize(
    "change",
    [
        {"name": "t"},
        {"length": 7},
        {"bound": 11},
        {"limbs": 1},
        {"min_cell": 4},
        {"counts": (1,)},
        {"tables": ()},
        {"tables": (NAMED,)},
        {"tables": (replace(NAMED, stage=0),)},
        {"guards": ()},
    ],
)
def test_every_entry_changes_the_digest(change):
    assert replace(SPEC, **change).digest() != SPEC.digest()


@pytest.mark.parametrize(
    "change",
    [
        {"length": 0},
        {"bound": -1},
        {"counts": (6,)},
        {"counts": (-1,)},
        {"guards": (Guard(count=9, dependents=()),)},
        {"guards": (Guard(count=0, dependents=(6,)),)},
        {"tables": (CountTable(cells=(6,), shape=(1,)),)},
    ],
)
def test_an_invalid_specification_cannot_exist(change):
    with pytest.raises(ProtocolError):
        replace(SPEC, **change)


def test_a_table_has_as_many_cells_as_its_shape():
    with pytest.raises(ProtocolError, match="shape"):
        CountTable(cells=(0, 1, 2), shape=(2, 2))


@pytest.mark.parametrize("axes", [(0,), (2, 0), (1, 1)])
def test_a_table_has_ascending_axes_as_many_as_its_shape(axes):
    with pytest.raises(ProtocolError, match="has not the axes"):
        CountTable(cells=(0, 1, 2, 3), shape=(2, 2), axes=axes)


@pytest.mark.parametrize(
    "change",
    [{"length": "6"}, {"bound": True}, {"counts": None}, {"tables": [1]}, {"guards": [{}]}],
)
def test_other_json_is_refused(change):
    with pytest.raises(ProtocolError, match="cannot be read"):
        StatisticSpec.from_json({**SPEC.to_json(), **change})


@pytest.mark.parametrize(("limbs", "bits"), [(1, 31), (2, 63)])
def test_the_range_is_proved_up_to_its_last_bit(limbs, bits):
    bound = (2**bits - 1) // 3
    replace(SPEC, limbs=limbs, bound=bound).check_range(3)
    with pytest.raises(ProtocolError, match=f"{bits} bits"):
        replace(SPEC, limbs=limbs, bound=bound + 1).check_range(3)


def test_released_totals_are_read_only_and_marked_entry_by_entry():
    released = Released(totals=np.arange(2), withheld=np.array([True, False]))
    with pytest.raises(ValueError, match="read-only"):
        released.totals[0] = 1
    with pytest.raises(ProtocolError, match="shape"):
        Released(totals=np.arange(2), withheld=np.array([True]))


def test_noise_that_is_divided_among_sites_needs_all_of_them():
    spec = StatisticSpec(name="s", length=1, bound=1, min_summands=4)
    assert StatisticSpec.from_json(spec.to_json()) == spec
    assert spec.digest() != StatisticSpec(name="s", length=1, bound=1).digest()
    spec.check_summands(4)
    with pytest.raises(ProtocolError, match="divided among 4 sites, and a total of 3"):
        spec.check_summands(3)
