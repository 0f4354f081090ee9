"""Contingency tables as a statistic: exact totals, the cell rule, and its consistency."""

import numpy as np
import pytest

from fedcausal.data.table import Table
from fedcausal.errors import DataError, InputError, ProtocolError
from fedcausal.statistics import tables_kind
from fedcausal.statistics.kind import Request
from fedcausal.statistics.tables_kind import (
    TablesKind,
    num_cells,
    requests_before,
    tables_release,
    tables_request,
)
from fedcausal.study import Study
from fedcausal.study_file.sections import PartPrivacy
from fedcausal_privacy.secure_sum.in_process import sum_securely
from fedcausal_privacy.secure_sum.oracle import plain_sum
from fedcausal_privacy.statistic_spec import Released

KIND, RNG = TablesKind(), np.random.default_rng(0)
STUDY = Study.model_validate(
    {
        "variables": {
            "a": {"kind": "binary"},
            "b": {"kind": "categorical", "categories": ["x", "y", "z"]},
            "c": {"kind": "ordinal", "categories": ["low", "mid", "high"]},
            "n": {"kind": "continuous", "bounds": [0, 1]},
        }
    }
)


def rows(num_rows, seed=0, missing=0.0):
    rng = np.random.default_rng(seed)
    values = np.column_stack(
        [
            rng.integers(0, 2, num_rows),
            rng.choice(3, num_rows, p=[0.6, 0.37, 0.03]),
            rng.choice(3, num_rows, p=[0.5, 0.4, 0.1]),
            rng.random(num_rows),
        ]
    ).astype(float)
    values[rng.random(num_rows) < missing, 2] = np.nan
    return Table(STUDY.schema(), values)


def released(request, sites):
    spec = KIND.spec(STUDY, request, max(len(sites), 3))
    return plain_sum([KIND.compute(STUDY, request, site, RNG) for site in sites], spec)


def test_tables_and_margins_are_the_counts_of_the_rows():
    table = rows(4000)
    request = tables_request([["a", "b"], ["a", "b", "c"]])
    found = tables_release(STUDY, request, released(request, [table]))
    counts, withheld = found.table((1, 0))
    expected = np.zeros((2, 3), dtype=int)
    np.add.at(expected, (table.column("a").astype(int), table.column("b").astype(int)), 1)
    np.testing.assert_array_equal(counts[~withheld], expected[~withheld])
    assert found.table(())[0] == 4000
    np.testing.assert_array_equal(found.table((0,))[0], expected.sum(axis=1))


@pytest.mark.parametrize("num_sites", [1, 3, 7])
def test_the_release_does_not_depend_on_the_split(num_sites):
    whole = rows(900, missing=0.1)
    request = tables_request([["a", "b", "c"]], missing=["c"])
    owner = np.random.default_rng(5).integers(0, num_sites, 900)
    split = released(request, [whole.take(owner == k) for k in range(num_sites)])
    one = released(request, [whole])
    np.testing.assert_array_equal(split.totals, one.totals)
    np.testing.assert_array_equal(split.withheld, one.withheld)


def test_a_secure_sum_releases_the_same():
    request = tables_request([["a", "b"]])
    sites = {name: rows(200, seed) for seed, name in enumerate("xyz")}
    spec = KIND.spec(STUDY, request, 3)
    vectors = {n: KIND.compute(STUDY, request, site, RNG) for n, site in sites.items()}
    secure, plain = sum_securely(vectors, spec), plain_sum(list(vectors.values()), spec)
    np.testing.assert_array_equal(secure.totals, plain.totals)
    np.testing.assert_array_equal(secure.withheld, plain.withheld)


def test_small_cells_are_withheld_with_partners_and_all_finer_cells():
    request = tables_request([["a", "b", "c"]])
    found = tables_release(STUDY, request, released(request, [rows(120)]))
    for places, (counts, withheld) in found.tables.items():
        assert not ((counts > 0) & (counts < 5) & ~withheld).any()
        for axis in range(len(places)):
            margin = found.table(places[:axis] + places[axis + 1 :])[1]
            gaps = withheld.sum(axis=axis)
            assert (gaps[margin] == withheld.shape[axis]).all()
            # One gap under a released margin could be filled by subtraction.
            assert not (gaps[~margin] == 1).any()
    assert any(withheld.any() for _, withheld in found.tables.values())


def test_a_table_is_withheld_alike_in_every_round():
    table = rows(150)
    alone, among = tables_request([["a", "b"]]), tables_request([["a", "b", "c"], ["b", "c"]])
    first = tables_release(STUDY, alone, released(alone, [table])).table((0, 1))
    second = tables_release(STUDY, among, released(among, [table])).table((0, 1))
    np.testing.assert_array_equal(first[1], second[1])
    np.testing.assert_array_equal(first[0], second[0])


def test_missing_values_are_a_level_where_they_were_announced():
    table = rows(500, missing=0.2)
    request = tables_request([["a", "c"]], missing=["c"])
    counts, _ = tables_release(STUDY, request, released(request, [table])).table((2,))
    assert counts[-1] == np.isnan(table.column("c")).sum()
    with pytest.raises(DataError, match="c: it had no missing values"):
        KIND.compute(STUDY, tables_request([["a", "c"]]), table, RNG)


def test_too_large_requests_are_refused(monkeypatch):
    request = tables_request([["a", "b", "c"]])
    monkeypatch.setattr(tables_kind, "MAX_ROUND_CELLS", 40)
    with pytest.raises(InputError, match=r"have \d+ cells, at most 40"):
        KIND.spec(STUDY, request, 3)
    monkeypatch.setattr(tables_kind, "MAX_TABLE_CELLS", 10)
    with pytest.raises(InputError, match="a table of 18 cells"):
        KIND.spec(STUDY, request, 3)


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"sets": []},
        {"sets": [["a", "q"]]},
        {"sets": "ab"},
        {"sets": [["a"]], "missing": 1},
        {"sets": [["a"]], "missing": ["q"]},
        {"sets": [["a"]], "before": 1},
        {"sets": [["a"]], "before": [["a"]]},
        {"sets": [["a"]], "before": [{"sets": []}]},
        {"sets": [["a"]], "before": [{"sets": [["q"]]}]},
    ],
)
def test_malformed_requests_are_refused(parameters):
    with pytest.raises(ProtocolError):
        KIND.spec(STUDY, Request(kind="tables", parameters=parameters), 3)


def test_a_request_names_those_before_it_and_shows_their_tables_as_they_were():
    first = tables_request([["a", "b"]], missing=["c"])
    second = tables_request([["a", "c"]], before=[first])
    third = tables_request([["b", "c"]], before=[first, second])
    assert requests_before(third) == (first, second)
    assert requests_before(first) == ()
    table = rows(150)
    for request in (first, second):
        one = tables_release(STUDY, request, released(request, [table]))
        last = tables_release(STUDY, third, released(third, [table]))
        for places, (counts, withheld) in one.tables.items():
            inside = tuple(map(slice, last.table(places)[0].shape))
            np.testing.assert_array_equal(withheld[inside], last.table(places)[1])
            np.testing.assert_array_equal(counts[inside], last.table(places)[0])
    assert (1, 2) in last.tables


def test_too_many_variables_to_examine_are_refused(monkeypatch):
    monkeypatch.setattr(tables_kind, "MAX_JOINT_CELLS", 5)
    with pytest.raises(InputError, match="tables of 3 variables say together"):
        KIND.spec(STUDY, tables_request([["a", "b", "c"]]), 3)


def test_a_number_has_no_table():
    with pytest.raises(InputError, match="'n' has no levels"):
        KIND.spec(STUDY, tables_request([["a", "n"]]), 3)


def test_a_release_of_another_length_and_too_many_rows_are_refused():
    request = tables_request([["a", "b"]])
    wrong = Released(totals=np.zeros(2, dtype=np.int64), withheld=np.zeros(2, dtype=bool))
    with pytest.raises(ProtocolError, match="expected 12 counts, got 2"):
        tables_release(STUDY, request, wrong)
    content = STUDY.to_json()
    content["privacy"] = {"max_rows": 10}
    with pytest.raises(DataError, match="at most 10 rows"):
        KIND.compute(Study.model_validate(content), request, rows(20), RNG)


def test_cells_are_counted_with_their_margins_once():
    assert num_cells([2, 3, 4], [(0, 1), (1, 2)]) == 1 + 2 + 3 + 4 + 6 + 12
    assert KIND.width(STUDY, tables_request([["a", "b"]])) == 0


def test_under_a_graph_epsilon_tables_are_refused():
    private = STUDY.privacy.model_copy(update={"graph": PartPrivacy(epsilon=1.0)})
    noisy = STUDY.model_copy(update={"privacy": private})
    with pytest.raises(InputError, match=r'write tests = "gram" under privacy\.graph'):
        KIND.spec(noisy, tables_request([["a", "b"]]), 3)
