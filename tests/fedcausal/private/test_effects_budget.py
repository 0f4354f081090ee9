import pytest

from fedcausal.errors import ProtocolError
from fedcausal.private.effects_budget import (
    charged_to_model,
    effects_are_private,
    effects_budget,
    fits_for_effects,
)
from fedcausal_privacy.accountant import epsilon_of, noise_multiplier_for


@pytest.mark.parametrize("epsilon", [0.5, 1.0, 3.0, 8.0])
def test_all_releases_together_are_within_epsilon(confounded, epsilon):
    study = confounded.study(privacy={"effects": {"epsilon": epsilon}})
    events = effects_budget(study).events(study.privacy.delta)
    assert [event.name for event in events] == ["families", "residuals", "aipw"]
    assert 0.95 * epsilon < epsilon_of(events, study.privacy.delta) <= epsilon


def test_a_noised_model_leaves_the_whole_epsilon_to_the_sums(confounded):
    study = confounded.study(privacy={"effects": {"epsilon": 3.0}, "model": {"epsilon": 1.0}})
    (event,) = effects_budget(study).events(study.privacy.delta)
    assert not fits_for_effects(study)
    assert event.noise_multiplier == noise_multiplier_for(3.0, study.privacy.delta)
    with pytest.raises(ProtocolError):
        charged_to_model(study)


def test_the_paying_study_has_the_share_as_its_epsilon(confounded):
    study = confounded.study(privacy={"effects": {"epsilon": 3.0}})
    paying = charged_to_model(study)
    assert paying.privacy.model.epsilon == effects_budget(study).families_epsilon < 3.0
    assert study.privacy.model is None


def test_a_study_without_an_epsilon(confounded):
    study = confounded.study()
    assert not effects_are_private(study)
    assert not fits_for_effects(study)
    with pytest.raises(ProtocolError):
        effects_budget(study)
