import numpy as np
import pytest

from fedcausal.errors import ProtocolError
from fedcausal.model.noisy_families import NoisyFamilies, noisy_families_request
from fedcausal.private.effects_budget import charged_to_model
from fedcausal.statistics.effect_families_kind import (
    EffectFamilies,
    as_noisy_families,
    effect_families_request,
)

NODES = ("age", "drug", "pressure", "sex")
NOISY = noisy_families_request(
    [("age", "drug"), ("drug", "pressure")], NODES, dict.fromkeys(NODES, 1)
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
    assert as_noisy_families(REQUEST) == NOISY
    assert (KIND.part, NoisyFamilies.part) == ("effects", "model")


def test_a_model_with_an_epsilon_has_no_such_statistic(confounded):
    study = confounded.study(privacy={"effects": {"epsilon": 3.0}, "model": {"epsilon": 1.0}})
    with pytest.raises(ProtocolError):
        KIND.spec(study, REQUEST, 4)
