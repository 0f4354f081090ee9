import numpy as np
import pytest

from fedcausal.effects.influence import Influence, Offsets, influence_from_json
from fedcausal.errors import ProtocolError
from fedcausal.study import Study

STUDY = Study.model_validate(
    {
        "variables": {
            "age": {"kind": "continuous", "bounds": [-4, 4]},
            "drug": {"kind": "categorical", "categories": ["none", "low", "high"]},
            "ill": {"kind": "binary", "categories": ["no", "yes"]},
            "pressure": {"kind": "continuous", "bounds": [-10, 10]},
        },
        "model": {"degree": 2},
        "effects": {
            "queries": [
                {"treatment": "drug", "outcome": "pressure", "values": ["none", "high"]},
                {"treatment": "drug", "outcome": "ill", "values": ["low", "high"]},
                {"treatment": "age", "outcome": "ill", "values": [0, 1]},
                {
                    "treatment": "drug",
                    "outcome": "ill",
                    "values": ["low", "high"],
                    "population": "site north",
                },
            ]
        },
    }
)
CONTENT = {
    "query": 0,
    "parents": ["age"],
    "degree": 1,
    "knots": {},
    "propensity": [[0.5, 0.2, 0.3], [-0.25, 0.0, 0.25]],
    "responses": [[0.0, 0.25, 0.0], [0.125, 0.25, 0.0625]],
}


def parsed(**changes) -> Influence:
    return influence_from_json(STUDY, {**CONTENT, **changes}, {})


def columns(num_rows, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "age": rng.normal(size=num_rows).clip(-4, 4),
        "drug": rng.integers(0, 3, num_rows).astype(float),
        "ill": rng.integers(0, 2, num_rows).astype(float),
        "pressure": rng.normal(size=num_rows).clip(-10, 10),
    }


def by_hand(rows, clip):
    """The formula, with scaled age and pressure; features are (age) and (age, P2(age))."""
    age, pressure = rows["age"] / 4, rows["pressure"] / 10
    raw = np.array(CONTENT["propensity"])[0] + age[:, None] * np.array(CONTENT["propensity"])[1]
    chances = np.clip(raw, 1e-6, 1)
    chances /= chances.sum(axis=1, keepdims=True)
    found = []
    for level, slopes in zip((0, 2), CONTENT["responses"], strict=True):
        mean = slopes[0] + slopes[1] * age + slopes[2] * (1.5 * age**2 - 0.5)
        chance = np.clip(chances[:, level], clip, 1 - clip)
        found.append(mean + (rows["drug"] == level) / chance * (pressure - mean))
    return np.column_stack(found)


def test_influence_values_are_the_formula():
    rows, influence = columns(500), parsed()
    assert np.allclose(influence.values(rows), by_hand(rows, 0.05), atol=1e-4)
    assert np.abs(influence.values(rows)).max() <= influence.largest


def test_they_do_not_depend_on_the_batch():
    rows, influence = columns(300), parsed()
    alone = [influence.values({n: c[k : k + 1] for n, c in rows.items()}) for k in range(300)]
    assert np.array_equal(np.concatenate(alone), influence.values(rows))


def test_an_outcome_with_levels_is_the_chance_of_its_last_one():
    influence = parsed(query=1, responses=[[0.3, 0, 0], [0.4, 0, 0]])
    rows = columns(50)
    missed, left = influence.left_over(rows)
    assert (influence.lowest, influence.unit) == (0.0, 1.0)
    assert missed.shape == (50, 2)
    assert len(left) == np.count_nonzero(rows["drug"] > 0)


def test_offsets_move_both_models():
    rows, influence = columns(200), parsed()
    moved = influence.values(rows, Offsets(propensity=(0.05, -0.05), response=0.1))
    other = rows["drug"] == 1
    assert np.allclose(moved[other] - influence.values(rows)[other], 0.1)


def test_means_return_to_units():
    assert parsed().unscaled(0.5) == 5.0
    assert parsed().unit == 10.0


@pytest.mark.parametrize(
    "changes",
    [
        {"query": 3},
        {"query": 4},
        {"query": True},
        {"query": 2},
        {"parents": ["drug"]},
        {"parents": ["pressure"]},
        {"parents": ["nobody"]},
        {"parents": "age"},
        {"degree": 3},
        {"degree": 0},
        {"knots": {"drug": [0.0]}},
        {"propensity": [[0.5, 0.2, 0.3]]},
        {"propensity": [[0.5, 0.2, "x"], [0, 0, 0]]},
        {"responses": [[1e9, 0, 0], [0, 0, 0]]},
        {"responses": [[float("nan"), 0, 0], [0, 0, 0]]},
        {"more": 1},
    ],
)
def test_what_is_no_question_of_the_study_is_refused(changes):
    with pytest.raises(ProtocolError):
        parsed(**changes)
