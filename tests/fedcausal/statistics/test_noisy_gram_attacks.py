"""Attacks on the noisy Gram by somebody who knows every record but one, and all but the noise.

Each has the undefended figure beside it: the same attack on the same sums without noise.
"""

import math

import numpy as np
import pytest
from scipy.stats import beta, norm

from fedcausal.data.table import Table
from fedcausal.private.graph_budget import graph_budget
from fedcausal.statistics.noisy_gram_kind import NoisyGramKind, noisy_gram_request
from fedcausal.statistics.scale_kind import ReleasedScales
from fedcausal.study import Study

NAMES = ("a", "b", "c", "d")
TRIALS = 400
KIND = NoisyGramKind()


def _silence(scales):
    return np.zeros(scales.size, dtype=np.int64)


def _study(epsilon):
    return Study.model_validate(
        {
            "variables": {n: {"kind": "continuous", "bounds": [-10, 10]} for n in NAMES},
            "privacy": {"graph": {"epsilon": epsilon}},
            "discovery": {"site_effects": "pool"},
        }
    )


def _scores(epsilon, noise):
    """Scores of the best attacker on the sum of 3 sites, one of which colludes.

    Everything known is subtracted, so other records need not exist: the victim's site has the
    canary or no row at all. Sums of the two honest sites' vectors are projected on the canary's
    own contribution, each entry in units of its noise: the likelihood ratio.
    """
    study = _study(epsilon)
    scales = ReleasedScales(scales=dict.fromkeys(NAMES, (0.0, 0.1)), num_records=1000)
    request = noisy_gram_request(study, scales, 3)
    asked = []

    def vector(rows, source):
        table = Table(study.schema(), rows)
        return KIND.compute_private(study, request, table, num_sites=3, noise=source)

    canary, nobody = np.full((1, 4), 9.0), np.empty((0, 4))
    vector(nobody, lambda s: asked.append(s) or _silence(s))
    known = vector(canary, _silence) / asked[0]
    known = known / np.linalg.norm(known)

    draws = iter(noise(np.tile(asked[0], 4 * TRIALS)).reshape(4 * TRIALS, -1))

    def drawn(scales):
        return next(draws)

    def score(rows):
        total = vector(rows, drawn) + vector(nobody, drawn)
        return float(total / asked[0] @ known)

    absent = np.array([score(nobody) for _ in range(TRIALS)])
    present = np.array([score(canary) for _ in range(TRIALS)])
    return absent, present, graph_budget(study).gram


def _auc(absent, present):
    return float(np.mean(present[:, None] > absent[None, :]))


def _measured_epsilon(absent, present, delta, confidence=0.99):
    """Largest lower bound over thresholds chosen on the first half, proved on the second.

    References: Jagielski, Ullman and Oprea (2020), arXiv:2006.07709 (Clopper-Pearson bounds).
    """
    half = TRIALS // 2
    cuts = np.quantile(
        np.concatenate([absent[:half], present[:half]]), np.linspace(0.05, 0.95, 37)
    )

    def bound(cut, out, inside):
        hits, false = int((inside > cut).sum()), int((out > cut).sum())
        low = beta.ppf((1 - confidence) / 2, hits, half - hits + 1) if hits else 0.0
        high = beta.ppf(1 - (1 - confidence) / 2, false + 1, half - false) if false < half else 1.0
        return math.log(max(low - delta, 1e-12) / high)

    best = max(cuts, key=lambda cut: bound(cut, absent[:half], present[:half]))
    return bound(best, absent[half:], present[half:])


@pytest.fixture(scope="module", params=[1.0, 8.0])
def attacked(request, seeded_noise):
    return request.param, *_scores(request.param, seeded_noise())


def test_membership_inference_does_no_better_than_the_noise_allows(attacked):
    _, absent, present, multiplier = attacked
    allowed = norm.cdf(1 / (multiplier * math.sqrt(2)))
    error = math.sqrt(allowed * (1 - allowed) / TRIALS) + 1 / TRIALS
    assert _auc(absent, present) <= allowed + 3 * error
    # The attack is the best there is: it comes near what the noise allows.
    assert _auc(absent, present) >= allowed - 4 * error


def test_without_noise_membership_is_certain():
    absent, present, _ = _scores(1.0, _silence)
    assert _auc(absent, present) == 1.0


def test_an_audit_with_canaries_measures_no_more_than_was_claimed(attacked):
    claimed, absent, present, _ = attacked
    measured = _measured_epsilon(absent, present, 1e-5)
    assert measured <= claimed
    if claimed == 8.0:
        assert measured > 1.0  # the audit sees what there is to see


def test_without_noise_the_audit_finds_a_broken_promise():
    absent, present, _ = _scores(1.0, _silence)
    assert _measured_epsilon(absent, present, 1e-5) > 3.0
