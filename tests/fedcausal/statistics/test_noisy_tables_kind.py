import math

import numpy as np
import pytest

from fedcausal.data.table import Table
from fedcausal.errors import ProtocolError, StudyError
from fedcausal.statistics.kind import Request
from fedcausal.statistics.noisy_tables_kind import (
    COUNT_UNIT,
    NUM_ROUNDS,
    NoisyTablesKind,
    noisy_tables_release,
    noisy_tables_request,
    round_multipliers,
    table_deviation,
)
from fedcausal.study import Study
from fedcausal_privacy.disclosure.cell_rule import apply_cell_rule
from fedcausal_privacy.dp.accountant import epsilon_of

SECTIONS = {
    "variables": {
        "a": {"kind": "binary"},
        "b": {"kind": "categorical", "categories": ["r", "s", "t"]},
        "c": {"kind": "binary"},
    },
    "discovery": {"tests": "tables", "algorithm": "pc"},
    "privacy": {"graph": {"epsilon": 2.0}},
}
STUDY = Study.model_validate(SECTIONS)
PAIRS = [("a", "b"), ("a", "c"), ("b", "c")]
REQUEST = noisy_tables_request(PAIRS, 0)
KIND = NoisyTablesKind()


def silence(scales):
    return np.zeros(scales.shape, dtype=np.int64)


def rows(num_rows, seed=0):
    rng = np.random.default_rng(seed)
    columns = [rng.integers(0, size, num_rows) for size in (2, 3, 2)]
    return Table(STUDY.schema(), np.column_stack(columns).astype(float))


def compute(table, noise=silence, request=REQUEST):
    return KIND.compute_private(STUDY, request, table, num_sites=4, noise=noise)


def test_every_record_moves_the_tables_by_exactly_the_sensitivity():
    """All records that there are, joining a table of others."""
    table, sensitivity = rows(50), KIND.event(STUDY, REQUEST).sensitivity
    assert sensitivity == math.sqrt(3)
    whole = compute(table)
    for a in range(2):
        for b in range(3):
            for c in range(2):
                joined = np.vstack([table.values, [[a, b, c]]])
                moved = compute(Table(STUDY.schema(), joined)) - whole
                assert np.linalg.norm(moved / COUNT_UNIT) == pytest.approx(sensitivity)


def test_a_record_with_a_missing_value_moves_fewer_tables():
    record = Table(STUDY.schema(), np.array([[0.0, np.nan, 1.0]]))
    assert compute(record).sum() == COUNT_UNIT


def test_all_rounds_together_cost_the_epsilon_whatever_is_asked():
    requests = [REQUEST, noisy_tables_request([("a", "b", "c")], 1)]
    requests.append(noisy_tables_request([("a", "b")], 2))
    events = [KIND.event(STUDY, request) for request in requests]
    assert len(events) == NUM_ROUNDS
    assert 1.9 < epsilon_of(events, STUDY.privacy.delta) <= 2.0
    assert epsilon_of([*events, events[2]], STUDY.privacy.delta) > 2.0


def test_the_noise_of_all_sites_is_what_is_known_of_it(seeded_noise):
    noise, empty = seeded_noise(), Table(STUDY.schema(), np.empty((0, 3)))
    totals = np.array([sum(compute(empty, noise) for _ in range(4)) for _ in range(60)])
    scaled = totals / COUNT_UNIT / table_deviation(STUDY, REQUEST, 4)
    assert abs(scaled.var() - 1.0) < 5 * math.sqrt(2 / scaled.size)


def test_tables_are_read_back():
    table = rows(400)
    spec = KIND.spec(STUDY, REQUEST, 4)
    total = sum(compute(table.take(range(k, k + 100))) for k in range(0, 400, 100))
    found = noisy_tables_release(STUDY, REQUEST, apply_cell_rule(total, spec))
    assert {places: counts.shape for places, counts in found.items()} == {
        (0, 1): (2, 3),
        (0, 2): (2, 2),
        (1, 2): (3, 2),
    }
    one = (table.values[:, 0] == 1) & (table.values[:, 1] == 2)
    assert found[0, 1][1, 2] == np.count_nonzero(one)


@pytest.mark.parametrize(
    "changes",
    [
        {"round": NUM_ROUNDS},
        {"round": True},
        {"sets": []},
        {"sets": [["a", "nobody"]]},
        {"sets": [["a", "b"], ["b", "a"]]},
        {"sets": ["a"]},
        {"more": 1},
    ],
)
def test_malformed_requests(changes):
    request = Request(kind="noisy_tables", parameters={**REQUEST.parameters, **changes})
    with pytest.raises(ProtocolError):
        KIND.spec(STUDY, request, 4)


def test_a_study_without_an_epsilon_has_no_such_statistic():
    with pytest.raises(ProtocolError):
        round_multipliers(Study.model_validate({**SECTIONS, "privacy": {}}))


def test_scores_of_noisy_tables_are_refused_with_a_remedy():
    with pytest.raises(StudyError, match=r"discovery\.algorithm: scores of noisy tables"):
        Study.model_validate({**SECTIONS, "discovery": {"tests": "tables"}})
