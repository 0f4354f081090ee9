"""Stochastic gradient training at one site, with and without record-level privacy (DP-SGD)."""

import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from opacus.grad_sample.grad_sample_module import GradSampleHooks
from opacus.optimizers import DPOptimizer
from torch import Tensor, nn

from fedcausal_privacy.errors import InputError
from fedcausal_privacy.events import PoissonSampledGaussian
from fedcausal_privacy.noise import NoiseSource

__all__ = ["GradSampler", "Loss", "MakeOptimizer", "Penalty", "train_plain", "train_private"]

# (layer, its inputs, gradients of its output) -> per-sample gradients (num_rows, *parameter).
GradSampler: TypeAlias = Callable[[Any, list[Tensor], Tensor], dict[nn.Parameter, Tensor]]
# (model, rows) -> loss of each row (num_rows,).
Loss: TypeAlias = Callable[[nn.Module, Tensor], Tensor]
MakeOptimizer: TypeAlias = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]
# model -> gradient of a penalty on the parameters, in their order.
Penalty: TypeAlias = Callable[[nn.Module], Iterable[Tensor]]
Uniform: TypeAlias = Callable[[int], NDArray[np.float64]]

_HOOK_WARNING = (
    "Full backward hook is firing when gradients are computed with respect to module outputs "
    "since no inputs require gradients."
)


def train_private(
    model: nn.Module,
    loss: Loss,
    rows: Tensor,
    *,
    grad_samplers: Mapping[type[nn.Module], GradSampler],
    noise_multiplier: float,
    clip: float,
    sample_rate: float,
    expected_batch_size: float,
    steps: int,
    optimizer: MakeOptimizer,
    noise: NoiseSource,
    penalty: Penalty | None = None,
) -> PoissonSampledGaussian:
    """Train `model` in place by DP-SGD and say what was released.

    Each step draws a Poisson sample of the rows, clips every row's gradient to the L2 norm
    `clip`, adds normal noise of standard deviation `noise_multiplier * clip` to their sum,
    divides by `expected_batch_size` and hands the result to the optimizer. A row whose gradient
    is not finite contributes zero.

    Parameters
    ----------
    rows
        (num_rows, num_columns), on the device of the model.
    grad_samplers
        Per-sample gradients of the caller's own layer classes.
    expected_batch_size
        A PUBLIC constant, never computed from the number of rows.
    noise
        Where both the samples and the noise come from.
    penalty
        Gradient of terms that depend on the parameters alone. It joins after the noise: terms
        in the loss that do not pass through a layer have no per-sample gradient and would
        silently vanish.

    Privacy: the parameters afterwards, given those before, are what the returned event says;
    `sample_rate`, `expected_batch_size`, `clip` and `steps` are public. Charge the event before
    the call.

    References
    ----------
    Abadi et al. (2016), arXiv:1607.00133, algorithm 1. Yousefpour et al. (2021),
    arXiv:2109.12298 (Opacus).
    """
    _require_positive(clip=clip, expected_batch_size=expected_batch_size)
    event = PoissonSampledGaussian(
        sample_rate=sample_rate, noise_multiplier=noise_multiplier, steps=steps
    )
    _private_steps(
        model,
        loss,
        grad_samplers=grad_samplers,
        optimizer=_NoisyOptimizer(
            optimizer(model.parameters()),
            noise=noise,
            noise_multiplier=noise_multiplier,
            clip=clip,
            expected_batch_size=expected_batch_size,
        ),
        batches=_poisson_samples(rows, sample_rate, steps, noise.uniform),
        penalty=penalty,
    )
    return event


def train_plain(
    model: nn.Module,
    loss: Loss,
    rows: Tensor,
    *,
    sample_rate: float,
    steps: int,
    optimizer: MakeOptimizer,
    uniform: Uniform,
    penalty: Penalty | None = None,
) -> None:
    """Train `model` in place on Poisson samples, without clipping and without noise.

    Privacy: none. The parameters afterwards are a function of the rows.
    """
    minimizer = optimizer(model.parameters())
    for batch in _poisson_samples(rows, sample_rate, steps, uniform):
        if len(batch) == 0:
            continue
        minimizer.zero_grad()
        torch.autograd.backward(loss(model, batch).mean())
        _add_penalty(model, penalty)
        minimizer.step()


def _private_steps(
    model: nn.Module,
    loss: Loss,
    *,
    grad_samplers: Mapping[type[nn.Module], GradSampler],
    optimizer: "_NoisyOptimizer",
    batches: Iterable[Tensor],
    penalty: Penalty | None,
) -> None:
    model.train()
    with _per_sample_gradients(model, grad_samplers):
        for batch in batches:
            optimizer.zero_grad()
            if len(batch):
                torch.autograd.backward(loss(model, batch).sum())
            _complete(model, len(batch))
            if optimizer.pre_step():
                _add_penalty(model, penalty)
                optimizer.original_optimizer.step()
    optimizer.forget()


class _NoisyOptimizer(DPOptimizer):  # type: ignore[misc]
    """Opacus' clipping optimizer whose noise comes from our source."""

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        *,
        noise: NoiseSource,
        noise_multiplier: float,
        clip: float,
        expected_batch_size: float,
    ) -> None:
        super().__init__(
            optimizer,
            noise_multiplier=noise_multiplier,
            max_grad_norm=clip,
            expected_batch_size=expected_batch_size,
            loss_reduction="mean",
        )
        self._noise = noise

    def add_noise(self) -> None:
        """Add one noise vector to the clipped sums, in float64, parameter by parameter."""
        scale = self.noise_multiplier * self.max_grad_norm
        numbers = torch.from_numpy(self._noise.normal(sum(p.numel() for p in self.params)))
        for parameter, part in zip(
            self.params, torch.split(numbers, [p.numel() for p in self.params]), strict=True
        ):
            clipped = parameter.summed_grad.double()
            noised = clipped + scale * part.to(clipped.device).view_as(clipped)
            parameter.grad = noised.to(parameter.dtype)

    def forget(self) -> None:
        """Remove what clipping left on the parameters."""
        for parameter in self.params:
            del parameter.summed_grad
            parameter.grad = None


class _Hooks(GradSampleHooks):  # type: ignore[misc]
    """Opacus' hooks with the caller's gradient samplers, leaving the global registry alone."""

    def __init__(
        self, model: nn.Module, grad_samplers: Mapping[type[nn.Module], GradSampler]
    ) -> None:
        self.GRAD_SAMPLERS = {**GradSampleHooks.GRAD_SAMPLERS, **grad_samplers}
        super().__init__(model, batch_first=True, loss_reduction="sum", strict=True)


@contextmanager
def _per_sample_gradients(
    model: nn.Module, grad_samplers: Mapping[type[nn.Module], GradSampler]
) -> Iterator[None]:
    """Let every backward pass leave per-sample gradients in `parameter.grad_sample`."""
    hooks = _Hooks(model, grad_samplers)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=re.escape(_HOOK_WARNING), category=UserWarning)
        try:
            yield
        finally:
            hooks.cleanup()


def _complete(model: nn.Module, num_rows: int) -> None:
    """Give every parameter finite per-sample gradients, also after an empty sample."""
    for parameter in model.parameters():
        gradient = getattr(parameter, "grad_sample", None)
        if gradient is None:
            gradient = parameter.new_zeros((num_rows, *parameter.shape))
        parameter.grad_sample = torch.nan_to_num(  # type: ignore[attr-defined]
            gradient, nan=0.0, posinf=0.0, neginf=0.0
        )


def _poisson_samples(
    rows: Tensor, sample_rate: float, steps: int, uniform: Uniform
) -> Iterator[Tensor]:
    """`steps` samples; each row joins each with probability `sample_rate`, independently."""
    for _ in range(steps):
        chosen = np.flatnonzero(uniform(len(rows)) < sample_rate)
        yield rows[torch.from_numpy(chosen).to(rows.device)]


def _add_penalty(model: nn.Module, penalty: Penalty | None) -> None:
    if penalty is None:
        return
    for parameter, gradient in zip(model.parameters(), penalty(model), strict=True):
        parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient


def _require_positive(**values: float) -> None:
    for name, value in values.items():
        if not (np.isfinite(value) and value > 0):
            raise InputError(f"{name}: expected a positive number, got {value!r}")
