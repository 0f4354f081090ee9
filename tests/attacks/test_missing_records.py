"""Subtracting a sum over complete records from one over all: what one incomplete one gives away.

The attacks succeed where docs/security.md says so, and their figures stand there: in `pool` mode
the value itself, in `center` mode its distance from the mean of its site. In `standardize` mode
the same subtraction of a number gives the number of the records, which is released anyway; of a
category it gives the level.
"""

import numpy as np
import pandas as pd
import pytest

from fedcausal.basis import UNIT
from fedcausal.data.sources import read_source
from fedcausal.scatter import SCATTER_UNIT, STANDARD_UNIT
from fedcausal.statistics.gram_kind import GramKind, basis_of, gram_request
from fedcausal.statistics.gram_layout import CentredLayout, PooledLayout
from fedcausal.study import Study
from fedcausal_privacy.secure_sum.oracle import plain_sum

HIGHEST_AGE = 128.0
AGE, DOSE = 0, 1
NUM_RUNS = 20


def released(effects, seed):
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
    vectors = [
        kind.compute(study, request, read_source(rows, study.schema(), site="s"), rng)
        for rows in tables
    ]
    total = plain_sum(vectors, kind.spec(study, request, len(tables)))
    assert not total.withheld.any()
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
        vectors = [
            kind.compute(study, request, read_source(rows, study.schema(), site="s"), rng)
            for rows in tables
        ]
        total = plain_sum(vectors, kind.spec(study, request, 3)).totals
        squares = total[layout.squares[layout.blocks[1]]] / unit
        expected = np.square(np.eye(3) - shares)
        misfits = np.square(expected - (squares[:, 1] - squares[:, 0])).sum(axis=1)
        num_right += stages[int(misfits.argmin())] == tables[0].loc[17, "stage"]
    assert num_right >= 0.9 * NUM_RUNS
