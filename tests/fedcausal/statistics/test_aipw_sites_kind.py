import numpy as np
import pytest

from fedcausal.data.table import Table
from fedcausal.effects.aipw import nuisances
from fedcausal.errors import StudyError
from fedcausal.model.gram_model import GramModel
from fedcausal.statistics.aipw_kind import aipw_request, influences_of
from fedcausal.statistics.aipw_sites_kind import (
    AipwSitesKind,
    aipw_sites_release,
    aipw_sites_request,
)

KIND = AipwSitesKind()


@pytest.fixture(scope="module")
def study(confounded):
    return confounded.study()


@pytest.fixture(scope="module")
def sites(confounded, study):
    return confounded.sites(study, num_sites=8, rows_per_site=300, seed=4)


@pytest.fixture(scope="module")
def request_(walk, study, sites):
    state = walk(study, sites)[-1]
    engine = GramModel(
        graph=state.discovery.model_dag(), schema=study.schema(), mechanisms=state.mechanisms
    )
    return aipw_sites_request(aipw_request(nuisances(study, engine, {}, seed=0), {}))


def test_q_is_cochrans_of_the_sites_own_estimates(study, sites, request_, secure_total):
    """The oracle: every site's mean and variance in numpy."""
    (influence,) = influences_of(study, request_)
    own = [influence.values(influence.columns_of(site)) for site in sites]
    means = np.array([(v[:, 1] - v[:, 0]).mean() for v in own])
    weights = np.array([len(v) / (v[:, 1] - v[:, 0]).var(ddof=1) for v in own])
    q = float(weights @ (means - weights @ means / weights.sum()) ** 2)
    found = aipw_sites_release(study, request_, secure_total(KIND, study, request_, sites))[0]
    assert found.num_sites == 8
    assert found.q == pytest.approx(q, rel=1e-2)
    assert found.i_squared == pytest.approx(max(1 - 7 / q, 0.0), abs=0.02)


def test_too_few_sites_are_refused(study, request_):
    with pytest.raises(StudyError, match="8 sites or more"):
        KIND.spec(study, request_, 7)


def test_it_is_withheld_where_fewer_sites_have_an_estimate(study, sites, request_, secure_total):
    column = study.schema().names.index("drug")
    nobody = Table(study.schema(), sites[0].values[sites[0].values[:, column] == 0])
    total = secure_total(KIND, study, request_, [nobody, *sites[1:]])
    assert aipw_sites_release(study, request_, total) == {}
