import numpy as np
import pytest

from fedcausal.data.table import Table
from fedcausal.errors import ProtocolError
from fedcausal.model.families import (
    Families,
    families_request,
    is_centred,
    layouts_of,
    requested_families,
)
from fedcausal.model.family_basis import UNIT
from fedcausal.model.family_layout import centre, family_layouts
from fedcausal.statistics.kind import Request
from fedcausal.study import Study

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def request_(mixed_study, mixed_edges):
    return families_request(mixed_edges, mixed_study.schema().names, {})


@pytest.fixture(scope="module")
def pooled_study(mixed_study):
    content = mixed_study.to_json() | {"discovery": {"site_effects": "pool"}}
    return Study.model_validate(content)


@pytest.mark.parametrize("num_parts", [1, 2, 7])
def test_pooled_sums_do_not_depend_on_the_partition(
    pooled_study, mixed_sites, request_, num_parts
):
    rows = Table.concatenate(mixed_sites)
    whole = Families().compute(pooled_study, request_, rows, RNG)
    shuffled = rows.take(np.random.default_rng(1).permutation(rows.num_rows))
    parts = np.array_split(np.arange(rows.num_rows), num_parts)
    total = sum(
        Families().compute(pooled_study, request_, shuffled.take(part), RNG) for part in parts
    )
    np.testing.assert_array_equal(whole, total)


def test_products_equal_numpy_on_the_rows(mixed_study, mixed_sites, request_):
    table = mixed_sites[0]
    vector = Families().compute(mixed_study, request_, table, RNG)
    columns = {name: table.column(name) for name in table.schema.names}
    for layout in layouts_of(mixed_study, request_):
        family = layout.family
        assert vector[layout.start] == table.num_rows
        own = (
            (columns[family.node][:, None] == np.arange(family.num_levels)).astype(float)
            if family.num_levels
            else (columns[family.node] - sum(family.range) / 2)[:, None]
            * (2 / (family.range[1] - family.range[0]))
        )
        features = [own] if not family.basis.parents else [family.basis.evaluate(columns), own]
        values = np.concatenate(features, axis=1)
        products = vector[layout.first_product : layout.end] / UNIT**2
        centred = values - values.mean(axis=0)
        expected = (centred.T @ centred)[np.triu_indices(family.num_columns)]
        np.testing.assert_allclose(products, expected, atol=1e-3)


def test_incomplete_records_are_left_out(mixed_study, mixed_sites, request_):
    values = mixed_sites[0].values.copy()
    names = mixed_study.schema().names
    values[:100, names.index("drug")] = np.nan
    table = Table(mixed_study.schema(), values)
    vector = Families().compute(mixed_study, request_, table, RNG)
    for layout in layouts_of(mixed_study, request_):
        expected = 1400 if "drug" in layout.family.members else 1500
        assert vector[layout.start] == expected


@pytest.mark.parametrize("num_rows", [0, 1])
def test_a_site_with_no_or_one_record(mixed_study, mixed_sites, request_, num_rows):
    table = mixed_sites[0].take(np.arange(num_rows))
    vector = Families().compute(mixed_study, request_, table, RNG)
    layouts = layouts_of(mixed_study, request_)
    for layout in layouts:
        assert vector[layout.start] == num_rows
        assert not vector[layout.first_product : layout.end].any()


def test_centring_is_exact_to_half_a_unit():
    rng = np.random.default_rng(0)
    q = rng.integers(-UNIT, UNIT, (5000, 3))
    exact = centre(q.T @ q, q.sum(axis=0), len(q), (UNIT, UNIT, UNIT))
    centred = (q - q.mean(axis=0)).astype(np.longdouble)
    assert np.abs(exact - centred.T @ centred).max() <= 1.0


def test_cells_are_complete_tables_that_sum_to_the_records(mixed_study, mixed_sites, request_):
    vector = Families().compute(mixed_study, request_, mixed_sites[0], RNG)
    spec = Families().spec(mixed_study, request_, 3)
    assert spec.tables
    for table in spec.tables:
        assert vector[list(table.cells)].sum() == mixed_sites[0].num_rows


def test_a_guard_covers_every_number_over_the_records_of_its_cell(mixed_study, request_):
    families = requested_families(mixed_study, request_)
    layouts = family_layouts(families, is_centred=False)
    layout = next(x for x in layouts if x.family.node == "status")
    by_count = {g.count: g.dependents for g in layout.guards()}
    assert set(by_count[layout.start]) == set(range(layout.first_cell, layout.end))
    cell = next(
        at + table.cells.index((1, 1))
        for table, at in layout.table_slices()
        if table.variables == ("drug", "status")
    )
    labels = [layout.family.basis.label(i) for i in range(layout.family.basis.num_features)]
    rows, columns = np.triu_indices(layout.family.num_columns)
    drug, dead = labels.index("drug=1"), layout.family.num_columns - 1
    entry = layout.first_product + int(np.flatnonzero((rows == drug) & (columns == dead))[0])
    assert entry in by_count[cell]


def test_width_is_that_of_the_widest_family(mixed_study, request_):
    widths = [f.width for f in requested_families(mixed_study, request_)]
    assert Families().width(mixed_study, request_) == max(widths)


def test_every_site_effect_but_pool_is_centred(mixed_study, pooled_study):
    assert is_centred(mixed_study)
    assert not is_centred(pooled_study)


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"edges": "ab"},
        {"edges": [["age"]]},
        {"edges": [["age", "nobody"]]},
        {"edges": [], "nodes": ["nobody"]},
        {"edges": [], "nodes": 3},
        {"edges": [], "nodes": []},
        {"edges": [], "ranges": [1]},
        {"edges": [], "ranges": {"age": [1]}},
        {"edges": [], "ranges": {"age": [2, 1]}},
        {"edges": [], "ranges": {"age": ["a", "b"]}},
    ],
)
def test_malformed_requests_are_refused(mixed_study, parameters):
    request = Request(kind="families", parameters=parameters)
    with pytest.raises(ProtocolError, match="families: "):
        requested_families(mixed_study, request)


def test_about_the_sites_means_a_rare_pair_costs_only_its_own_column(mixed_study, request_):
    layout = next(x for x in layouts_of(mixed_study, request_) if x.family.node == "status")
    basis = layout.family.basis
    labels = [basis.label(i) for i in range(basis.num_features)]
    rows, columns = np.triu_indices(layout.family.num_columns)
    drug, dead = labels.index("drug=1"), layout.family.num_columns - 1
    entry = layout.first_product + int(np.flatnonzero((rows == drug) & (columns == dead))[0])
    guarding = {g.count for g in layout.guards() if entry in g.dependents}
    single = {
        at + offset
        for table, at in layout.table_slices()
        if len(table.variables) == 1
        for offset, cell in enumerate(table.cells)
        if (table.variables[0], *cell) in {("drug", 1), ("status", 1)}
    }
    assert guarding == {layout.start, *layout.presence, *single}
