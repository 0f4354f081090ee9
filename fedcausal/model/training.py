"""One site's part in training a NodeFlow: some steps from the shared weights, on its own rows."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import cast

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
from fedcausal.model.held_out import is_held_out
from fedcausal.model.members import poisson_weights, stacked
from fedcausal.model.nodeflow import NodeFlow, from_vector, to_vector
from fedcausal.model.nodeflow_spec import NodeFlowSpec
from fedcausal.model.training_plan import TrainingPlan, training_plan
from fedcausal_privacy.dp.events import PoissonSampledGaussian
from fedcausal_privacy.dp.noise import NoiseSource, SecureNoise
from fedcausal_privacy.dp.training import LayerRule, Loss, Penalty, train_plain, train_private

__all__ = [
    "RULES",
    "LocalUpdate",
    "TrainingPlan",
    "gather_rows",
    "local_update",
    "member_losses",
    "proximal",
    "training_plan",
]

Float32 = NDArray[np.float32]
Matrix = NDArray[np.float64]

RULES: dict[type[nn.Module], LayerRule] = {
    GroupedLinear: LayerRule(
        squared_norms=grouped_squared_norms, weighted_sums=grouped_weighted_sums
    )
}
"""How the layers of a NodeFlow give the norms of per-row gradients."""

# Below this number of parameters a second thread slows a step down (measured 10 x at 7,000).
SMALL_MODEL = 100_000
# With fewer rows at a time than this a graphics processor is slower than the CPU.
_FEWEST_AT_A_TIME = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalUpdate:
    """What local training changed: `delta` (num_parameters,), the event, where it ran, warnings.

    Privacy: without an event, `delta` is a function of the rows and leaves only in a secure sum.
    """

    delta: Float32
    event: PoissonSampledGaussian | None
    device: str
    warnings: tuple[str, ...] = ()


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
    bootstrap: np.random.Generator | None = None,
) -> LocalUpdate:
    """Train from the shared weights on a site's rows and return the change of the weights.

    Parameters
    ----------
    weights
        Of every member, where the plan has several (`members.stacked`).
    values
        (num_rows, num_nodes) in declared units, codes for levels, NaN for missing.
    rng
        Draws the samples when the plan has no noise; unused otherwise.
    noise
        Samples and noise of private training; a fresh `SecureNoise` unless a test brings one.
    bootstrap
        Draws each row's weight in each member; the same state in every round.

    A graphics processor that runs out of memory is asked for smaller batches at a time, which add
    up to the same step, and left for the CPU when even these do not fit; both with a warning.
    Nothing of a failed attempt leaves the site.
    """
    rows = _rows(spec, values, plan, bootstrap)
    device, chunk, warnings = _device(plan.device), None, list[str]()
    flow_spec = stacked(spec, plan.members)
    with _few_threads(weights.size):
        while True:
            flow = from_vector(flow_spec, weights).to(device)
            flow.set_mixed_precision(_mixes(device, plan))
            try:
                part = torch.from_numpy(rows).to(device)
                _train(flow, part, plan, round_index, rng, noise or SecureNoise(), chunk)
                break
            except torch.cuda.OutOfMemoryError:
                chunk, warning = _smaller(chunk, device, plan, len(rows))
                device = device if chunk else "cpu"
                warnings.append(warning)
            _free(device)
    delta = to_vector(flow) - weights
    return LocalUpdate(delta=delta, event=plan.event(), device=device, warnings=tuple(warnings))


def _rows(
    spec: NodeFlowSpec,
    values: Matrix,
    plan: TrainingPlan,
    bootstrap: np.random.Generator | None,
) -> Float32:
    """Scaled rows to be trained on, one column per member behind them: its weight less one."""
    kept = values[~is_held_out(values, plan.held_out)]
    scaled = spec.scale(kept).astype(np.float32)
    if plan.members == 1:
        return scaled
    drawn = poisson_weights(len(kept), plan.members, bootstrap or np.random.default_rng())
    return np.column_stack([scaled, drawn - 1.0]).astype(np.float32)


def _smaller(
    chunk: int | None, device: str, plan: TrainingPlan, num_rows: int
) -> tuple[int | None, str]:
    """Half the rows at a time; None, and with it the CPU, when so few do not fit either."""
    before = chunk or max(1, math.ceil(2 * plan.sample_rate * num_rows))
    if before // 2 < _FEWEST_AT_A_TIME:
        return None, (
            f"{device} ran out of memory; this round was trained on the CPU. "
            'Write model.device = "cpu", or a smaller model.hidden.'
        )
    return before // 2, (
        f"{device} ran out of memory; a batch is taken {before // 2} rows at a time. "
        "A smaller model.sample_rate needs less memory."
    )


def _free(device: str) -> None:
    """Give back what the failed attempt had reserved."""
    if device.startswith("cuda"):
        torch.cuda.empty_cache()


def _mixes(device: str, plan: TrainingPlan) -> bool:
    """Whether products are taken in bfloat16: on a GPU that has it, and never for noised sums.

    Clipping compares sums to 1e-3, which bfloat16 does not reach.
    """
    return (
        device.startswith("cuda")
        and plan.noise_multiplier is None
        and torch.cuda.is_bf16_supported()
    )


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
    flow: NodeFlow,
    rows: Tensor,
    plan: TrainingPlan,
    round_index: int,
    rng: np.random.Generator,
    noise: NoiseSource,
    chunk: int | None,
) -> None:
    # Members read their weights where prepared rows hold locations: they find these step by step.
    rows = flow.prepared(rows) if plan.members == 1 else rows
    penalty = proximal(flow, plan.proximal_mu) if plan.proximal_mu else None
    if plan.noise_multiplier is None:
        train_plain(
            flow,
            member_losses(plan.members),
            rows,
            sample_rate=plan.sample_rate,
            steps=plan.steps,
            optimizer=lambda parameters: torch.optim.Adam(parameters, fused=True),
            uniform=rng.random,
            rate=partial(plan.rate, round_index),
            penalty=penalty,
            max_batch=chunk,
        )
    else:
        train_private(
            flow,
            member_losses(plan.members),
            rows,
            rules=RULES,
            noise_multiplier=plan.noise_multiplier,
            clip=plan.clip,
            sample_rate=plan.sample_rate,
            expected_batch_size=plan.expected_batch_size,
            steps=plan.steps,
            optimizer=lambda parameters: torch.optim.Adam(
                parameters, lr=plan.rate(round_index), fused=True
            ),
            noise=noise,
            penalty=penalty,
            max_batch=chunk,
        )


def proximal(flow: nn.Module, mu: float) -> Penalty:
    """The gradient of mu/2 times the squared distance from where the parameters are now.

    Privacy: a function of the parameters alone; it joins after the noise.

    References
    ----------
    Li et al. (2020), Federated optimization in heterogeneous networks, arXiv:1812.06127.
    """
    start = [parameter.detach().clone() for parameter in flow.parameters()]

    def gradient(model: nn.Module) -> Iterator[Tensor]:
        for parameter, shared in zip(model.parameters(), start, strict=True):
            yield mu * (parameter.detach() - shared)

    return gradient


def member_losses(members: int) -> Loss:
    """Negative log-likelihood of each row, summed over members with the row's weight in each.

    With several members a row holds the variables, then a weight less one for each member.
    """

    def alone(model: nn.Module, rows: Tensor) -> Tensor:
        loss: Tensor = model(rows)
        return loss

    def together(model: nn.Module, rows: Tensor) -> Tensor:
        num_nodes = rows.shape[1] - members
        values, weights = rows[:, :num_nodes], 1.0 + rows[:, num_nodes:]
        found: Tensor = cast(NodeFlow, model).log_prob(values.repeat(1, members))
        return -(found.view(len(rows), members, num_nodes).sum(dim=2) * weights).sum(dim=1)

    return alone if members == 1 else together


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
