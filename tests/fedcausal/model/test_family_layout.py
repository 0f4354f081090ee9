"""The families' vector: exact sums, and nothing to subtract one from the other."""

import numpy as np
import pytest

from fedcausal.data.table import Table
from fedcausal.model.families import Families, families_request, layouts_of
from fedcausal.schema import Kind
from fedcausal.study import Study
from fedcausal_privacy.secure_sum.oracle import plain_sum

RNG = np.random.default_rng(0)


@pytest.fixture
def study():
    return Study.model_validate(
        {
            "variables": {
                "dose": {"kind": Kind.CONTINUOUS, "bounds": [0, 10]},
                "sex": {"kind": Kind.BINARY},
                "sick": {"kind": Kind.BINARY},
                "weight": {"kind": Kind.CONTINUOUS, "bounds": [0, 200]},
            }
        }
    )


@pytest.fixture
def request_(study):
    edges = [("dose", "sick"), ("sex", "sick"), ("weight", "sick"), ("sex", "weight")]
    return families_request(edges, study.schema().names, {})


@pytest.fixture
def table(study):
    rng = np.random.default_rng(1)
    values = np.column_stack(
        [
            rng.uniform(0, 10, 80),
            rng.integers(0, 2, 80),
            rng.integers(0, 2, 80),
            rng.uniform(40, 120, 80),
        ]
    ).astype(float)
    return Table(study.schema(), values)


def _without(table, row, column):
    values = table.values.copy()
    values[row, table.schema.index(column)] = np.nan
    return Table(table.schema, values)


def _sums(study, request_, table):
    """Per family and column label: the sum and the records behind it."""
    vector = Families().compute(study, request_, table, RNG)
    found = {}
    for layout in layouts_of(study, request_):
        family = layout.family
        labels = [family.basis.label(i) for i in range(family.basis.num_features)]
        labels += [f"{family.node}#{k}" for k in range(family.num_node_columns)]
        for i, label in enumerate(labels):
            sums = (vector[layout.first_sum + i], vector[layout.first_count + i])
            found.setdefault(label, set()).add((int(sums[0]), int(sums[1])))
    return found


def test_one_missing_value_lets_nobody_subtract_two_sums_of_a_column(study, request_, table):
    for column in ("dose", "sex", "weight"):
        found = _sums(study, request_, _without(table, 7, column))
        assert all(len(values) == 1 for values in found.values()), column


def test_a_node_alone_and_in_its_children_has_one_sum(study, request_, table):
    found = _sums(study, request_, _without(table, 7, "sick"))
    (own,) = found["weight"]
    (node,) = found["weight#0"]
    assert own == node


def test_tables_count_the_records_that_have_their_own_variables(study, request_, table):
    gap = _without(table, 7, "weight")
    vector = Families().compute(study, request_, gap, RNG)
    for layout in layouts_of(study, request_):
        for cells, at in layout.table_slices():
            if "weight" not in cells.variables:
                assert vector[at : at + len(cells.cells)].sum() == table.num_rows


def test_products_are_of_complete_records_about_their_own_means(study, request_, table):
    gap = _without(table, 7, "dose")
    kept = gap.take(np.flatnonzero(~np.isnan(gap.values).any(axis=1)))
    vectors = [Families().compute(study, request_, t, RNG) for t in (gap, kept)]
    layout = next(x for x in layouts_of(study, request_) if x.family.node == "sick")
    part = slice(layout.first_product, layout.end)
    np.testing.assert_array_equal(vectors[0][part], vectors[1][part])
    assert vectors[0][layout.start] == vectors[1][layout.start] == table.num_rows - 1


def test_sums_are_additive_over_batches(study, request_, table):
    for layout in layouts_of(study, request_):
        whole = layout.sums_of(table)
        parts = layout.zero()
        for batch in table.batches(size=13):
            parts = parts + layout.sums_of(batch)
        np.testing.assert_array_equal(layout.vector(whole), layout.vector(parts))


def test_a_family_that_one_site_alone_completes_is_withheld(study, request_, table):
    released = [
        plain_sum(
            [Families().compute(study, request_, t, RNG) for t in tables],
            Families().spec(study, request_, 3),
        )
        for tables in ([table] * 3, [table, *[_without_all(table, "dose")] * 2])
    ]
    layout = next(x for x in layouts_of(study, request_) if x.family.node == "sick")
    part = slice(layout.start, layout.end)
    assert not released[0].withheld[part].any()
    assert released[1].withheld[part].all()


def _without_all(table, column):
    values = table.values.copy()
    values[:, table.schema.index(column)] = np.nan
    return Table(table.schema, values)
