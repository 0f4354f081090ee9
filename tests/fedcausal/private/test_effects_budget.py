import pytest

from fedcausal.errors import ProtocolError
from fedcausal.private.effects_budget import (
    charged_to_model,
    effects_are_private,
    effects_budget,
    fits_for_effects,
)
from fedcausal.private.model_budget import model_budget
from fedcausal_privacy.dp.accountant import epsilon_of, noise_multiplier_for


@pytest.mark.parametrize("epsilon", [0.5, 1.0, 3.0, 8.0])
def test_all_releases_together_are_within_epsilon(confounded, epsilon):
    study = confounded.study(privacy={"effects": {"epsilon": epsilon}})
    events = effects_budget(study).events()
    assert [event.name for event in events] == ["scales", "families", "residuals", "aipw"]
    assert 0.95 * epsilon < epsilon_of(events, study.privacy.delta) <= epsilon


def test_a_noised_model_leaves_the_whole_epsilon_to_the_sums(confounded):
    study = confounded.study(privacy={"effects": {"epsilon": 3.0}, "model": {"epsilon": 1.0}})
    (event,) = effects_budget(study).events()
    assert not fits_for_effects(study)
    assert event.noise_multiplier == noise_multiplier_for(3.0, study.privacy.delta)
    with pytest.raises(ProtocolError):
        charged_to_model(study)


def test_scales_of_a_private_graph_are_not_paid_for_again(confounded):
    learnt = {"knowledge": {}, "privacy": {"effects": {"epsilon": 3.0}, "graph": {"epsilon": 1.0}}}
    study = confounded.study(**learnt)
    events = effects_budget(study).events()
    assert [event.name for event in events] == ["families", "residuals", "aipw"]
    assert 2.85 < epsilon_of(events, study.privacy.delta) <= 3.0


@pytest.mark.parametrize("family", ["gram", "auto"])
def test_a_closed_form_under_an_epsilon_is_a_noised_model_by_either_name(confounded, family):
    privacy = {"effects": {"epsilon": 3.0}, "model": {"epsilon": 1.0}}
    study = confounded.study(privacy=privacy, model={"family": family})
    assert not fits_for_effects(study)


def test_training_under_an_epsilon_leaves_the_family_sums_to_the_effects(confounded):
    privacy = {"effects": {"epsilon": 3.0}, "model": {"epsilon": 1.0}}
    assert fits_for_effects(confounded.study(privacy=privacy, model={"family": "nodeflow"}))


def test_the_paying_study_has_the_share_as_its_epsilon(confounded):
    study = confounded.study(privacy={"effects": {"epsilon": 3.0}})
    paying = charged_to_model(study)
    assert paying.privacy.model.epsilon == effects_budget(study).families_epsilon < 3.0
    assert model_budget(paying) == effects_budget(study).families
    assert study.privacy.model is None


def test_a_study_without_an_epsilon(confounded):
    study = confounded.study()
    assert not effects_are_private(study)
    assert not fits_for_effects(study)
    with pytest.raises(ProtocolError):
        effects_budget(study)
