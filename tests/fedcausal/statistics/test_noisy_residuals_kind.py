import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcausal.data.table import Table
from fedcausal.effects.asking import fitted_for_effects
from fedcausal.protocol import start, step
from fedcausal.statistics.derive import kind_of
from fedcausal.statistics.noisy_residuals_kind import (
    COUNT_UNIT,
    NoisyResidualsKind,
    noisy_residuals_release,
    noisy_residuals_request,
    on_simplex,
)
from fedcausal_privacy.disclosure.cell_rule import apply_cell_rule

KIND = NoisyResidualsKind()


@pytest.fixture(scope="module")
def study(confounded):
    return confounded.study(privacy={"effects": {"epsilon": 3.0}})


@pytest.fixture(scope="module")
def asked(study, confounded, seeded_noise):
    sites = confounded.sites(study, num_sites=5, rows_per_site=800, seed=0)
    state, noise = start(study, 5, 0), seeded_noise()
    while state.phase != "families":
        state = step(state, answered(study, state.requests, sites, noise))
    released = answered(study, state.requests, sites, noise)
    fitted = fitted_for_effects(state, released[state.requests[0].id()])
    return noisy_residuals_request(state.requests[0], fitted.mechanisms), sites


def answered(study, requests, sites, noise):
    """The noisy totals of requests, keyed as a step takes them."""
    totals = {}
    for request in requests:
        kind = kind_of(request)
        vectors = [
            kind.compute_private(study, request, site, num_sites=5, noise=noise) for site in sites
        ]
        totals[request.id()] = apply_cell_rule(sum(vectors), kind.spec(study, request, 5))
    return totals


def silence(scales):
    return np.zeros(scales.shape, dtype=np.int64)


def test_a_record_falls_into_one_bin_of_each_numeric_node(study, asked):
    request, sites = asked
    sensitivity = KIND.event(study, request).sensitivity
    assert sensitivity == math.sqrt(2)
    for row in sites[0].values[:50]:
        moved = KIND.compute_private(
            study, request, Table(study.schema(), row[None]), num_sites=5, noise=silence
        )
        assert np.linalg.norm(moved / COUNT_UNIT) == pytest.approx(sensitivity)


def test_laws_are_near_those_without_noise(study, asked, seeded_noise):
    request, sites = asked
    spec = KIND.spec(study, request, 5)

    def laws(noise):
        total = sum(
            KIND.compute_private(study, request, site, num_sites=5, noise=noise) for site in sites
        )
        return noisy_residuals_release(study, request, apply_cell_rule(total, spec))

    noisy, exact = laws(seeded_noise(3)), laws(silence)
    assert set(noisy) == {"age", "pressure"}
    for name, law in noisy.items():
        assert abs(law.num_records - 4000) < 800
        assert law.sd == pytest.approx(exact[name].sd, rel=0.3)


@settings(deadline=None, derandomize=True, database=None, max_examples=50)
@given(st.lists(st.floats(-50, 100), min_size=1, max_size=20), st.floats(1.0, 500.0))
def test_on_simplex_is_the_nearest_point(values, total):
    counts = np.array(values)
    found = on_simplex(counts, total)
    assert found.min() >= 0
    assert found.sum() == pytest.approx(total)
    uniform = np.full(len(counts), total / len(counts))
    assert np.linalg.norm(found - counts) <= np.linalg.norm(uniform - counts) + 1e-9
