"""Which steps a study takes, and which it cannot."""

import pytest

from fedcausal.errors import InputError, StudyError
from fedcausal.steps.state import STEPS, check_steps, parse_steps
from fedcausal.study import Study


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["discovery"], ("discovery",)),
        (["model"], ("discovery", "model")),
        (["effects", "discovery"], STEPS),
    ],
)
def test_a_step_brings_those_before_it(given, expected):
    assert parse_steps(given) == expected


@pytest.mark.parametrize("given", [[], ["graph"], ["discovery", ""]])
def test_unknown_steps_are_named(given):
    with pytest.raises(InputError, match="steps: expected some of discovery, model, effects"):
        parse_steps(given)


def test_a_pag_has_no_model():
    kinds = {name: {"kind": "continuous"} for name in "xy"}
    study = Study.model_validate({"variables": kinds, "discovery": {"algorithm": "fci"}})
    check_steps(study, ("discovery",))
    with pytest.raises(StudyError, match="fci"):
        check_steps(study, ("discovery", "model"))
