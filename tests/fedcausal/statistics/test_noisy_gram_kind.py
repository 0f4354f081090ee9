"""A noisy Gram: what one row can change, what noise is added, what is read from the total."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcausal.data.table import Table
from fedcausal.errors import ProtocolError
from fedcausal.private.graph_budget import graph_budget
from fedcausal.private.noisy_totals import noisy_covariance
from fedcausal.private.private_features import GRID
from fedcausal.statistics.kind import PrivateKind, Request
from fedcausal.statistics.noisy_gram_kind import (
    NoisyGramKind,
    chosen_radius,
    noisy_gram_release,
    noisy_gram_request,
)
from fedcausal.statistics.scale_kind import ReleasedScales
from fedcausal.study import Study
from fedcausal_privacy.disclosure.cell_rule import apply_cell_rule

KIND = NoisyGramKind()


def _study(effects="pool", epsilon=1.0):
    return Study.model_validate(
        {
            "variables": {
                "x": {"kind": "continuous", "bounds": [-10, 10], "basis": "legendre-2"},
                "y": {"kind": "continuous", "bounds": [-10, 10]},
                "z": {"kind": "binary"},
            },
            "privacy": {"graph": {"epsilon": epsilon}},
            "discovery": {"site_effects": effects},
        }
    )


STUDY = _study()
SCALES = ReleasedScales(
    scales={"x": (0.0, 0.1), "y": (0.05, 0.1), "z": (0.7, 0.3)}, num_records=1000
)
REQUEST = noisy_gram_request(STUDY, SCALES, 3)


def _silence(scales):
    return np.zeros(scales.size, dtype=np.int64)


def _rows(num_rows, seed=0, shift=0.0):
    rng = np.random.default_rng(seed)
    x = 2 * rng.normal(size=num_rows) + shift
    y = 0.8 * x + 1.2 * rng.normal(size=num_rows) + 1
    return np.column_stack([x, y, rng.random(num_rows) < 0.3])


def _vector(rows, study=STUDY, noise=_silence, num_sites=3):
    table = Table(study.schema(), rows)
    return KIND.compute_private(study, REQUEST, table, num_sites=num_sites, noise=noise)


def _weighted(vector, study=STUDY):
    """The vector in the geometry of the mechanism, from the noise that each entry gets."""
    asked = []
    _vector(_rows(3), study, lambda s: asked.append(s) or _silence(s))
    event = KIND.event(study, REQUEST)
    return vector / (asked[-1] * math.sqrt(2)) * event.sensitivity * graph_budget(study).gram


def test_it_is_a_private_kind():
    assert isinstance(KIND, PrivateKind)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(*[st.floats(-10, 10)] * 2, st.sampled_from([0.0, 1.0])), max_size=5))
def test_any_row_moves_the_weighted_vector_by_at_most_the_sensitivity(rows):
    rows = np.array([*rows, (10.0, -10.0, 1.0)])
    gap = _weighted(_vector(rows)) - _weighted(_vector(rows[:-1]))
    assert np.linalg.norm(gap) <= KIND.event(STUDY, REQUEST).sensitivity * (1 + 1e-9)


def test_the_sensitivity_is_reached():
    gap = _weighted(_vector(np.array([[10.0, 10.0, 0.0]])))
    assert np.linalg.norm(gap) > 0.99 * KIND.event(STUDY, REQUEST).sensitivity


@pytest.mark.parametrize("parts", [(300, 300, 300), (800, 50, 50)])
def test_without_noise_the_total_does_not_depend_on_who_holds_a_row(parts):
    rows = _rows(900)
    whole = _vector(rows)
    ends = np.cumsum(parts)[:-1]
    assert np.array_equal(sum(_vector(part) for part in np.split(rows, ends)), whole)


def test_the_covariance_is_read_back(seeded_noise):
    noise = seeded_noise()
    rows = [_rows(4000, seed) for seed in range(3)]
    total = sum(_vector(part, noise=noise) for part in rows)
    spec = KIND.spec(STUDY, REQUEST, 3)
    assert np.abs(total).max() <= 3 * spec.bound
    totals = noisy_gram_release(STUDY, REQUEST, apply_cell_rule(total, spec), 3)
    found = noisy_covariance(totals)
    true = np.corrcoef(np.concatenate(rows).T)
    at = [found.blocks[name][0] for name in ("x", "y", "z")]
    assert np.abs(found.covariance[np.ix_(at, at)] - np.abs(true)).max() < 0.12
    assert totals.num_records == pytest.approx(12_000, rel=0.02)


def test_the_stated_noise_is_the_noise(seeded_noise):
    """Root mean square of 30 differences of noisy and exact products over its stated size."""
    rows, spec, noise = _rows(60), KIND.spec(STUDY, REQUEST, 4), seeded_noise()
    parts = np.array_split(rows, 4)
    exact = sum(_vector(p, num_sites=4) for p in parts)
    errors = []
    for _ in range(30):
        total = sum(_vector(p, noise=noise, num_sites=4) for p in parts)
        read = noisy_gram_release(STUDY, REQUEST, apply_cell_rule(total, spec), 4)
        true = noisy_gram_release(STUDY, REQUEST, apply_cell_rule(exact, spec), 4)
        gap = (read.products - true.products) / read.deviation
        errors += [*gap[np.triu_indices(4, 1)], *(np.diag(gap) / math.sqrt(2))]
        errors += [*((read.sums - true.sums) / read.sum_deviation)]
    assert np.std(errors) == pytest.approx(1.0, abs=5 / math.sqrt(2 * len(errors)))


def test_centring_by_private_means_removes_what_sites_differ_in(seeded_noise):
    noise = seeded_noise()
    study = _study("center", epsilon=8.0)
    sites = [_rows(3000, seed, shift) for seed, shift in enumerate((-3.0, 0.0, 3.0))]
    spec = KIND.spec(study, REQUEST, 3)
    total = sum(_vector(part, study, noise) for part in sites)
    found = noisy_gram_release(study, REQUEST, apply_cell_rule(total, spec), 3)
    pooled = sum(_vector(part, STUDY) for part in sites)
    spread = noisy_gram_release(STUDY, REQUEST, apply_cell_rule(pooled, spec), 3)
    assert found.products[0, 0] < 0.6 * spread.products[0, 0]
    assert 0.5 < found.products[0, 0] / found.num_records < 1.1


def test_a_private_mean_is_charged_and_its_noise_is_whole():
    study, asked = _study("center"), []
    _vector(_rows(10), study, lambda s: asked.append(s) or _silence(s))
    means, count, shares = asked
    budget, radius = graph_budget(study), KIND.event(study, REQUEST).sensitivity / 1.10554
    whole = budget.centre * math.sqrt(radius * 10) / 3 * GRID
    assert np.allclose(means, whole, rtol=1e-3)
    assert count.size == 1
    assert shares.size == KIND.spec(study, REQUEST, 3).length
    assert KIND.event(study, REQUEST).noise_multiplier < budget.gram


def test_nothing_of_the_request_is_trusted():
    bad = [
        {},
        {"scales": {}, "radius": 2.0},
        {**REQUEST.parameters, "radius": True},
        {**REQUEST.parameters, "radius": 1e9},
        {**REQUEST.parameters, "more": 1},
        {**REQUEST.parameters, "scales": {"x": ["a", 1], "y": [0, 1], "z": [0, 1]}},
    ]
    for parameters in bad:
        with pytest.raises(ProtocolError):
            KIND.spec(STUDY, Request(kind="noisy_gram", parameters=parameters), 3)
    exact = Study.model_validate({**STUDY.to_json(), "privacy": {}})
    with pytest.raises(ProtocolError, match=r"without privacy\.graph"):
        KIND.spec(exact, REQUEST, 3)


def test_the_width_is_the_number_of_features():
    assert KIND.width(STUDY, REQUEST) == 4


def test_a_larger_ball_is_chosen_where_noise_is_small():
    def ratio(epsilon, num_records):
        return chosen_radius(_study(epsilon=epsilon), 4, num_records, 3)[0] / 2

    assert ratio(1.0, 200) == 1.25
    assert ratio(8.0, 10_000_000) == 2.0
    assert ratio(1.0, 200) <= ratio(1.0, 3000) <= ratio(1.0, 300_000) <= ratio(8.0, 300_000)
