import math

import numpy as np
import pytest

from fedcausal.data.table import Table
from fedcausal.errors import ProtocolError
from fedcausal.statistics.kind import Request
from fedcausal.statistics.noisy_aipw_kind import (
    GRID,
    WEIGHTS,
    Limits,
    NoisyAipwKind,
    noisy_aipw_release,
)
from fedcausal.study import Study
from fedcausal_privacy.disclosure.cell_rule import apply_cell_rule
from fedcausal_privacy.dp.accountant import epsilon_of

KIND = NoisyAipwKind()
STUDY = Study.model_validate(
    {
        "variables": {
            "age": {"kind": "continuous", "bounds": [-4, 4]},
            "drug": {"kind": "categorical", "categories": ["none", "low", "high"]},
            "pressure": {"kind": "continuous", "bounds": [-10, 10]},
        },
        "knowledge": {"graph": "digraph {age -> drug; age -> pressure; drug -> pressure}"},
        "model": {"family": "gram", "degree": 1},
        "privacy": {"model": {"epsilon": 1.0}, "effects": {"epsilon": 3.0}},
        "effects": {
            "queries": [
                {"treatment": "drug", "outcome": "pressure", "values": ["none", "high"]},
                {"treatment": "drug", "outcome": "pressure", "values": ["none", "low"]},
            ]
        },
    }
)


def question(index):
    return {
        "query": index,
        "parents": ["age"],
        "degree": 1,
        "knots": {},
        "propensity": [[0.5, 0.2, 0.3], [-0.25, 0.0, 0.25]],
        "responses": [[0.0, 0.25], [0.125, 0.25]],
    }


REQUEST = Request(
    kind="noisy_aipw",
    parameters={
        "queries": [question(0), question(1)],
        "ranges": {},
        "limits": [[0.1, 1.5, 0.2, 1.0], [0.1, 2.0, 0.2, 1.5]],
    },
)


def silence(scales):
    return np.zeros(scales.shape, dtype=np.int64)


def compute(rows, noise=silence, num_sites=5, request=REQUEST):
    table = Table(STUDY.schema(), np.array(rows, dtype=float))
    return KIND.compute_private(STUDY, request, table, num_sites=num_sites, noise=noise)


def weighted(vector):
    """The vector of the mechanism."""
    weights = [WEIGHTS[0]] * 3 + list(WEIGHTS[1:])
    return vector / GRID * np.tile(weights, len(vector) // 6)


def test_neighbouring_tables_are_no_further_apart_than_stated():
    """Random tables with a record more or less, and records at the corners of the bounds."""
    sensitivity = KIND.event(STUDY, REQUEST).sensitivity
    rng = np.random.default_rng(0)
    random = np.column_stack(
        [rng.uniform(-4, 4, 300), rng.integers(0, 3, 300), rng.uniform(-10, 10, 300)]
    )
    corners = [(a, d, y) for a in (-4, 4) for d in range(3) for y in (-10, 10)]
    table = random[:20].tolist()
    whole = compute(table)
    apart = [
        np.linalg.norm(weighted(compute([*table, row]) - whole))
        for row in [*random.tolist(), *corners]
    ]
    assert max(apart) <= sensitivity + 1e-9


def test_a_record_beyond_all_limits_reaches_the_sensitivity():
    """Few take the drug at this age: one who does and answers with the bound weighs most."""
    narrow = {
        **REQUEST.parameters,
        "queries": [question(0)],
        "limits": [[0.0, 0.5, 0.0, 0.5]],
    }
    request = Request(kind="noisy_aipw", parameters=narrow)
    moved = weighted(compute([(-4.0, 2.0, 10.0)], request=request))
    sensitivity = KIND.event(STUDY, request).sensitivity
    assert np.linalg.norm(moved) == pytest.approx(sensitivity, rel=1e-6)


def test_the_whole_epsilon_is_charged_once_where_the_model_has_its_own():
    assert 2.9 < epsilon_of([KIND.event(STUDY, REQUEST)], STUDY.privacy.delta) <= 3.0


def test_the_noise_of_all_sites_is_what_was_charged(seeded_noise):
    event, noise = KIND.event(STUDY, REQUEST), seeded_noise()
    totals = [sum(compute(np.empty((0, 3)), noise) for _ in range(5)) for _ in range(40)]
    scaled = np.array([weighted(total) for total in totals])
    scaled /= event.sensitivity * event.noise_multiplier * math.sqrt(5 / 3)
    assert abs(scaled.var() - 1.0) < 5 * math.sqrt(2 / scaled.size)


def test_a_release_is_read_back(seeded_noise):
    rng = np.random.default_rng(1)
    rows = np.column_stack(
        [rng.normal(size=4000).clip(-4, 4), rng.integers(0, 3, 4000), rng.normal(size=4000)]
    )
    total = sum(compute(part) for part in np.array_split(rows, 5))
    spec = KIND.spec(STUDY, REQUEST, 5)
    read = noisy_aipw_release(STUDY, REQUEST, apply_cell_rule(total, spec), 5)
    assert set(read) == {0, 1}
    assert read[0].num_records == 4000
    assert read[0].difference == pytest.approx(0.1 + read[0].about)
    assert read[0].noise > 0


@pytest.mark.parametrize(
    "changes",
    [
        {"limits": []},
        {"limits": [[0.1, 1.5, 0.2, 1.0]]},
        {"limits": [[0.1, 0.0, 0.2, 1.0]] * 2},
        {"limits": [[0.1, math.inf, 0.2, 1.0]] * 2},
        {"limits": [[0.1, True, 0.2, 1.0]] * 2},
        {"limits": "x"},
        {"ranges": {"age": [-1.0, 1.0]}},
        {"more": 1},
    ],
)
def test_malformed_requests(changes):
    request = Request(kind="noisy_aipw", parameters={**REQUEST.parameters, **changes})
    with pytest.raises(ProtocolError):
        KIND.spec(STUDY, request, 5)


def test_a_study_without_an_epsilon_has_no_such_statistic():
    plain = Study.model_validate({**STUDY.to_json(), "privacy": {}})
    with pytest.raises(ProtocolError):
        KIND.spec(plain, REQUEST, 5)


def test_limits_cut_off_on_both_sides():
    bounded = Limits(difference=0.0, difference_reach=1.0, total=0.0, total_reach=2.0).bounded(
        np.array([[0.0, 5.0], [5.0, 0.0], [0.25, 0.5]])
    )
    assert bounded.tolist() == [
        [GRID, GRID, GRID],
        [-GRID, GRID, GRID],
        [GRID // 4, 3 * GRID // 8, GRID // 16],
    ]
