"""What users' own mechanisms do not go together with, by the key of the study file."""

import pytest

from fedcausal.errors import StudyError
from fedcausal.study import Study

VARIABLES = {
    "arm": {"kind": "binary"},
    "age": {"kind": "continuous", "bounds": [20, 90]},
    "cost": {"kind": "continuous", "bounds": [1, 1e5]},
}
OWN = {"cost": {"name": "log-linear", "version": "1"}}


def study_of(own=None, variables=None, model=None, **sections):
    content = {
        "variables": {**VARIABLES, **(variables or {})},
        "model": {"mechanisms": OWN if own is None else own, **(model or {})},
        **sections,
    }
    return Study.model_validate(content)


def test_a_study_may_name_what_is_not_installed_here():
    assert study_of().model.mechanisms["cost"].name == "log-linear"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"own": {"costs": OWN["cost"]}}, r"model\.mechanisms\.costs: unknown .*'cost'"),
        ({"own": {"arm": OWN["cost"]}}, r"mechanisms\.arm: .* continuous variable, not a binary"),
        ({"own": {"cost": {"name": " ", "version": "1"}}}, r"cost\.name: expected a word"),
        ({"own": {"cost": {"name": "a"}}}, r"model\.mechanisms\.cost\.version"),
        ({"own": {"cost": {"name": "a", "version": "1", "path": "b"}}}, r"cost\.path"),
        (
            {"variables": {"cost": {**VARIABLES["cost"], "transform": "log"}}},
            r"variables\.cost\.transform: model\.mechanisms\.cost says",
        ),
        (
            {"variables": {"cost": {**VARIABLES["cost"], "formula": "age * 2"}}},
            r"variables\.cost\.formula: model\.mechanisms\.cost says",
        ),
        ({"model": {"family": "nodeflow"}}, 'model.mechanisms: .*family = "gram"'),
        ({"privacy": {"model": {"epsilon": 1.0}}}, "model.mechanisms: .*privacy.model has an"),
        ({"privacy": {"effects": {"epsilon": 1.0}}}, "privacy.effects has an epsilon"),
        (
            {
                "federation": {"robust": 1},
                "model": {"knots": 0},
                "discovery": {"votes": False},
                "privacy": {"incomplete": "drop"},
            },
            r"model.mechanisms: with \[federation\] robust",
        ),
    ],
)
def test_what_does_not_go_together_is_refused_by_its_key(content, words):
    with pytest.raises(StudyError, match=words):
        study_of(**content)
