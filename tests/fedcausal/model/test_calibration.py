"""Conformal radii: from a secure histogram, never too small, with the coverage they promise."""

import math

import numpy as np
import pytest

from fedcausal.data.table import Table
from fedcausal.errors import InputError
from fedcausal.graph import Graph
from fedcausal.model.calibration import (
    Calibration,
    CalibrationKind,
    calibration_request,
    decode_calibration,
    kept_rows,
    rows_for,
)
from fedcausal.model.families import Families, families_request
from fedcausal.model.family_gram import decode_families
from fedcausal.model.fitting import assemble
from fedcausal.model.gram_fit import fit_mechanisms
from fedcausal.study import Study
from fedcausal_privacy.disclosure.cell_rule import apply_cell_rule

NUMBER = {"kind": "continuous", "bounds": [-30.0, 30.0]}
EDGES = [("a", "t"), ("a", "y"), ("t", "y")]
SHIFTS = (-1.0, 0.0, 1.0)


def study_of(share=0.3, **model):
    return Study.model_validate(
        {
            "variables": {"a": NUMBER, "t": {"kind": "binary"}, "y": NUMBER},
            "model": {"calibration": share, "degree": 1, **model},
        }
    )


def rows(study, rng, size, shift):
    """Skewed noise, and sites whose outcomes differ by an intercept."""
    a = rng.normal(size=size) + shift
    t = (rng.random(size) < 0.5) * 1.0
    y = 2 * t + a + rng.exponential(size=size) + 0.5 * shift
    return Table(study.schema(), np.column_stack([a, t, y]))


def total(kind, study, request, sites):
    spec, rng = kind.spec(study, request, len(sites)), np.random.default_rng(0)
    read = [rows_for(study, request, site) for site in sites]
    vectors = [kind.compute(study, request, site, rng) for site in read]
    assert all(v.shape == (spec.length,) for v in vectors)
    return apply_cell_rule(sum(vectors), spec)


def calibrated(study, sites):
    families = families_request(EDGES, study.schema().names, {})
    grams = decode_families(study, families, total(Families(), study, families, sites), len(sites))
    mechanisms = fit_mechanisms(grams)
    request = calibration_request(study, families, mechanisms)
    found = decode_calibration(study, request, total(CalibrationKind(), study, request, sites))
    graph = Graph.dag(study.schema().names, EDGES)
    return assemble(graph, study.schema(), mechanisms, found)


def exact_radius(model, study, sites, level):
    """The conformal quantile of the held-out scores themselves."""
    families = families_request(EDGES, study.schema().names, {})
    request = calibration_request(study, families, model.engine.mechanisms)
    mechanism, scores = model.engine.mechanisms["y"], []
    for site in sites:
        for batch in rows_for(study, request, site).batches():
            columns = {n: batch.column(n) for n in "aty"}
            noise = mechanism.abduct(columns["y"], columns, None)
            scores += np.abs(noise).tolist()
    return sorted(scores)[math.ceil((len(scores) + 1) * level) - 1], len(scores)


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95])
def test_the_radius_is_the_exact_one_up_to_a_bin(level):
    study, rng = study_of(), np.random.default_rng(1)
    sites = [rows(study, rng, 400, shift) for shift in SHIFTS]
    model = calibrated(study, sites)
    exact, count = exact_radius(model, study, sites, level)
    own = model.calibrations["y"]
    assert own.num_records == count
    sd = model.engine.mechanisms["y"].residual.sd
    assert exact <= own.radius(level) + 1e-6
    # 36 bins: the widest is half a standard deviation, and a withheld one hides a second
    assert own.radius(level) <= exact + 0.8 * sd


def test_coverage_is_as_promised():
    """Over 60 studies of 120 to 240 held-out records and 600 fresh ones each."""
    study, covered = study_of(), {0.8: [], 0.9: []}
    for seed in range(60):
        rng = np.random.default_rng([7, seed])
        model = calibrated(study, [rows(study, rng, 200, shift) for shift in SHIFTS])
        fresh = [rows(study, rng, 200, shift) for shift in SHIFTS]
        mechanism = model.engine.mechanisms["y"]
        noise = np.concatenate(
            [mechanism.abduct(f.column("y"), {n: f.column(n) for n in "at"}, None) for f in fresh]
        )
        for level, found in covered.items():
            found.append(np.mean(np.abs(noise) <= model.calibrations["y"].radius(level)))
    for level, found in covered.items():
        # between studies: a beta law of 180 scores, and 600 fresh records; three errors below,
        # and above further two of 18 bins: the radius is rounded up, and a small cell withheld
        error = np.sqrt(level * (1 - level) * (1 / 180 + 1 / 600) / 60)
        assert level - 3 * error < np.mean(found) < level + 3 * error + 2 / 18


@pytest.mark.parametrize("level", [0.8, 0.9, 0.95])
def test_coverage_of_many_records_is_within_its_binomial_error(level):
    study, rng = study_of(), np.random.default_rng(11)
    model = calibrated(study, [rows(study, rng, 4000, shift) for shift in SHIFTS])
    mechanism, own = model.engine.mechanisms["y"], model.calibrations["y"]
    fresh = [rows(study, rng, 20_000, shift) for shift in SHIFTS]
    shares = [
        np.mean(
            np.abs(mechanism.abduct(f.column("y"), {n: f.column(n) for n in "at"}, None))
            <= own.radius(level)
        )
        for f in fresh
    ]
    error = np.sqrt(level * (1 - level) * (1 / own.num_records + 1 / 60_000))
    assert level - 3 * error < np.mean(shares) < level + 3 * error + 2 / 200
    # the sites differ by an intercept that the model does not have: no site has the level itself
    assert max(shares) - min(shares) > 0.02


def test_withheld_cells_never_make_a_radius_too_small():
    counts = np.array([50.0, 30.0, 0.0, 95.0])
    full = Calibration(radii=np.arange(1.0, 5.0), at_most=np.cumsum(counts), num_records=180)
    assert full.radius(0.4) == 2.0
    assert full.radius(0.9) == 4.0
    assert full.radius(0.999) == math.inf


@pytest.mark.parametrize("level", [0.0, 1.0, -1.0])
def test_levels_are_shares(level):
    own = Calibration(radii=np.ones(1), at_most=np.ones(1), num_records=1)
    with pytest.raises(InputError, match="between 0 and 1"):
        own.radius(level)


def test_few_records_have_no_radius():
    own = Calibration(radii=np.ones(1), at_most=np.array([18.0]), num_records=18)
    assert own.radius(0.95) == math.inf
    assert own.radius(0.9) == 1.0


def test_withheld_counts_lie_in_the_last_withheld_cell():
    study, rng = study_of(), np.random.default_rng(2)
    sites = [rows(study, rng, 100, shift) for shift in SHIFTS]
    model = calibrated(study, sites)
    own = model.calibrations["y"]
    assert own.at_most[-1] <= own.num_records
    assert (np.diff(own.at_most) >= 0).all()


def test_held_out_rows_are_read_by_the_calibration_alone():
    study, rng = study_of(), np.random.default_rng(3)
    site = rows(study, rng, 1000, 0.0)
    families = families_request(EDGES, study.schema().names, {})
    fitted = rows_for(study, families, site)
    held = rows_for(
        study,
        calibration_request(study, families, calibrated(study, [site] * 3).engine.mechanisms),
        site,
    )
    a, b = (sum(batch.num_rows for batch in part.batches()) for part in (fitted, held))
    assert a + b == 1000
    assert 220 < b < 380
    assert rows_for(study_of(0.0), families, site) is site
    kept = np.concatenate([batch.values for batch in kept_rows(study, site).batches()])
    np.testing.assert_array_equal(kept, np.concatenate([b.values for b in fitted.batches()]))


def test_a_budget_has_no_place_for_it():
    with pytest.raises(Exception, match="counted without noise"):
        Study.model_validate(
            {
                "variables": {"a": NUMBER, "y": NUMBER},
                "model": {"calibration": 0.2, "family": "gram"},
                "privacy": {"effects": {"epsilon": 1.0}},
            }
        )
