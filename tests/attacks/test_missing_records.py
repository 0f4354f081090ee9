"""Subtracting a sum over complete records from one over all: what one incomplete one gives away.

Every attack is made twice: on sums over all records, where it succeeds (in `pool` mode the value
itself is read, in `center` its distance from the mean of its site, of a category the level), and
on what a run releases, where records that lack what few lack are left out of every sum
(`fedcausal.statistics.records`, decision 0043).
"""

import numpy as np
import pandas as pd
import pytest

from fedcausal.data.sources import read_source
from fedcausal.data.table import Table
from fedcausal.model.families import Families, families_request
from fedcausal.moments.basis import UNIT
from fedcausal.moments.scatter import SCATTER_UNIT, STANDARD_UNIT
from fedcausal.statistics.derive import derive_spec
from fedcausal.statistics.gram_kind import GramKind, basis_of, gram_request
from fedcausal.statistics.gram_layout import CentredLayout, PooledLayout
from fedcausal.statistics.patterns_kind import (
    PatternsKind,
    candidate_patterns,
    common_patterns,
    patterns_request,
)
from fedcausal.statistics.records import kept_records, with_counts, with_list
from fedcausal.study import Study
from fedcausal_privacy.secure_sum.oracle import plain_sum

HIGHEST_AGE = 128.0
AGE, DOSE = 0, 1
NUM_RUNS = 20


def total_of(study, request, kind, sites, *, is_defended, patterns=None):
    """What leaves the secure sum: over all records, or over those of the agreed patterns."""
    rng = np.random.default_rng(0)
    if not is_defended:
        vectors = [kind.compute(study, request, site, rng) for site in sites]
        return plain_sum(vectors, kind.spec(study, request, len(sites)))
    if patterns is None:
        patterns = agreed_patterns(study, sites)
    request = request if patterns is None else with_list(request, patterns)
    vectors = []
    for site in sites:
        kept = kept_records(study, request, site)
        vectors.append(with_counts(kind.compute(study, request, kept, rng), study, request, kept))
    return plain_sum(vectors, derive_spec(study, request, len(sites)))


def agreed_patterns(study, sites):
    """The first round of a run: which patterns of missing values are common."""
    request = patterns_request(candidate_patterns(study, None))
    vectors = [PatternsKind().compute(study, request, site, None) for site in sites]
    total = plain_sum(vectors, derive_spec(study, request, len(sites)))
    return common_patterns(study, request, total)


def released(effects, seed, *, is_defended=False):
    """(layout, released total, the record's age, its site's mean age); it lacks its dose."""
    study = Study.model_validate(
        {
            "variables": {
                "age": {"kind": "continuous", "bounds": [0, HIGHEST_AGE]},
                "dose": {"kind": "continuous", "bounds": [0, 16]},
            },
            "discovery": {"site_effects": effects},
        }
    )
    request, kind, rng = gram_request(), GramKind(), np.random.default_rng(seed)
    tables = [
        pd.DataFrame({"age": rng.uniform(20, 90, 60), "dose": rng.uniform(0, 16, 60)})
        for _ in range(3)
    ]
    tables[0].loc[17, "dose"] = np.nan
    sites = [read_source(rows, study.schema(), site="s") for rows in tables]
    total = total_of(study, request, kind, sites, is_defended=is_defended)
    layout = (PooledLayout if effects == "pool" else CentredLayout)(basis_of(study, request))
    return layout, total.totals, tables[0].loc[17, "age"], tables[0]["age"].mean()


def in_years(number):
    """A share of the public range, from -1/2 to 1/2, as an age."""
    return (number + 0.5) * HIGHEST_AGE


def test_in_pool_mode_one_incomplete_record_is_read_exactly():
    for seed in range(NUM_RUNS):
        layout, totals, age, _ = released("pool", seed)
        missing = totals[layout.counts[AGE, AGE]] - totals[layout.counts[AGE, DOSE]]
        difference = totals[layout.values[AGE, AGE]] - totals[layout.values[AGE, DOSE]]
        assert missing == 1
        assert in_years(difference / UNIT) == pytest.approx(age, abs=1e-3)


@pytest.mark.parametrize("effects", ["pool", "center", "standardize"])
def test_defended_there_is_nothing_to_subtract(effects):
    """The record is in no sum: sums of a column are the same whatever they are taken with."""
    for seed in range(NUM_RUNS):
        layout, totals, _, _ = released(effects, seed, is_defended=True)
        assert totals[layout.counts[AGE, AGE]] == totals[layout.counts[AGE, DOSE]] == 179
        assert totals[layout.squares[AGE, AGE]] == totals[layout.squares[AGE, DOSE]]
        if effects == "pool":
            assert totals[layout.values[AGE, AGE]] == totals[layout.values[AGE, DOSE]]


def test_in_center_mode_its_distance_from_the_sites_mean_is_read():
    """To a hundredth; the value itself as well as the mean of all sites stands for the site's."""
    errors, blind = [], []
    for seed in range(NUM_RUNS):
        layout, totals, age, mean = released("center", seed)
        lost = totals[layout.squares[AGE, AGE]] - totals[layout.squares[AGE, DOSE]]
        distance = np.sqrt(lost / SCATTER_UNIT) * HIGHEST_AGE
        assert distance == pytest.approx(abs(age - mean), rel=0.01)
        middle = in_years(totals[layout.sums[AGE]] / totals[layout.observed[AGE]] / UNIT)
        errors.append(min(abs(middle + distance - age), abs(middle - distance - age)))
        blind.append(abs(middle - age))
    assert np.mean(errors) < 2.0
    assert np.mean(blind) > 10.0


def test_in_standardize_mode_the_difference_is_the_number_of_records():
    for seed in range(NUM_RUNS):
        layout, totals, _, _ = released("standardize", seed)
        lost = totals[layout.squares[AGE, AGE]] - totals[layout.squares[AGE, DOSE]]
        assert lost == STANDARD_UNIT
        assert layout.sums.shape == (2,)


@pytest.mark.parametrize("effects", ["center", "standardize"])
def test_of_a_category_the_level_is_read(effects):
    """The squares of a level's indicator differ by (x - share)^2; indicators keep their scale."""
    unit = STANDARD_UNIT if effects == "standardize" else SCATTER_UNIT
    shares, stages = np.array([0.5, 0.3, 0.2]), ["i", "ii", "iii"]
    study = Study.model_validate(
        {
            "variables": {
                "dose": {"kind": "continuous", "bounds": [0, 16]},
                "stage": {"kind": "categorical", "categories": stages},
            },
            "discovery": {"site_effects": effects},
        }
    )
    request, kind = gram_request(), GramKind()
    layout, num_right = CentredLayout(basis_of(study, request)), 0
    for seed in range(NUM_RUNS):
        rng = np.random.default_rng(seed)
        tables = [
            pd.DataFrame(
                {"dose": rng.uniform(0, 16, 60), "stage": rng.choice(stages, 60, p=shares)}
            )
            for _ in range(3)
        ]
        tables[0].loc[17, "dose"] = np.nan
        sites = [read_source(rows, study.schema(), site="s") for rows in tables]
        total = total_of(study, request, kind, sites, is_defended=False).totals
        defended = total_of(study, request, kind, sites, is_defended=True).totals
        assert np.ptp(defended[layout.squares[layout.blocks[1]]], axis=1).max() == 0
        squares = total[layout.squares[layout.blocks[1]]] / unit
        expected = np.square(np.eye(3) - shares)
        misfits = np.square(expected - (squares[:, 1] - squares[:, 0])).sum(axis=1)
        num_right += stages[int(misfits.argmin())] == tables[0].loc[17, "stage"]
    assert num_right >= 0.9 * NUM_RUNS


THREE = Study.model_validate(
    {
        "variables": {
            name: {"kind": "continuous", "bounds": [0, HIGHEST_AGE]} for name in ("a", "b", "x")
        },
        "discovery": {"site_effects": "pool"},
    }
)
LACKS_A, LACKS_B, COMPLETE = 1, 2, 0


def three_sites(lacking, seed=0):
    """Three sites of 40 records; of the first, so many records lack what a pattern says."""
    rng = np.random.default_rng(seed)
    rows = [rng.uniform(20, 90, (40, 3)) for _ in range(3)]
    start = 0
    for pattern, number in lacking.items():
        for place in range(3):
            if pattern >> place & 1:
                rows[0][start : start + number, place] = np.nan
        start += number
    return [Table(THREE.schema(), part) for part in rows]


def pooled_sum(sites, **options):
    """(sums of x over the records that have each variable, whether all is withheld)."""
    total = total_of(THREE, gram_request(), GramKind(), sites, **options)
    layout = PooledLayout(basis_of(THREE, gram_request()))
    return total.totals[layout.values[2]] / UNIT, total.withheld.all()


def test_counts_of_pairs_are_not_enough():
    """Nobody lacks a alone but one, and nobody b alone but one: yet no count of a pair is small.

    Of 40 records 20 lack a and b, and one lacks a alone: the sums of x with a and with b differ
    by that one, although 21 lack a, and 20 lack b.
    """
    lacking = {LACKS_A | LACKS_B: 20, LACKS_A: 1}
    sites = three_sites(lacking)
    sums, _ = pooled_sum(sites, is_defended=False)
    record = in_years(sums[1] - sums[0])
    assert record == pytest.approx(sites[0].values[20, 2], abs=1e-3)
    sums, _ = pooled_sum(sites, is_defended=True)
    assert sums[1] == sums[0]
    assert agreed_patterns(THREE, sites) == (COMPLETE, LACKS_A | LACKS_B)


def test_a_coordinator_that_lists_a_rare_pattern_gets_nothing():
    """All of the vector is withheld, whatever else it holds."""
    sites = three_sites({LACKS_A: 1, LACKS_B: 8})
    for patterns in ((COMPLETE, LACKS_A), (COMPLETE, LACKS_A, LACKS_B)):
        sums, is_withheld = pooled_sum(sites, is_defended=True, patterns=patterns)
        assert is_withheld
        assert not sums.any()


def test_two_lists_differ_by_whole_patterns():
    """With a list and without: the difference is the sum over all eight that lack b alone."""
    sites = three_sites({LACKS_B: 8})
    first, _ = pooled_sum(sites, is_defended=True, patterns=(COMPLETE, LACKS_B))
    second, _ = pooled_sum(sites, is_defended=True, patterns=(COMPLETE,))
    eight = sites[0].values[:8, 2] / HIGHEST_AGE - 0.5
    assert first[2] - second[2] == pytest.approx(eight.sum(), abs=1e-4)


@pytest.mark.parametrize("is_defended", [False, True])
def test_the_families_of_a_graph_are_no_way_around(is_defended):
    """Records of the family of a and its cause x, less those that the Gram has of x."""
    sites = three_sites({LACKS_A: 1})
    families = families_request([("x", "a")], ("a", "b", "x"), {})
    found = total_of(THREE, families, Families(), sites, is_defended=is_defended).totals
    gram = total_of(THREE, gram_request(), GramKind(), sites, is_defended=is_defended).totals
    layout = PooledLayout(basis_of(THREE, gram_request()))
    assert found[0] == 119
    assert gram[layout.counts[2, 2]] - found[0] == (0 if is_defended else 1)
