import math

import numpy as np
import pytest

from fedcausal.data.table import Table
from fedcausal.errors import ProtocolError
from fedcausal.model.family_basis import family_of_degree
from fedcausal.model.noisy_families import (
    GRID,
    NoisyFamilies,
    _columns,
    noise_multiplier,
    noisy_families_request,
    noisy_layouts,
    squared_radius,
)
from fedcausal.statistics.kind import Request
from fedcausal.study import Study
from fedcausal_privacy.accountant import epsilon_of

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
REQUEST = noisy_families_request(EDGES, NODES, DEGREES)
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


def weighted(vector):
    """The vector of the mechanism: svec of each Gram over the root of its radius."""
    parts = []
    for layout in noisy_layouts(STUDY, REQUEST):
        upper = np.triu_indices(layout.size)
        factors = np.where(upper[0] == upper[1], 1.0, math.sqrt(2.0))
        part = vector[layout.start : layout.end] / GRID**2
        parts.append(part * factors / math.sqrt(squared_radius(layout.family)))
    return np.concatenate(parts)


def test_one_record_moves_the_release_by_no_more_than_the_sensitivity():
    """Corners of the bounds, where every polynomial is largest, and random records."""
    sensitivity = KIND.event(STUDY, REQUEST).sensitivity
    corners = np.array(
        [(a, b, k, y) for a in (-4, 4) for b in (-4, 4) for k in range(3) for y in (-6, 6)],
        dtype=float,
    )
    largest = 0.0
    for row in [*corners, *rows(200).values]:
        moved = compute(Table(STUDY.schema(), row[None]))
        largest = max(largest, float(np.linalg.norm(weighted(moved))))
    assert 0.9 * sensitivity < largest <= sensitivity


def test_rows_lie_in_the_ball_of_their_family():
    family = family_of_degree(STUDY.schema(), "y", ["a", "b", "k"], ranges={}, degree=3)
    table = rows(300)
    columns = {name: table.column(name) for name in family.members}
    norms = np.square(_columns(family, columns)).sum(axis=1)
    assert norms.max() <= squared_radius(family) + 1e-12
    assert (norms < squared_radius(family) - 1e-6).any()


def test_the_noise_of_all_sites_is_what_was_charged(seeded_noise):
    """Empty sites: the total is noise alone, K / (K - c) times the variance asked for."""
    empty = Table(STUDY.schema(), np.empty((0, 4)))
    noise = seeded_noise()
    totals = [sum(compute(empty, noise) for _ in range(5)) for _ in range(8)]
    scales = np.concatenate([layout.deviations for layout in noisy_layouts(STUDY, REQUEST)])
    scaled = np.array(totals) / (scales * noise_multiplier(STUDY)) / math.sqrt(5 / 3)
    assert abs(scaled.var() - 1.0) < 5 * math.sqrt(2 / scaled.size)
    assert abs(scaled.mean()) < 5 / math.sqrt(scaled.size)


def test_the_whole_epsilon_is_charged_once():
    event = KIND.event(STUDY, REQUEST)
    assert 2.9 < epsilon_of([event], STUDY.privacy.delta) <= 3.0


def test_grams_add_up_over_sites():
    table = rows(500)
    parts = [compute(part) for part in (table.take(range(200)), table.take(range(200, 500)))]
    assert np.array_equal(sum(parts), compute(table))
    assert compute(table)[0] <= 500 * GRID**2


def test_a_record_with_a_missing_value_is_in_the_families_that_do_not_need_it():
    table = rows(50)
    values = table.values.copy()
    values[:10, 1] = np.nan
    vector = compute(Table(STUDY.schema(), values))
    layouts = noisy_layouts(STUDY, REQUEST)
    counts = {one.family.node: vector[one.start] / GRID**2 for one in layouts}
    assert counts["a"] > 49
    assert max(counts["b"], counts["y"]) <= 40


@pytest.mark.parametrize(
    "changes",
    [
        {"degrees": {**DEGREES, "y": 4}},
        {"degrees": {**DEGREES, "y": 0}},
        {"degrees": {**DEGREES, "y": True}},
        {"degrees": {"a": 1}},
        {"degrees": 3},
        {"ranges": {"a": [-1.0, 1.0]}},
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
