"""Honest vectors and totals keep every public bound; each kind of nonsense breaks one."""

from dataclasses import replace

import numpy as np
import pytest

from fedcausal.data.table import Table
from fedcausal.errors import DataError
from fedcausal.model.families import Families, families_request
from fedcausal.robust.bounds import broken_bound, check_totals
from fedcausal.statistics.derive import derive_spec
from fedcausal.statistics.gram_kind import basis_of
from fedcausal.statistics.gram_layout import CentredLayout
from fedcausal.study import Study
from fedcausal_privacy.statistic_spec import Released
from tests.fedcausal.robust.conftest import REQUESTS


@pytest.fixture
def layout(study):
    return CentredLayout(basis_of(study, REQUESTS[0]))


def test_honest_sites_and_their_total_keep_all_bounds(study, specs, sent):
    vectors = sent().values()
    for request, spec in zip(REQUESTS, specs, strict=True):
        for own in vectors:
            assert broken_bound(study, request, spec, own[spec.name]) == ""
        total = sum(own[spec.name] for own in vectors)
        assert broken_bound(study, request, spec, total, num_sites=10) == ""


def test_each_kind_of_nonsense_is_named(study, specs, sent, layout):
    true, spec = sent()["s0"][specs[0].name], specs[0]

    def words(entries, value):
        vector = true.copy()
        vector[entries] = value
        return broken_bound(study, REQUESTS[0], spec, vector)

    assert "negative" in words(0, -3)
    assert "above 5000 (privacy.max_rows)" in words(0, 5001)
    assert "number of sites" in words(layout.sites[0, 0], 7)
    assert "larger than the study's bounds" in words(layout.products[0, 1], spec.bound + 1)
    assert "a sum of the Gram is more" in words(layout.sums[0], 2**40)
    assert "sum of squares of the Gram is negative" in words(layout.products[0, 0], -(2**40))
    assert "sum of squares of the Gram is more" in words(layout.products[0, 0], 2**50)
    large = true[layout.products[0, 0]] + true[layout.products[1, 1]]
    assert "product of the Gram is more" in words(layout.products[0, 1], large)


def test_products_of_no_data_are_named_in_families_too(study, specs, sent, layout):
    vector = sent()["s0"][specs[0].name].copy()
    roots = np.sqrt(np.diag(vector[layout.products]).astype(float))
    for (i, j), r in {(0, 1): 0.9, (1, 2): 0.9, (0, 2): -0.9}.items():
        vector[layout.products[i, j]] = int(r * roots[i] * roots[j])
    assert "those of no data" in broken_bound(study, REQUESTS[0], specs[0], vector)
    family = -sent()["s0"][specs[1].name]
    assert "negative" in broken_bound(study, REQUESTS[1], specs[1], family)


def released(vector, withheld=()):
    marks = np.zeros(len(vector), dtype=bool)
    marks[list(withheld)] = True
    return Released(totals=vector, withheld=marks)


def test_a_total_that_no_rows_give_stops_the_study_and_names_the_way_out(study, sent):
    (gram, _), vectors = REQUESTS, sent().values()
    total = sum(own[gram.id()] for own in vectors)
    check_totals(study, [gram], {gram.id(): released(total)}, 10)
    with pytest.raises(DataError, match=r"gram is none that rows can give.*\[federation\] robust"):
        check_totals(study, [gram], {gram.id(): released(-total)}, 10)


def test_noise_and_withheld_entries_are_no_lie(study, sent):
    (gram, _), vectors = REQUESTS, sent().values()
    total = sum(own[gram.id()] for own in vectors)
    changed = total.copy()
    changed[-1] = -5
    check_totals(study, [gram], {gram.id(): released(changed, [0])}, 10)
    noisy = study.model_validate(
        {
            **{k: v for k, v in study.to_json().items() if k != "federation"},
            "privacy": {"graph": {"epsilon": 1.0}},
        }
    )
    check_totals(noisy, [gram], {gram.id(): released(-total)}, 10)
    short = derive_spec(study, gram, 10)
    assert broken_bound(study, gram, replace(short, bound=0), total) != ""


@pytest.mark.parametrize(("first", "last", "number"), [(-0.99, -0.9, 16), (-0.98, -0.95, 6)])
def test_splines_of_skewed_counts_that_are_nearly_one_column_are_data(first, last, number):
    """Knots close to one end: squares so small that their rounding is what counts."""
    variables = {
        "falls": {"kind": "continuous", "bounds": [0, 80]},
        "visits": {"kind": "continuous", "bounds": [0, 400]},
    }
    honest = Study.model_validate({"variables": variables})
    knots = {"falls": tuple(float(k) for k in np.linspace(first, last, number))}
    request = families_request([("falls", "visits")], ["falls", "visits"], {}, knots)
    rng, total = np.random.default_rng(0), 0
    for _ in range(3):
        falls = rng.poisson(1.6, 2000) * 1.0
        rows = Table(honest.schema(), np.column_stack([falls, 2 * falls]))
        total = total + Families().compute(honest, request, rows, rng)
    spec = Families().spec(honest, request, 3)
    assert broken_bound(honest, request, spec, total, num_sites=3) == ""
