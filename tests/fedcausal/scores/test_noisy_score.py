"""The score that pays for noise: one formula in three ways, and what it is for."""

from dataclasses import replace

import numpy as np
import pytest

from fedcausal.discovery.knowledge import Knowledge
from fedcausal.discovery.options import DiscoveryOptions
from fedcausal.discovery.order_search import order_search
from fedcausal.errors import InputError
from fedcausal.moments.covariance import BlockCovariance, GramNoise
from fedcausal.private.noisy_totals import draw_noise, repaired
from fedcausal.scores.noisy_score import NoisyBlockScore, noisy_score
from fedcausal.scores.score import BlockScore

BLOCKS = {"a": (0,), "b": (1, 2), "c": (3,), "d": (4, 5)}


def _statistics(size=6, blocks=BLOCKS, deviations=None, seed=0, num_records=2000.0):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(400, size)) @ (np.eye(size) + 0.4 * rng.normal(size=(size, size)))
    deviations = rng.uniform(0.01, 0.03, size) if deviations is None else deviations
    return BlockCovariance(
        names=tuple(blocks),
        blocks=blocks,
        covariance=np.corrcoef(rows.T),
        num_records=np.full((len(blocks),) * 2, 500.0),
        noise=GramNoise(deviations=deviations, num_records=num_records),
    )


def _single(size=6, **kwargs):
    return _statistics(size, {f"v{i}": (i,) for i in range(size)}, **kwargs)


@pytest.mark.parametrize("statistics", [_single(), _statistics()])
@pytest.mark.parametrize("parents", [[], [1], [0, 2]])
def test_families_agree_with_single_scores(statistics, parents):
    score = BlockScore.from_covariance(statistics)
    assert isinstance(score, NoisyBlockScore)
    found, size = score.families(parents), len(statistics.names)
    for child in set(range(size)) - set(parents):
        assert found.here[child] == pytest.approx(score.local(child, parents))
        for k in set(range(size)) - {child, *parents}:
            more = score.local(child, [*parents, k])
            assert found.with_one_more[child, k] == pytest.approx(more, rel=1e-9, abs=1e-6)
    assert np.isneginf(found.with_one_more[:, parents]).all()
    assert np.isneginf(np.diag(found.with_one_more)).all()


def test_without_noise_it_is_the_plain_score():
    statistics = _single(deviations=np.full(6, 1e-12))
    plain = replace(statistics, noise=None, num_records=np.full((6, 6), 2000.0))
    assert BlockScore.from_covariance(statistics).local(0, [1, 2]) == pytest.approx(
        BlockScore.from_covariance(plain).local(0, [1, 2])
    )


@pytest.mark.parametrize("parents", [[1], [1, 2], [1, 2, 3]])
def test_the_price_is_what_a_regression_fits_of_the_noise(parents):
    """Mean share of the residual variance over 4000 draws, within 4 standard errors and 5 %."""
    statistics = _single(seed=3, deviations=np.array([2.0, 1.0, 3.0, 1.5, 1.0, 1.0]) * 1e-3)
    score = BlockScore.from_covariance(statistics)
    sigma, noise = statistics.covariance, statistics.noise
    inside = sigma[np.ix_(parents, parents)]
    slopes = np.linalg.solve(inside, sigma[parents, 0])
    left = sigma[0, 0] - sigma[0, parents] @ slopes
    drawn = draw_noise(noise, np.random.default_rng(1), (4000,))
    error = drawn[:, parents, 0] - drawn[:, parents][:, :, parents] @ slopes
    shares = np.einsum("ni,ij,nj->n", error, np.linalg.inv(inside), error) / left
    price = score._fitted_noise(0, parents)
    assert shares.mean() == pytest.approx(
        price, abs=4 * shares.std() / np.sqrt(4000) + 0.05 * price
    )


def test_what_is_no_noisy_covariance_is_refused():
    plain = replace(_single(), noise=None)
    with pytest.raises(InputError, match="needs a covariance with noise"):
        noisy_score(plain, penalty=1.0, edge_prior=np.zeros((6, 6)), names=plain.names)


def _chain_with_noise(seed, deviation):
    """Correlations of the chain v0 -> ... -> v7 with coefficient 0.8, and noise on top."""
    rng = np.random.default_rng(seed)
    lags = np.abs(np.subtract.outer(np.arange(8), np.arange(8)))
    noise = GramNoise(deviations=np.full(8, deviation), num_records=50_000.0)
    matrix = 0.8**lags + draw_noise(noise, rng)
    names = tuple(f"v{i}" for i in range(8))
    return BlockCovariance(
        names=names,
        blocks={name: (i,) for i, name in enumerate(names)},
        covariance=repaired(matrix, noise.floor),
        num_records=np.full((8, 8), 1 / (1 / 50_000 + deviation**2)),
        noise=noise,
    )


def test_it_keeps_edges_of_noise_out_where_fewer_records_do_not():
    extra = {"noisy": 0, "plain": 0}
    for seed in range(5):
        statistics = _chain_with_noise(seed, 0.01)
        for name, given in (("noisy", statistics), ("plain", replace(statistics, noise=None))):
            graph = order_search(given, Knowledge(nodes=given.names), DiscoveryOptions()).graph
            pairs = {tuple(sorted((e.source, e.target))) for e in graph.edges}
            chain = {(f"v{i}", f"v{i + 1}") for i in range(7)}
            assert chain <= pairs
            extra[name] += len(pairs - chain)
    assert extra["noisy"] <= 2 < extra["plain"]
