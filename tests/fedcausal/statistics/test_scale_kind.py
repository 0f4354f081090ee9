import math

import numpy as np
import pytest

from fedcausal.data.table import Table
from fedcausal.errors import ProtocolError
from fedcausal.statistics.kind import PrivateKind, Request
from fedcausal.statistics.scale_kind import (
    COUNT_UNIT,
    NUM_BINS,
    ModelScaleKind,
    ScaleKind,
    scale_release,
    scale_request,
)
from fedcausal.study import Study
from fedcausal_privacy.disclosure.cell_rule import apply_cell_rule
from fedcausal_privacy.statistic_spec import Released

KIND, REQUEST = ScaleKind(), scale_request()
STUDY = Study.model_validate(
    {
        "variables": {
            "age": {"kind": "continuous", "bounds": [0, 100]},
            "group": {"kind": "categorical", "categories": ["a", "b", "c"]},
        },
        "privacy": {"graph": {"epsilon": 1.0}},
    }
)


def _silence(scales):
    return np.zeros(scales.size, dtype=np.int64)


def _rows(num_rows, seed=0):
    rng = np.random.default_rng(seed)
    ages = np.clip(rng.normal(70, 5, num_rows), 0, 100)
    return np.column_stack([ages, rng.choice(3, num_rows, p=[0.2, 0.3, 0.5])])


def _vector(rows, noise=_silence):
    table = Table(STUDY.schema(), rows)
    return KIND.compute_private(STUDY, REQUEST, table, num_sites=3, noise=noise)


def test_it_is_a_private_kind_charged_for_all_histograms_together():
    assert isinstance(KIND, PrivateKind)
    event = KIND.event(STUDY, REQUEST)
    assert event.sensitivity == pytest.approx(math.sqrt(2))


def test_one_row_moves_the_vector_by_at_most_the_sensitivity():
    rows = _rows(50)
    event = KIND.event(STUDY, REQUEST)
    for i in range(50):
        gap = _vector(rows) - _vector(np.delete(rows, i, axis=0))
        assert np.linalg.norm(gap / COUNT_UNIT) <= event.sensitivity + 1e-12


def test_every_entry_gets_its_share_of_the_noise():
    asked = []

    def noise(scales):
        asked.append(scales)
        return _silence(scales)

    _vector(_rows(10), noise)
    event = KIND.event(STUDY, REQUEST)
    whole = event.sensitivity * event.noise_multiplier * COUNT_UNIT
    assert np.allclose(asked[0], whole / math.sqrt(2))  # 3 sites, 1 of them may collude


def test_scales_are_found_through_the_noise(seeded_noise):
    noise = seeded_noise()
    spec = KIND.spec(STUDY, REQUEST, 3)
    total = sum(_vector(_rows(1000, seed), noise) for seed in range(3))
    assert np.abs(total).max() <= 3 * spec.bound
    found = scale_release(STUDY, REQUEST, apply_cell_rule(total, spec), 3)
    centre, spread = found.scales["age"]
    assert centre == pytest.approx(0.2, abs=0.02)
    assert spread == pytest.approx(0.05, rel=0.3)
    assert found.scales["group"] == pytest.approx((0.2, 0.3, 0.5), abs=0.08)
    assert found.num_records == pytest.approx(3000, abs=500)


def test_pure_noise_gives_some_scale_and_no_failure():
    spec = KIND.spec(STUDY, REQUEST, 3)
    total = -np.ones(spec.length, dtype=np.int64)
    found = scale_release(STUDY, REQUEST, apply_cell_rule(total, spec), 3)
    assert found.num_records == 1.0
    assert found.scales["group"] == pytest.approx((1 / 3, 1 / 3, 1 / 3))


def test_missing_values_count_nowhere():
    rows = np.array([[np.nan, 1.0], [50.0, np.nan]])
    vector = _vector(rows) // COUNT_UNIT
    assert vector[:NUM_BINS].sum() == 1
    assert vector[NUM_BINS:].tolist() == [0, 1, 0]


def test_other_requests_and_totals_are_refused():
    with pytest.raises(ProtocolError, match="no parameters"):
        KIND.spec(STUDY, Request(kind="scale", parameters={"bins": 2}), 3)
    exact = Study.model_validate({**STUDY.to_json(), "privacy": {}})
    with pytest.raises(ProtocolError, match=r"without privacy\.graph"):
        KIND.spec(exact, REQUEST, 3)
    spec = KIND.spec(STUDY, REQUEST, 3)
    wrong = apply_cell_rule(np.zeros(spec.length, dtype=np.int64), spec)
    with pytest.raises(ProtocolError, match="another length"):
        scale_release(
            Study.model_validate(
                {
                    **STUDY.to_json(),
                    "variables": {
                        n: {"kind": "continuous", "bounds": [0, 1]} for n in ("a", "b", "c")
                    },
                }
            ),
            REQUEST,
            wrong,
            3,
        )


def test_variables_that_lack_values_are_named(seeded_noise):
    """A tenth missing is seen through the noise of epsilon 3 at 20,000 records; nothing is not."""
    study = Study.model_validate(
        {
            "variables": {n: {"kind": "continuous", "bounds": [-6, 6]} for n in "abc"},
            "privacy": {"model": {"epsilon": 3.0}},
        }
    )
    values = np.random.default_rng(0).normal(size=(20_000, 3)).clip(-6, 6)
    values[:2000, 1] = np.nan
    kind, request, noise = ModelScaleKind(), scale_request(of_model=True), seeded_noise(4)
    total = sum(
        kind.compute_private(study, request, Table(study.schema(), part), num_sites=4, noise=noise)
        for part in np.array_split(values, 4)
    )
    released = Released(totals=total, withheld=np.zeros(len(total), dtype=bool))
    assert scale_release(study, request, released, 4).missing == ("b",)


def test_the_models_own_scales_are_paid_by_the_model():
    variables = {"a": {"kind": "continuous", "bounds": [-6, 6]}, "b": {"kind": "binary"}}
    both = {"model": {"epsilon": 3.0}, "graph": {"epsilon": 1.0}}
    study = Study.model_validate({"variables": variables, "privacy": both})
    assert (ModelScaleKind.part, ModelScaleKind.name) == ("model", "model_scale")
    with pytest.raises(ProtocolError, match="those of its noisy graph"):
        ModelScaleKind().event(study, scale_request(of_model=True))
