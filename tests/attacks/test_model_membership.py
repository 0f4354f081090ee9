"""Was this record in it? Attacks on trained models by somebody who knows every other record.

Each has the undefended figure beside it: the same attack on the same training without noise.
"""

import math

import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch import nn

from fedcausal.data.table import Table
from fedcausal.model.noisy_families import NoisyFamilies, noisy_families_request, noisy_layouts
from fedcausal.model.noisy_family_gram import decode_noisy_families, fit_noisy_mechanisms
from fedcausal.private.model_budget import model_budget
from fedcausal.study import Study
from fedcausal_privacy.disclosure.cell_rule import apply_cell_rule
from fedcausal_privacy.dp.accountant import noise_multiplier_for
from fedcausal_privacy.dp.training import train_private
from tests.attacks.audit import auc, measured_epsilon, most_auc

DELTA, TRIALS = 1e-5, 200
STEPS, RATE = 6, 0.5


class Direction(nn.Module):
    """A loss whose gradient is the row itself: a canary moves it as far as clipping lets."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 1, bias=False)

    def forward(self, rows):
        return self.layer(rows).squeeze(1)


class Seeded:
    """Samples, and noise that a factor of 0 switches off, from a seed."""

    def __init__(self, seed, factor):
        self.rng, self.factor = np.random.default_rng(seed), factor

    def uniform(self, size):
        return self.rng.random(size)

    def normal(self, size):
        return self.factor * self.rng.standard_normal(size)


def trained(rows, multiplier, noise):
    """How far a few steps of DP-SGD move the weights along the canary."""
    model = Direction()
    with torch.no_grad():
        model.layer.weight.zero_()
    train_private(
        model,
        lambda m, batch: m(batch),
        rows,
        rules={},
        noise_multiplier=multiplier,
        clip=1.0,
        sample_rate=RATE,
        expected_batch_size=1.0,
        steps=STEPS,
        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=1.0),
        noise=noise,
    )
    return -float(model.layer.weight.detach()[0, 0])


def scores_of_training(epsilon, factor):
    """Scores without and with the canary, which is orthogonal to the other rows."""
    multiplier, noise = noise_multiplier_for(epsilon, DELTA, RATE, STEPS), Seeded(7, factor)
    others = torch.tensor([[0.0, 3.0, 0.0, 0.0], [0.0, 0.0, 0.2, 0.1]])
    canary = torch.tensor([[50.0, 0.0, 0.0, 0.0]])
    worlds = (others, torch.cat([others, canary]))
    return [np.array([trained(w, multiplier, noise) for _ in range(TRIALS)]) for w in worlds]


@pytest.mark.parametrize("epsilon", [1.0, 8.0])
def test_a_canary_in_private_training(epsilon):
    absent, present = scores_of_training(epsilon, 1.0)
    error = 3 * math.sqrt(0.25 / TRIALS)
    assert auc(absent, present) <= most_auc(epsilon, DELTA) + error
    measured = measured_epsilon(absent, present, DELTA)
    assert measured <= epsilon
    if epsilon == 8.0:  # the attack sees what there is to see
        assert auc(absent, present) > 0.5 + error
        assert measured > 0.5


def test_without_noise_a_canary_is_found_and_the_audit_fails():
    """Only the chance of never being sampled, 2^-6, hides it."""
    absent, present = scores_of_training(1.0, 0.0)
    assert auc(absent, present) > 0.97
    assert measured_epsilon(absent, present, DELTA) > 2.0


EDGES, NODES = [("a", "y")], ("a", "y")
SCALES = {"a": (0.0, 0.12), "y": (0.0, 0.12)}
KIND = NoisyFamilies()


def study(epsilon):
    bounded = {name: {"kind": "continuous", "bounds": [-4, 4]} for name in NODES}
    return Study.model_validate(
        {
            "variables": bounded,
            "model": {"family": "gram"},
            "privacy": {"model": {"epsilon": epsilon}, "colluding_sites": 0},
        }
    )


def rows(with_victim):
    rng = np.random.default_rng(3)
    a = rng.normal(size=60).clip(-4, 4)
    values = np.column_stack([a, (a + 0.5 * rng.normal(size=60)).clip(-4, 4)])
    return np.vstack([values, [[2.5, -3.5]]]) if with_victim else values


def coefficients(found, request, vector):
    spec = KIND.spec(found, request, 3)
    grams = decode_noisy_families(found, request, apply_cell_rule(vector, spec), 3)
    return fit_noisy_mechanisms(grams)["y"].coefficients


def scores_of_closed_form(epsilon, source):
    """Two attackers: one sees the fitted slopes alone, one the whole noisy release.

    The first asks which of the two noiseless fits is nearer, the second projects on what the
    victim adds, each entry in units of its noise.
    """
    found = study(epsilon)
    request = noisy_families_request(EDGES, NODES, {"a": 1, "y": 1}, scales=SCALES)
    exact = [
        KIND.compute_private(
            found,
            request,
            Table(found.schema(), rows(is_in)),
            num_sites=3,
            noise=lambda scales: np.zeros(scales.size, dtype=np.int64),
        )
        for is_in in (False, True)
    ]
    scales = np.concatenate([one.deviations for one in noisy_layouts(found, request)])
    scales *= model_budget(found).families
    ends = [coefficients(found, request, vector) for vector in exact]
    step = (exact[1] - exact[0]) / scales
    slopes, releases = [], []
    for vector in exact:
        noisy = [vector + source(scales) for _ in range(TRIALS)]
        fits = np.array([coefficients(found, request, total) for total in noisy])
        near = [np.square(fits - end).sum(axis=1) for end in ends]
        slopes.append(near[0] - near[1])
        releases.append(np.array([(total - exact[0]) / scales @ step for total in noisy]))
    return slopes, releases, float(np.linalg.norm(step))


@pytest.mark.parametrize("epsilon", [1.0, 8.0])
def test_a_record_in_a_closed_form(epsilon):
    rng = np.random.default_rng(1)
    slopes, releases, shift = scores_of_closed_form(
        epsilon, lambda s: np.rint(s * rng.standard_normal(s.size)).astype(np.int64)
    )
    multiplier = model_budget(study(epsilon)).families
    assert shift <= 1.0 / multiplier
    allowed = norm.cdf(1.0 / (multiplier * math.sqrt(2.0)))
    error = 3 * math.sqrt(allowed * (1 - allowed) / TRIALS) + 1 / TRIALS
    for absent, present in (slopes, releases):
        assert auc(absent, present) <= allowed + error
        assert measured_epsilon(absent, present, DELTA) <= epsilon
    # The release tells what its sensitivity says that it tells.
    assert auc(*releases) >= norm.cdf(shift / math.sqrt(2.0)) - error


def test_without_noise_a_record_in_a_closed_form_is_certain():
    slopes, releases, _ = scores_of_closed_form(
        1.0, lambda scales: np.zeros(scales.size, dtype=np.int64)
    )
    for absent, present in (slopes, releases):
        assert auc(absent, present) == 1.0
        assert measured_epsilon(absent, present, DELTA) > 2.0
