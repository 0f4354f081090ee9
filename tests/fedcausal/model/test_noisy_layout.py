import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcausal.data.table import Table
from fedcausal.errors import DataError
from fedcausal.model.family_basis import family_of_degree
from fedcausal.model.noisy_layout import GRID, noisy_family_layouts, reach
from fedcausal.study import Study

STUDY = Study.model_validate(
    {
        "variables": {
            "a": {"kind": "continuous", "bounds": [-4, 4]},
            "b": {"kind": "continuous", "bounds": [-4, 4]},
            "k": {"kind": "categorical", "categories": ["r", "s", "t"]},
            "y": {"kind": "continuous", "bounds": [-6, 6]},
        }
    }
)
SCHEMA = STUDY.schema()
SCALES = {"a": (0.0, 0.12), "b": (0.1, 0.05), "k": (0.5, 0.3, 0.2), "y": (0.0, 0.2)}
FAMILIES = [
    family_of_degree(SCHEMA, node, parents, ranges={}, degree=degree)
    for node, parents, degree in (
        ("a", [], 1),
        ("b", ["a"], 3),
        ("k", ["a", "b"], 2),
        ("y", ["a", "b", "k"], 2),
    )
]
LAYOUTS = {
    missing: noisy_family_layouts(FAMILIES, SCALES, frozenset(missing))
    for missing in ("", "a", "ab", "abky")
}


def rows(num_rows, seed=0):
    rng = np.random.default_rng(seed)
    a = rng.normal(size=num_rows)
    b = 0.5 * a + rng.normal(size=num_rows)
    k = rng.integers(0, 3, num_rows)
    y = a - b + k + rng.normal(size=num_rows)
    values = np.column_stack([a, b, k, y])
    values[:, [0, 1, 3]] = values[:, [0, 1, 3]].clip(-4, 4)
    return values


def length_of_one(values, layouts):
    """The norm of the mechanism's vector: all products of a record, in units of the noise."""
    table, squares = Table(SCHEMA, np.array([values], dtype=float)), []
    for one in layouts:
        squares.append(np.square(one.sums(table) / one.deviations).sum())
    return math.sqrt(sum(squares))


# Every family's deviations are the sensitivity of all together in units of its weights, so the
# vector over the deviations has a sensitivity of 1. Values beyond the bounds cannot be read;
# `None` is missing.
ENDS = {"a": 4.0, "b": 4.0, "y": 6.0}
RECORDS = st.tuples(
    *[
        st.one_of(
            st.none(),
            st.sampled_from([-ENDS[n], ENDS[n], 0.0]) if n in ENDS else st.sampled_from([0, 1, 2]),
            st.floats(-ENDS[n], ENDS[n]) if n in ENDS else st.sampled_from([0, 1, 2]),
        )
        for n in ("a", "b", "k", "y")
    ]
)


@given(RECORDS, st.sampled_from(sorted(LAYOUTS)))
@settings(derandomize=True, max_examples=300, deadline=None)
def test_one_record_moves_the_release_by_no_more_than_the_sensitivity(record, missing):
    """Corners, inner points, and any pattern of missing values."""
    values = [math.nan if v is None else v for v in record]
    assert length_of_one(values, LAYOUTS[missing]) <= 1.0


def test_the_sensitivity_is_nearly_reached():
    """Where a row is as long as the ball and the node at its limit."""
    (alone,) = noisy_family_layouts(FAMILIES[:1], SCALES, frozenset())
    assert length_of_one([4.0, 0.0, 0.0, 0.0], [alone]) > 0.99
    (pair,) = noisy_family_layouts(FAMILIES[1:2], SCALES, frozenset())
    lengths = [length_of_one([a, -4.0, 0.0, 0.0], [pair]) for a in np.linspace(-4, 4, 201)]
    assert max(lengths) > 0.98


def test_sums_add_up_over_batches():
    values = rows(500)
    values[::7, 1] = math.nan
    for one in LAYOUTS["ab"]:
        parts = [one.sums(Table(SCHEMA, part)) for part in (values[:200], values[200:])]
        assert np.array_equal(sum(parts), one.sums(Table(SCHEMA, values)))
        assert len(parts[0]) == one.end - one.start


def test_a_record_with_a_missing_value():
    """A flagged parent leaves the record in, any other, and the node, leave it out."""
    values = rows(50)
    values[:10, 1] = math.nan

    def counts(missing):
        table = Table(SCHEMA, values)
        return {one.family.node: one.sums(table)[0] / GRID**2 for one in LAYOUTS[missing]}

    assert counts("")["a"] == counts("ab")["a"] == 50
    assert counts("")["y"] <= 40
    assert counts("ab")["b"] <= 40
    assert counts("")["y"] < counts("ab")["y"] <= 50


def test_a_missing_parent_counts_as_its_nominal_mean_and_is_flagged():
    *_, layout = LAYOUTS["ab"]
    assert layout.patterns == (frozenset("a"), frozenset("b"), frozenset("ab"))
    columns = {"a": np.array([math.nan]), "b": np.array([1.0]), "k": np.array([1.0])}
    design = layout.design({**columns, "y": np.zeros(1)})[0]
    assert design[: layout.lead].tolist() == [1.0, 1.0, 0.0, 1.0]
    needs_a = np.array(["a" in pattern for pattern in layout.feature_patterns])
    assert np.all(design[layout.lead :][needs_a] == 0.0)
    assert np.any(design[layout.lead :][~needs_a] != 0.0)


def test_weights_depend_on_the_parents_alone():
    """Else the slopes of shortened rows would be bent."""
    *_, layout = LAYOUTS[""]
    values = np.array([[3.9, -3.9, 1, y] for y in (-5.0, 0.0, 5.0)])
    counts = [layout.sums(Table(SCHEMA, row[None]))[0] for row in values]
    assert counts[0] == counts[1] == counts[2] < GRID**2


def test_larger_families_get_more_of_the_budget():
    ratios = [one.deviation / reach(one.nominal) for one in LAYOUTS[""]]
    reaches = [reach(one.nominal) for one in LAYOUTS[""]]
    assert np.all(np.diff(np.array(ratios)[np.argsort(reaches)]) <= 0)


def test_a_number_outside_its_bounds():
    with pytest.raises(DataError, match=r"a: 1 rows lie outside"):
        LAYOUTS[""][1].sums(Table(SCHEMA, np.array([[9.0, 0.0, 0.0, 0.0]])))
