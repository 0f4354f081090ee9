"""Attacks on a NodeFlow that is trained as sites train it: its layers, its DP-SGD, its optimiser.

Each has the undefended figure beside it: the same attack without noise, and without clipping.
"""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from fedcausal.model.nodeflow import build, from_vector, to_vector
from fedcausal.model.nodeflow_spec import NodeFlowSpec
from fedcausal.model.training import RULES, local_update, member_losses
from fedcausal.model.training_plan import TrainingPlan
from fedcausal_privacy.dp.accountant import noise_multiplier_for
from fedcausal_privacy.dp.training import train_private
from tests.attacks.audit import auc, measured_epsilon, most_auc

SPEC = NodeFlowSpec(
    names=("a", "y"),
    kinds=("continuous", "continuous"),
    levels=(0, 0),
    bounds=((-3.0, 3.0), (-3.0, 3.0)),
    edges=(("a", "y"),),
    hidden=2,
    bins=2,
)
START = to_vector(build(SPEC, 0))
DELTA, TRIALS, STEPS, RATE = 1e-5, 100, 2, 0.8
ERROR = 3 * math.sqrt(0.25 / TRIALS)
NO_CLIP = 1e6

OTHERS = np.array([[0.3, 0.2], [-0.5, 0.1]])
CANARY = np.array([[3.0, -3.0]])
"""At a corner of the bounds: its gradient is 40 times as long as clipping leaves it."""


class Seeded:
    """Samples, and noise that a factor of 0 switches off, from a seed."""

    def __init__(self, seed, factor=1.0):
        self.rng, self.factor = np.random.default_rng(seed), factor

    def uniform(self, size):
        return self.rng.random(size)

    def normal(self, size):
        return self.factor * self.rng.standard_normal(size)


def plan(epsilon, clip=1.0):
    """One round for `epsilon` at a clip of 1; a larger clip keeps that noise as it is."""
    multiplier = noise_multiplier_for(epsilon, DELTA, RATE, STEPS)
    return TrainingPlan(
        rounds=1,
        steps=STEPS,
        sample_rate=RATE,
        expected_batch_size=1.0,
        learning_rate=0.02,
        clip=clip,
        update_clip=1.0,
        noise_multiplier=multiplier / clip,
        device="cpu",
    )


def gain(rows, training, noise):
    """How likely the canary is to the trained model; before, that is the same in both worlds."""
    done = local_update(
        SPEC,
        START,
        rows,
        plan=training,
        round_index=0,
        rng=np.random.default_rng(0),
        noise=noise,
    )
    return log_prob_of_canary(START + done.delta)


def log_prob_of_canary(weights):
    canary = torch.from_numpy(SPEC.scale(CANARY).astype(np.float32))
    with torch.no_grad():
        return -float(from_vector(SPEC, weights)(canary).sum())


def scores(training, noise):
    """Without and with the canary; the attacker knows every other row."""
    worlds = (OTHERS, np.vstack([OTHERS, CANARY]))
    return [np.array([gain(rows, training, noise) for _ in range(TRIALS)]) for rows in worlds]


@pytest.mark.parametrize("epsilon", [1.0, 8.0])
def test_a_canary_in_a_private_flow(epsilon):
    """All draws are seeded; at epsilon 8 the attack sees what there is to see."""
    absent, present = scores(plan(epsilon), Seeded(7))
    found = auc(absent, present)
    assert found <= most_auc(epsilon, DELTA) + ERROR
    assert measured_epsilon(absent, present, DELTA) <= epsilon
    if epsilon == 8.0:
        assert found > 0.5 + ERROR


@pytest.mark.parametrize(
    ("factor", "clip"), [(0.0, 1.0), (1.0, NO_CLIP)], ids=["no noise", "no clipping"]
)
def test_without_a_defence_the_canary_is_found_and_the_audit_fails(factor, clip):
    """Two samples of four fifths of the rows miss it with a chance of 4 %."""
    absent, present = scores(plan(1.0, clip), Seeded(7, factor))
    assert auc(absent, present) > most_auc(1.0, DELTA) + ERROR
    assert measured_epsilon(absent, present, DELTA) > 1.0


ROW = np.array([[1.7, -0.4]])


def gradient_of_one_row(multiplier, noise):
    """What one step over one row moves, by name: the clipped gradient in the noise.

    At a learning rate of 1 and without Adam, which would leave little but signs: more than a
    site sends.
    """
    flow = from_vector(SPEC, START)
    before = {name: p.detach().clone() for name, p in flow.named_parameters()}
    train_private(
        flow,
        member_losses(1),
        torch.from_numpy(SPEC.scale(ROW).astype(np.float32)),
        rules=RULES,
        noise_multiplier=multiplier,
        clip=1.0,
        sample_rate=1.0,
        expected_batch_size=1.0,
        steps=1,
        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=1.0),
        noise=noise,
    )
    return {n: (before[n] - p.detach()).numpy() for n, p in flow.named_parameters()}


def inverted(gradient):
    """The parent's value: what the child's weights got over what its bias got."""
    child, location, number = SPEC.index("y"), 0, 0
    weight = gradient["linear.weight"][child, location, number]
    return float(weight / gradient["linear.bias"][child, location])


def flat(gradient):
    return np.concatenate([part.ravel() for part in gradient.values()])


def test_gradient_inversion_of_one_row_in_a_flow():
    """Off: the parent's value to 1e-5, clipped or not. On: no closer than the noise allows."""
    exact = gradient_of_one_row(1.0, Seeded(3, 0.0))
    scaled = float(SPEC.scale(ROW)[0, SPEC.index("a")])
    assert abs(inverted(exact) - scaled) < 1e-5

    noise, multiplier = Seeded(3), noise_multiplier_for(3.0, DELTA)
    noisy = [gradient_of_one_row(multiplier, noise) for _ in range(40)]
    assert np.median([abs(inverted(one) - scaled) for one in noisy]) > 0.5
    true = flat(exact)
    cosines = [
        abs(flat(one) @ true / np.linalg.norm(flat(one)) / np.linalg.norm(true)) for one in noisy
    ]
    # A unit vector plus noise of sd s in each of p coordinates has a mean square cosine of about
    # (1 + s^2) / (1 + p s^2).
    bound = math.sqrt((1 + multiplier**2) / (1 + len(true) * multiplier**2))
    assert np.mean(cosines) <= bound + 3 * stats.sem(cosines)
