"""Scores of drawn records: 1 for the same law, low for what differs, baselines between."""

import numpy as np
import pytest

from fedcausal.evaluation.generation import compare_records, detection_auc, shuffled
from fedcausal.schema import Kind, Schema, Variable

SCHEMA = Schema(
    (
        Variable(name="x", kind=Kind.CONTINUOUS),
        Variable(name="y", kind=Kind.CONTINUOUS),
        Variable(name="c", kind=Kind.CATEGORICAL, categories=("a", "b", "d")),
    )
)


def draw(seed, size=2000, slope=1.0, shift=0.0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=size)
    y = slope * x + 0.5 * rng.normal(size=size) + shift
    c = np.digitize(slope * x + rng.normal(size=size), [-0.5, 0.7]).astype(float)
    return {"x": x, "y": y, "c": c}


def test_the_same_law_scores_near_one_and_the_same_records_exactly_one():
    records = draw(0)
    assert compare_records(SCHEMA, records, records).score == 1.0
    assert compare_records(SCHEMA, records, draw(1)).score > 0.97


def test_each_score_sees_what_it_is_for():
    records = draw(0)
    shifted = compare_records(SCHEMA, records, draw(1, shift=2.0))
    assert shifted.shapes["y"] < 0.5 < 0.95 < shifted.shapes["x"]
    assert shifted.trends["x", "y"] > 0.98
    loose = compare_records(SCHEMA, records, shuffled(draw(1), np.random.default_rng(2)))
    assert loose.shape > 0.95
    assert loose.trends["x", "y"] == pytest.approx(1 - 0.89 / 2, abs=0.03)
    assert loose.trends["x", "c"] < 0.75


def test_levels_are_compared_by_total_variation():
    codes = {"c": np.array([0.0, 0.0, 1.0, 2.0])}
    other = {"c": np.array([0.0, 1.0, 1.0, np.nan])}
    found = compare_records(SCHEMA, codes, other)
    assert found.shapes["c"] == pytest.approx(1 - (1 / 6 + 5 / 12 + 1 / 4) / 2)
    assert found.trends == {}
    assert found.trend == 1.0


def test_a_classifier_tells_what_differs_and_nothing_else():
    records = draw(0)
    assert detection_auc(SCHEMA, records, draw(1)) == pytest.approx(0.5, abs=0.04)
    broken = shuffled(draw(1), np.random.default_rng(2))
    assert detection_auc(SCHEMA, records, broken) > 0.8


def test_rounding_and_missing_values_are_not_held_against_a_model():
    records, drawn = draw(0), draw(1)
    records["x"] = np.round(records["x"], 1)
    records["y"][::3] = np.nan
    assert detection_auc(SCHEMA, records, drawn) == pytest.approx(0.5, abs=0.05)


def test_scores_as_json_name_variables_and_pairs():
    told = compare_records(SCHEMA, draw(0), draw(1)).to_json()
    assert set(told["shapes"]) == {"x", "y", "c"}
    assert [entry[:2] for entry in told["trends"]] == [["x", "y"], ["x", "c"], ["y", "c"]]
