import numpy as np
import pytest

from fedcausal.errors import ProtocolError
from fedcausal.model.noisy_families import NoisyFamilies, noisy_families_request
from fedcausal.private.effects_budget import charged_to_model
from fedcausal.statistics.effect_families_kind import (
    EffectFamilies,
    EffectScale,
    as_charged_to_model,
    effect_families_request,
    effect_scale_request,
)
from fedcausal.statistics.scale_kind import ModelScaleKind, scale_request

NODES = ("age", "drug", "pressure", "sex")
SCALES = {"age": (0.0, 0.25), "drug": (0.5, 0.5), "pressure": (0.0, 0.2), "sex": (0.5, 0.5)}
NOISY = noisy_families_request(
    [("age", "drug"), ("drug", "pressure")], NODES, dict.fromkeys(NODES, 1), scales=SCALES
)
REQUEST = effect_families_request(NOISY)
KIND = EffectFamilies()


@pytest.fixture(scope="module")
def study(confounded):
    return confounded.study(privacy={"effects": {"epsilon": 3.0}})


def test_it_is_the_noisy_families_at_the_share_of_the_effects(confounded, study, seeded_noise):
    (site,) = confounded.sites(study, num_sites=1, rows_per_site=50, seed=0)
    paying = charged_to_model(study)
    own = KIND.compute_private(study, REQUEST, site, num_sites=4, noise=seeded_noise())
    other = NoisyFamilies().compute_private(paying, NOISY, site, num_sites=4, noise=seeded_noise())
    assert np.array_equal(own, other)
    assert KIND.event(study, REQUEST) == NoisyFamilies().event(paying, NOISY)
    assert KIND.spec(study, REQUEST, 4).length == len(own)
    assert as_charged_to_model(REQUEST) == NOISY
    assert (KIND.part, NoisyFamilies.part) == ("effects", "model")


def test_scales_are_the_histograms_of_the_model_at_the_share_of_the_effects(
    confounded, study, seeded_noise
):
    (site,) = confounded.sites(study, num_sites=1, rows_per_site=50, seed=0)
    paying, request = charged_to_model(study), effect_scale_request()
    kind, of_model = EffectScale(), scale_request(of_model=True)
    own = kind.compute_private(study, request, site, num_sites=4, noise=seeded_noise())
    other = ModelScaleKind().compute_private(
        paying, of_model, site, num_sites=4, noise=seeded_noise()
    )
    assert np.array_equal(own, other)
    assert kind.event(study, request) == ModelScaleKind().event(paying, of_model)
    assert kind.spec(study, request, 4).length == len(own)
    assert as_charged_to_model(request) == of_model
    assert (kind.name, kind.part) == ("effect_scale", "effects")


def test_a_model_with_an_epsilon_has_no_such_statistic(confounded):
    study = confounded.study(privacy={"effects": {"epsilon": 3.0}, "model": {"epsilon": 1.0}})
    for kind, request in ((KIND, REQUEST), (EffectScale(), effect_scale_request())):
        with pytest.raises(ProtocolError):
            kind.spec(study, request, 4)
