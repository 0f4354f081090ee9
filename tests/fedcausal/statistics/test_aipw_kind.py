import numpy as np
import pytest

from fedcausal.data.table import Table
from fedcausal.effects.aipw import estimate, nuisances
from fedcausal.errors import ProtocolError
from fedcausal.model.gram_model import GramModel
from fedcausal.statistics.aipw_kind import AipwKind, aipw_release, aipw_request, influences_of
from fedcausal.statistics.kind import Request

KIND = AipwKind()
RNG = np.random.default_rng(0)


def engine_of(walk, study, sites):
    state = walk(study, sites)[-1]
    return GramModel(
        graph=state.discovery.model_dag(), schema=study.schema(), mechanisms=state.mechanisms
    )


@pytest.fixture(scope="module")
def study(confounded):
    return confounded.study()


@pytest.fixture(scope="module")
def sites(confounded, study):
    return confounded.sites(study, num_sites=3, rows_per_site=500, seed=1)


@pytest.fixture(scope="module")
def request_(walk, study, sites):
    return aipw_request(nuisances(study, engine_of(walk, study, sites), {}, seed=0), {})


def pooled(study, sites):
    return Table(study.schema(), np.concatenate([site.values for site in sites]))


def test_the_released_sums_are_those_of_pooled_rows(study, sites, request_, secure_total):
    """The oracle: the formula on all rows together, in numpy."""
    released = secure_total(KIND, study, request_, sites)
    (influence,) = influences_of(study, request_)
    values = influence.values(influence.columns_of(pooled(study, sites)))
    found = aipw_release(study, request_, released)[0]
    assert found.counts.sum() == 1500
    assert np.allclose(found.sums, values.sum(axis=0), atol=1e-3)
    assert np.allclose(found.products, values.T @ values, atol=1e-3)
    difference = values[:, 1] - values[:, 0]
    half = 1.96 * difference.std(ddof=1) / np.sqrt(1500)
    answer = estimate(influence, found)
    assert answer.estimate == pytest.approx(12 * difference.mean(), abs=1e-4)
    assert answer.interval[1] - answer.estimate == pytest.approx(12 * half, rel=1e-3)


def test_any_split_of_the_rows_gives_the_same_integers(study, sites, request_):
    whole = KIND.compute(study, request_, pooled(study, sites), RNG)
    assert np.array_equal(sum(KIND.compute(study, request_, s, RNG) for s in sites), whole)


def test_a_site_uses_its_own_intercepts_unless_rows_are_pooled(confounded, walk, secure_total):
    """Sites that differ in both means confound the effect; their intercepts take that away."""
    estimates = {}
    for mode in ("pool", "center"):
        study = confounded.study(discovery={"site_effects": mode, "votes": False})
        sites = []
        for k, table in enumerate(
            confounded.sites(study, num_sites=3, rows_per_site=1500, seed=3)
        ):
            values = table.values.copy()
            names = study.schema().names
            drug, pressure = names.index("drug"), names.index("pressure")
            taking = np.random.default_rng(k).random(1500) < 0.3 * k
            flipped = np.where(taking, 1.0, values[:, drug])
            values[:, pressure] += 2.0 * (flipped - values[:, drug]) + 1.5 * k - 1.5
            values[:, drug] = flipped
            values[:, pressure] = values[:, pressure].clip(-12, 12)
            sites.append(Table(study.schema(), values))
        estimates[mode] = walk(study, sites)[-1].second_estimates[0].estimate
    assert abs(estimates["center"] - 2.0) < 0.2 < abs(estimates["pool"] - 2.0)


def test_a_withheld_count_takes_the_sums_along(study, sites, request_, secure_total):
    column = study.schema().names.index("drug")
    few = []
    for k, site in enumerate(sites):
        values = site.values[site.values[:, column] == 0]
        values = np.concatenate([values, site.values[site.values[:, column] == 1][: k == 0]])
        few.append(Table(study.schema(), values))
    assert aipw_release(study, request_, secure_total(KIND, study, request_, few)) == {0: None}


def test_rows_with_missing_values_are_left_out(study, sites, request_):
    values = sites[0].values.copy()
    values[:100, 0] = np.nan
    vector = KIND.compute(study, request_, Table(study.schema(), values), RNG)
    assert vector[:2].sum() == 400


@pytest.mark.parametrize(
    "changes",
    [
        {"queries": []},
        {"queries": 3},
        {"ranges": {"age": [1, 0]}},
        {"ranges": {"age": 1}},
        {"ranges": 3},
        {"more": 1},
    ],
)
def test_malformed_requests(study, request_, changes):
    request = Request(kind="aipw", parameters={**request_.parameters, **changes})
    with pytest.raises(ProtocolError):
        KIND.spec(study, request, 3)


def test_one_question_is_asked_once(study, request_):
    twice = [*request_.parameters["queries"], *request_.parameters["queries"]]
    request = Request(kind="aipw", parameters={**request_.parameters, "queries": twice})
    with pytest.raises(ProtocolError, match="each once"):
        KIND.spec(study, request, 3)


def test_no_question_is_no_request():
    assert aipw_request((), {}) is None
