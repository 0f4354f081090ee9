"""How a study trains its flow: everything public about the rounds, and what they cost."""

import math
from dataclasses import dataclass
from typing import Protocol

from fedcausal_privacy.dp.accountant import epsilon_of, noise_multiplier_for
from fedcausal_privacy.dp.events import GaussianRelease, PoissonSampledGaussian

__all__ = ["CHECK_SHARE", "TrainingPlan", "training_plan"]

# With noise the learning rate falls along half a cosine over the rounds, to this share.
_LAST_RATE = 0.05
# Without, it rises over the first of these shares of all steps from the second share of its
# height, and falls to nothing (one cycle, Smith and Topin 2017, arXiv:1708.07120; PyTorch's).
_RISE, _FIRST_RATE = 0.3, 0.04

CHECK_SHARE = 0.1
"""Share of the model's epsilon for the losses on held-out rows that stop training early."""

_STEP = 1.001


class TrainingOptions(Protocol):
    """The numbers of a study's [model] section that training reads."""

    @property
    def rounds(self) -> int: ...
    @property
    def local_epochs(self) -> int: ...
    @property
    def batch(self) -> int: ...
    @property
    def sample_rate(self) -> float: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def clip(self) -> float: ...
    @property
    def update_clip(self) -> float: ...
    @property
    def device(self) -> str: ...
    @property
    def strategy(self) -> str: ...
    @property
    def proximal_mu(self) -> float: ...
    @property
    def patience(self) -> int: ...
    @property
    def held_out(self) -> float: ...
    @property
    def members(self) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingPlan:
    """Everything public about local training; only `device` may differ between sites.

    Attributes
    ----------
    steps
        Per round.
    clip, update_clip
        Bounds of a row's gradient, and of a coordinate of the update.
    noise_multiplier, check_multiplier
        None without differential privacy, else large enough for all `rounds` together: of the
        gradients, and of the losses on held-out rows.
    proximal_mu
        Strength with which local weights are drawn back to the shared ones (FedProx); 0: FedAvg.
    held_out
        Share of the rows on which training is judged and never done; 0 without early stopping.
    members
        Models of an ensemble, trained in one pass.
    """

    rounds: int
    steps: int
    sample_rate: float
    expected_batch_size: float
    learning_rate: float
    clip: float
    update_clip: float
    noise_multiplier: float | None = None
    check_multiplier: float | None = None
    device: str = "auto"
    proximal_mu: float = 0.0
    held_out: float = 0.0
    members: int = 1

    def event(self) -> PoissonSampledGaussian | None:
        """What ONE round releases; None without privacy. Charge it before training."""
        if self.noise_multiplier is None:
            return None
        return PoissonSampledGaussian(
            sample_rate=self.sample_rate,
            noise_multiplier=self.noise_multiplier,
            steps=self.steps,
        )

    def rate(self, round_index: int, step: int = 0) -> float:
        """The learning rate of a step; under noise the same in all steps of a round."""
        if self.noise_multiplier is not None:
            share = _falling(round_index / self.rounds)
            return self.learning_rate * (_LAST_RATE + (1.0 - _LAST_RATE) * share)
        done = (round_index * self.steps + step + 0.5) / (self.rounds * self.steps)
        if done < _RISE:
            share = _FIRST_RATE + (1.0 - _FIRST_RATE) * (1.0 - _falling(done / _RISE))
        else:
            share = _falling((done - _RISE) / (1.0 - _RISE))
        return self.learning_rate * share


def training_plan(
    options: TrainingOptions, *, epsilon: float | None, delta: float, device: str | None = None
) -> TrainingPlan:
    """Plan the rounds of a study: steps per round, and noise for `epsilon` over all of them.

    With early stopping a tenth of the epsilon pays for one loss after every round.
    """
    steps = math.ceil(options.local_epochs / options.sample_rate)
    multiplier = check = None
    if epsilon is not None and not options.patience:
        multiplier = noise_multiplier_for(
            epsilon, delta, options.sample_rate, steps * options.rounds
        )
    elif epsilon is not None:
        multiplier, check = _divided(options, epsilon, delta, steps)
    return TrainingPlan(
        rounds=options.rounds,
        steps=steps,
        sample_rate=options.sample_rate,
        expected_batch_size=float(options.batch),
        learning_rate=options.learning_rate,
        clip=options.clip,
        update_clip=options.update_clip,
        noise_multiplier=multiplier,
        check_multiplier=check,
        device=options.device if device is None else device,
        proximal_mu=options.proximal_mu if options.strategy == "fedprox" else 0.0,
        held_out=options.held_out if options.patience else 0.0,
        members=options.members,
    )


def _falling(share: float) -> float:
    """Half a cosine from 1 to 0."""
    return 0.5 * (1.0 + math.cos(math.pi * share))


def _divided(
    options: TrainingOptions, epsilon: float, delta: float, steps: int
) -> tuple[float, float]:
    """Multipliers of the gradients and of the losses that together stay within `epsilon`.

    A row is either trained on or held out, so that the dearer of both would do; charging both is
    on the safe side.
    """
    rounds, rate = options.rounds, options.sample_rate
    training = noise_multiplier_for((1.0 - CHECK_SHARE) * epsilon, delta, rate, steps * rounds)
    check = noise_multiplier_for(CHECK_SHARE * epsilon, delta, 1.0, rounds)
    while True:
        gradients = PoissonSampledGaussian(
            sample_rate=rate, noise_multiplier=training, steps=steps * rounds
        )
        loss = GaussianRelease(sensitivity=1.0, noise_multiplier=check, name="validation")
        if epsilon_of([gradients, *[loss] * rounds], delta) <= epsilon:
            return training, check
        training, check = training * _STEP, check * _STEP
