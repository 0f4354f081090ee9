"""One site's part in training a NodeFlow: some steps from the shared weights, on its own rows."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fedcausal.data.table import TableSource
from fedcausal.errors import InputError
from fedcausal.model.grouped import (
    GroupedLinear,
    grouped_squared_norms,
    grouped_weighted_sums,
)
from fedcausal.model.nodeflow import from_vector, to_vector
from fedcausal.model.nodeflow_spec import NodeFlowSpec
from fedcausal_privacy.accountant import noise_multiplier_for
from fedcausal_privacy.dp_training import LayerRule, train_plain, train_private
from fedcausal_privacy.events import PoissonSampledGaussian
from fedcausal_privacy.noise import NoiseSource, SecureNoise

__all__ = ["RULES", "LocalUpdate", "TrainingPlan", "gather_rows", "local_update", "training_plan"]

Float32 = NDArray[np.float32]
Matrix = NDArray[np.float64]

# The learning rate falls along half a cosine over the rounds, to this share of its start.
_LAST_RATE = 0.05

RULES: dict[type[nn.Module], LayerRule] = {
    GroupedLinear: LayerRule(
        squared_norms=grouped_squared_norms, weighted_sums=grouped_weighted_sums
    )
}
"""How the layers of a NodeFlow give the norms of per-row gradients."""

# Below this number of parameters a second thread slows a step down (measured 10 x at 7,000).
SMALL_MODEL = 100_000


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


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingPlan:
    """Everything public about local training; only `device` may differ between sites.

    `steps` are per round; `noise_multiplier` is None without differential privacy, else large
    enough for all `rounds` together; `clip` bounds a row's gradient, `update_clip` a coordinate
    of the update.
    """

    rounds: int
    steps: int
    sample_rate: float
    expected_batch_size: float
    learning_rate: float
    clip: float
    update_clip: float
    noise_multiplier: float | None = None
    device: str = "auto"

    def event(self) -> PoissonSampledGaussian | None:
        """What ONE round releases; None without privacy. Charge it before training."""
        if self.noise_multiplier is None:
            return None
        return PoissonSampledGaussian(
            sample_rate=self.sample_rate,
            noise_multiplier=self.noise_multiplier,
            steps=self.steps,
        )

    def rate(self, round_index: int) -> float:
        """The learning rate of a round."""
        half_cosine = 0.5 * (1.0 + math.cos(math.pi * round_index / self.rounds))
        return self.learning_rate * (_LAST_RATE + (1.0 - _LAST_RATE) * half_cosine)


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalUpdate:
    """What local training changed: `delta` (num_parameters,), the event, where it ran, warnings.

    Privacy: without an event, `delta` is a function of the rows and leaves only in a secure sum.
    """

    delta: Float32
    event: PoissonSampledGaussian | None
    device: str
    warnings: tuple[str, ...] = ()


def training_plan(
    options: TrainingOptions, *, epsilon: float | None, delta: float, device: str | None = None
) -> TrainingPlan:
    """Plan the rounds of a study: steps per round, and noise for `epsilon` over all of them."""
    steps = math.ceil(options.local_epochs / options.sample_rate)
    multiplier = None
    if epsilon is not None:
        multiplier = noise_multiplier_for(
            epsilon, delta, options.sample_rate, steps * options.rounds
        )
    return TrainingPlan(
        rounds=options.rounds,
        steps=steps,
        sample_rate=options.sample_rate,
        expected_batch_size=float(options.batch),
        learning_rate=options.learning_rate,
        clip=options.clip,
        update_clip=options.update_clip,
        noise_multiplier=multiplier,
        device=options.device if device is None else device,
    )


def gather_rows(spec: NodeFlowSpec, source: TableSource) -> Matrix:
    """A site's rows (num_rows, num_nodes) in the order of the model's names."""
    columns = [source.schema.index(name) for name in spec.names]
    parts = [batch.values[:, columns] for batch in source.batches()]
    return np.concatenate([np.empty((0, len(columns))), *parts])


def local_update(
    spec: NodeFlowSpec,
    weights: Float32,
    values: Matrix,
    *,
    plan: TrainingPlan,
    round_index: int,
    rng: np.random.Generator,
    noise: NoiseSource | None = None,
) -> LocalUpdate:
    """Train from the shared weights on a site's rows and return the change of the weights.

    Parameters
    ----------
    values
        (num_rows, num_nodes) in declared units, codes for levels, NaN for missing.
    rng
        Draws the samples when the plan has no noise; unused otherwise.
    noise
        Samples and noise of private training; a fresh `SecureNoise` unless a test brings one.

    A graphics processor that runs out of memory is left for the CPU, with a warning; nothing of
    the failed attempt leaves the site.
    """
    device, warnings = _device(plan.device), tuple[str, ...]()
    arguments = (spec, weights, values, plan, round_index, rng, noise or SecureNoise())
    try:
        with _few_threads(weights.size):
            delta = _train(*arguments, device=device)
    except torch.cuda.OutOfMemoryError:
        warnings = (
            f"{device} ran out of memory; this round was trained on the CPU. "
            'Write model.device = "cpu", or a smaller model.hidden.',
        )
        device = "cpu"
        delta = _train(*arguments, device=device)
    return LocalUpdate(delta=delta, event=plan.event(), device=device, warnings=warnings)


@contextmanager
def _few_threads(num_parameters: int) -> Iterator[None]:
    """One thread for a small model: the threads' meetings cost more than its products."""
    before = torch.get_num_threads()
    if num_parameters < SMALL_MODEL:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _train(
    spec: NodeFlowSpec,
    weights: Float32,
    values: Matrix,
    plan: TrainingPlan,
    round_index: int,
    rng: np.random.Generator,
    noise: NoiseSource,
    *,
    device: str,
) -> Float32:
    flow = from_vector(spec, weights).to(device)
    rows = flow.prepared(torch.from_numpy(spec.scale(values).astype(np.float32)).to(device))
    rate = plan.rate(round_index)
    if plan.noise_multiplier is None:
        train_plain(
            flow,
            _loss,
            rows,
            sample_rate=plan.sample_rate,
            steps=plan.steps,
            optimizer=lambda parameters: torch.optim.Adam(parameters, lr=rate),
            uniform=rng.random,
        )
    else:
        train_private(
            flow,
            _loss,
            rows,
            rules=RULES,
            noise_multiplier=plan.noise_multiplier,
            clip=plan.clip,
            sample_rate=plan.sample_rate,
            expected_batch_size=plan.expected_batch_size,
            steps=plan.steps,
            optimizer=lambda parameters: torch.optim.Adam(parameters, lr=rate),
            noise=noise,
        )
    return to_vector(flow) - weights


def _loss(model: nn.Module, rows: Tensor) -> Tensor:
    loss: Tensor = model(rows)
    return loss


def _device(wanted: str) -> str:
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=wanted)
    except (RuntimeError, AssertionError):
        raise InputError(
            f'model.device: {wanted!r} is not available here; write device = "auto"'
        ) from None
    return wanted
