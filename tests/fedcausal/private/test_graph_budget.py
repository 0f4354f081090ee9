import numpy as np
import pytest

from fedcausal.errors import ProtocolError
from fedcausal.private.graph_budget import graph_budget, is_private, noise_share, num_colluding
from fedcausal.study import Study
from fedcausal_privacy.dp.accountant import epsilon_of

VARIABLES = {name: {"kind": "continuous", "bounds": [0, 1]} for name in ("a", "b")}


def _study(epsilon=None, **sections):
    privacy = {} if epsilon is None else {"graph": {"epsilon": epsilon}}
    return Study.model_validate({"variables": VARIABLES, "privacy": privacy, **sections})


@pytest.mark.parametrize("epsilon", [0.3, 1.0, 8.0])
@pytest.mark.parametrize("effects", ["center", "pool"])
def test_the_releases_of_a_graph_cost_its_epsilon_and_hardly_less(epsilon, effects):
    study = _study(epsilon, discovery={"site_effects": effects})
    spent = epsilon_of(graph_budget(study).events(), study.privacy.delta)
    assert 0.98 * epsilon < spent <= epsilon


def test_private_means_cost_only_where_sites_are_centred():
    centred = graph_budget(_study(1.0))
    pooled = graph_budget(_study(1.0, discovery={"site_effects": "pool"}))
    assert pooled.centre is None
    assert pooled.second_release == pooled.gram < centred.gram
    assert centred.second_release == pytest.approx(pooled.gram, rel=0.01)


def test_without_an_epsilon_there_is_no_budget():
    assert not is_private(_study())
    with pytest.raises(ProtocolError, match=r"without privacy\.graph"):
        graph_budget(_study())


def test_the_study_says_how_many_sites_may_collude():
    assert num_colluding(_study(1.0), 10) == 3
    study = Study.model_validate(
        {"variables": VARIABLES, "privacy": {"graph": {"epsilon": 1.0}, "colluding_sites": 0}}
    )
    assert num_colluding(study, 10) == 0


def test_a_share_of_noise_is_what_all_but_the_colluding_sites_need():
    """Three honest ones of four: their shares together have the variance that was asked for."""
    asked = []

    def noise(scales):
        asked.append(scales)
        return np.zeros(scales.shape, dtype=np.int64)

    study = Study.model_validate(
        {"variables": VARIABLES, "privacy": {"graph": {"epsilon": 1.0}, "colluding_sites": 1}}
    )
    noise_share(study, np.array([100.0, 900.0]), 4, noise)
    assert asked[0] ** 2 * 3 == pytest.approx([100.0**2, 900.0**2])
