import math

import numpy as np
import pytest

from fedcausal.data.table import Table
from fedcausal.errors import ProtocolError
from fedcausal.model.noisy_families import (
    NoisyFamilies,
    noisy_families_request,
    noisy_layouts,
)
from fedcausal.model.noisy_layout import GRID
from fedcausal.private.model_budget import model_budget
from fedcausal.statistics.kind import Request
from fedcausal.statistics.scale_kind import ModelScaleKind, scale_request
from fedcausal.study import Study
from fedcausal_privacy.dp.accountant import epsilon_of

STUDY = Study.model_validate(
    {
        "variables": {
            "a": {"kind": "continuous", "bounds": [-4, 4]},
            "b": {"kind": "continuous", "bounds": [-4, 4]},
            "k": {"kind": "categorical", "categories": ["r", "s", "t"]},
            "y": {"kind": "continuous", "bounds": [-6, 6]},
        },
        "model": {"family": "gram", "degree": 3},
        "privacy": {"model": {"epsilon": 3.0}},
    }
)
EDGES = [("a", "b"), ("a", "y"), ("b", "y"), ("k", "y"), ("a", "k")]
NODES = ("a", "b", "k", "y")
DEGREES = {"a": 1, "b": 3, "k": 2, "y": 2}
SCALES = {"a": (0.0, 0.12), "b": (0.1, 0.05), "k": (0.5, 0.3, 0.2), "y": (0.0, 0.2)}
REQUEST = noisy_families_request(EDGES, NODES, DEGREES, scales=SCALES)
KIND = NoisyFamilies()


def rows(num_rows, seed=0):
    rng = np.random.default_rng(seed)
    a = rng.normal(size=num_rows)
    b = 0.5 * a + rng.normal(size=num_rows)
    k = rng.integers(0, 3, num_rows)
    y = a - b + k + rng.normal(size=num_rows)
    values = np.column_stack([a, b, k, y])
    values[:, [0, 1, 3]] = values[:, [0, 1, 3]].clip(-4, 4)
    return Table(STUDY.schema(), values)


def silence(scales):
    return np.zeros(scales.shape, dtype=np.int64)


def compute(table, noise=silence, num_sites=5):
    return KIND.compute_private(STUDY, REQUEST, table, num_sites=num_sites, noise=noise)


def test_the_noise_of_all_sites_is_what_was_charged(seeded_noise):
    """Empty sites: the total is noise alone, K / (K - c) times the variance asked for."""
    empty = Table(STUDY.schema(), np.empty((0, 4)))
    noise = seeded_noise()
    totals = [sum(compute(empty, noise) for _ in range(5)) for _ in range(8)]
    scales = np.concatenate([layout.deviations for layout in noisy_layouts(STUDY, REQUEST)])
    scaled = np.array(totals) / (scales * model_budget(STUDY).families) / math.sqrt(5 / 3)
    assert abs(scaled.var() - 1.0) < 5 * math.sqrt(2 / scaled.size)
    assert abs(scaled.mean()) < 5 / math.sqrt(scaled.size)


def test_scales_and_sums_together_cost_the_epsilon():
    event, scale = KIND.event(STUDY, REQUEST), ModelScaleKind().event(STUDY, scale_request())
    assert 2.9 < epsilon_of([event, scale], STUDY.privacy.delta) <= 3.0
    assert epsilon_of([event], STUDY.privacy.delta) < 2.95


def test_grams_add_up_over_sites():
    table = rows(500)
    parts = [compute(part) for part in (table.take(range(200)), table.take(range(200, 500)))]
    assert np.array_equal(sum(parts), compute(table))
    assert compute(table)[0] <= 500 * GRID**2


@pytest.mark.parametrize(
    "changes",
    [
        {"degrees": {**DEGREES, "y": 4}},
        {"degrees": {**DEGREES, "y": 0}},
        {"degrees": {**DEGREES, "y": True}},
        {"degrees": {"a": 1}},
        {"degrees": 3},
        {"ranges": {"a": [-1.0, 1.0]}},
        {"scales": {**SCALES, "a": (0.0, 0.1)}},
        {"scales": {**SCALES, "a": [0.0, "wide"]}},
        {"scales": {**SCALES, "a": [0.0, 0.0]}},
        {"scales": {**SCALES, "k": [1.0]}},
        {"scales": {"a": [0.0, 0.1]}},
        {"scales": 3},
        {"missing": ["nobody"]},
        {"missing": "a"},
        {"more": 1},
        {"edges": [["a", "nobody"]]},
    ],
)
def test_malformed_requests(changes):
    request = Request(kind="noisy_families", parameters={**REQUEST.parameters, **changes})
    with pytest.raises(ProtocolError):
        KIND.spec(STUDY, request, 5)


def test_a_study_without_an_epsilon_has_no_such_statistic():
    plain = Study.model_validate({**STUDY.to_json(), "privacy": {}})
    with pytest.raises(ProtocolError):
        KIND.event(plain, REQUEST)
    with pytest.raises(ProtocolError):
        KIND.spec(plain, REQUEST, 5)
