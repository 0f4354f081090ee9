import numpy as np
import pytest

from fedcausal.effects.aipw import (
    AipwEstimate,
    askable,
    estimate,
    imagined_limits,
    noisy_estimate,
    nuisances,
)
from fedcausal.model.gram_model import GramModel
from fedcausal.statistics.aipw_kind import AipwSums
from fedcausal.statistics.noisy_aipw_kind import NoisyAipwSums


@pytest.fixture(scope="module")
def study(confounded):
    queries = [
        {"treatment": "drug", "outcome": "pressure", "values": ["no", "yes"]},
        {"treatment": "age", "outcome": "pressure", "values": [0, 1]},
        {"treatment": "drug", "outcome": "sex", "values": ["no", "yes"]},
    ]
    return confounded.study(effects={"queries": queries, "draws": 2, "samples": 100})


@pytest.fixture(scope="module")
def state(walk, confounded, study):
    sites = confounded.sites(study, num_sites=3, rows_per_site=600, seed=2)
    return walk(study, sites)[-1]


@pytest.fixture(scope="module")
def engine(state, study):
    return GramModel(
        graph=state.discovery.model_dag(), schema=study.schema(), mechanisms=state.mechanisms
    )


@pytest.fixture(scope="module")
def influence(study, engine):
    return nuisances(study, engine, {}, seed=0)[0]


def test_levels_with_a_path_to_the_outcome_are_asked_about(study, engine, state):
    assert askable(study, engine) == (0,)
    assert set(state.second_estimates) == {0}


def test_only_questions_about_all_records_are_asked_about(study, engine):
    content = study.to_json()
    own = {**content["effects"]["queries"][0], "population": "site north"}
    content["effects"]["queries"].insert(0, own)
    assert askable(type(study).model_validate(content), engine) == (1,)


def test_the_estimate_is_near_the_truth(state, confounded):
    found = state.second_estimates[0]
    assert found.interval[0] < confounded.effect < found.interval[1]
    assert found.num_records == 1800
    assert found.noise == 0.0


def test_where_it_can_the_nuisance_is_the_mechanism_itself(engine, influence):
    """All parents of the pressure are the drug and the drug's parents."""
    rng = np.random.default_rng(1)
    columns = engine.sample(50, do={"drug": 1.0}, rng=rng)
    columns = {name: values.clip(-4, 4) for name, values in columns.items()}
    expected = engine.mechanisms["pressure"].mean(columns)
    assert np.allclose(influence.models(columns)[1][:, 1], expected.clip(-1, 1), atol=2e-3)


def test_one_right_nuisance_model_is_enough(influence):
    """The law of the estimate's error, with either model set to nonsense."""
    rng = np.random.default_rng(2)
    truth = {"chance": rng.uniform(0.2, 0.8, 200_000), "means": rng.normal(size=(200_000, 2))}
    took = rng.random(200_000) < truth["chance"]
    outcome = np.where(took, truth["means"][:, 1], truth["means"][:, 0])
    outcome = outcome + rng.normal(size=200_000)
    effect = (truth["means"][:, 1] - truth["means"][:, 0]).mean()
    for chance, means in (
        (truth["chance"], np.zeros((200_000, 2))),
        (np.full(200_000, 0.5), truth["means"]),
    ):
        second = means[:, 1] + took / chance * (outcome - means[:, 1])
        first = means[:, 0] + ~took / (1 - chance) * (outcome - means[:, 0])
        difference = second - first
        assert abs(difference.mean() - effect) < 6 * difference.std() / np.sqrt(200_000)


def test_limits_hold_nearly_all_records(confounded, study, influence, engine):
    limits = imagined_limits(influence, engine, seed=0)
    (site,) = confounded.sites(study, num_sites=1, rows_per_site=3000, seed=5)
    values = influence.values(influence.columns_of(site))
    beyond = np.abs(values[:, 1] - values[:, 0] - limits.difference) > limits.difference_reach
    assert beyond.mean() < 0.002
    assert limits.difference_reach < influence.largest


def sums(count):
    return AipwSums(
        counts=np.array([count / 2, count / 2]),
        sums=np.array([0.0, 0.1 * count]),
        products=np.array([[0.0, 0.0], [0.0, 0.05 * count]]),
    )


def test_too_few_records_give_no_estimate(influence):
    assert estimate(influence, sums(1)) is None
    found = estimate(influence, sums(1000))
    assert found.estimate == pytest.approx(1.2)
    half = 12 * 1.96 * np.sqrt(0.04 / 999)
    assert found.interval[1] - found.estimate == pytest.approx(half, rel=1e-3)


def test_noise_widens_the_interval(influence):
    def width(noise, model_error):
        found = NoisyAipwSums(
            num_records=1000.0,
            difference=0.1,
            total=0.1,
            about=0.0,
            square=0.04,
            noise=noise,
            square_noise=0.001,
        )
        answer = noisy_estimate(influence, found, model_error=model_error)
        assert answer.noise == pytest.approx(12 * noise)
        return answer.interval[1] - answer.interval[0]

    assert width(1e-9, 0.0) == pytest.approx(2 * 12 * 1.96 * np.sqrt(0.04 / 1000), rel=1e-3)
    assert width(1e-9, 0.0) < width(0.01, 0.0) < width(0.01, 0.02)


def test_a_negative_noisy_square_still_gives_an_interval(influence):
    found = NoisyAipwSums(
        num_records=1000.0,
        difference=0.0,
        total=0.0,
        about=0.0,
        square=-0.002,
        noise=0.001,
        square_noise=0.001,
    )
    assert np.diff(noisy_estimate(influence, found).interval)[0] > 0


def test_json_returns(state):
    found = state.second_estimates[0]
    assert AipwEstimate.from_json(found.to_json()) == found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("privacy", "rows"),
    [
        ({}, 400),
        ({"effects": {"epsilon": 3.0}}, 1000),
        ({"effects": {"epsilon": 3.0}, "model": {"epsilon": 3.0}}, 1000),
    ],
)
def test_coverage_of_the_interval(confounded, noisy_walk, seeded_noise, privacy, rows):
    """Of 150 seeded studies 133 or more: at 95 % fewer are rarer than 1 in 1000."""
    study = confounded.study(privacy=privacy)
    hits = 0
    for seed in range(150):
        sites = confounded.sites(study, num_sites=5, rows_per_site=rows, seed=20_000 + seed)
        found = noisy_walk(study, sites, seeded_noise(seed), seed=seed).second_estimates[0]
        hits += found.interval[0] <= confounded.effect <= found.interval[1]
    assert hits >= 133
