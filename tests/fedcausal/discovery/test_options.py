"""Options name the key that is wrong."""

import pytest

from fedcausal.discovery.options import DiscoveryOptions
from fedcausal.errors import InputError
from fedcausal.study import Study


@pytest.mark.parametrize(
    ("wrong", "key"),
    [
        ({"algorithm": "magic"}, "algorithm"),
        ({"alpha": 0.0}, "alpha"),
        ({"penalty": 0.0}, "penalty"),
        ({"vote_weight": -1.0}, "vote_weight"),
        ({"restarts": -1}, "restarts"),
        ({"bootstrap": -1}, "bootstrap"),
    ],
)
def test_wrong_options_are_refused(wrong, key):
    with pytest.raises(InputError, match=rf"discovery\.{key}"):
        DiscoveryOptions(**wrong)


def test_a_study_states_its_options():
    study = Study.model_validate(
        {
            "study": {"name": "options", "question": "which?"},
            "variables": {n: {"kind": "continuous"} for n in ("x", "y")},
            "discovery": {"algorithm": "pc", "alpha": 0.05, "time_limit_seconds": 30},
        }
    )
    expected = DiscoveryOptions(algorithm="pc", alpha=0.05, time_limit_seconds=30.0, seed=3)
    assert DiscoveryOptions.from_study(study, seed=3) == expected
