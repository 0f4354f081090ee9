"""Stochastic gradient training at one site, with and without record-level privacy (DP-SGD)."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fedcausal_privacy.dp.clipped_sums import ClippedSums, LayerRule
from fedcausal_privacy.dp.events import PoissonSampledGaussian
from fedcausal_privacy.dp.noise import NoiseSource
from fedcausal_privacy.errors import InputError

__all__ = ["LayerRule", "Loss", "MakeOptimizer", "Penalty", "train_plain", "train_private"]

# (model, rows) -> loss of each row (num_rows,).
Loss: TypeAlias = Callable[[nn.Module, Tensor], Tensor]
MakeOptimizer: TypeAlias = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]
# model -> gradient of a penalty on the parameters, in their order.
Penalty: TypeAlias = Callable[[nn.Module], Iterable[Tensor]]
Uniform: TypeAlias = Callable[[int], NDArray[np.float64]]
Rate: TypeAlias = Callable[[int], float]

# Agreement of two sums of the same float32 gradients.
_TOLERANCE = 1e-3


def train_private(
    model: nn.Module,
    loss: Loss,
    rows: Tensor,
    *,
    rules: Mapping[type[nn.Module], LayerRule],
    noise_multiplier: float,
    clip: float,
    sample_rate: float,
    expected_batch_size: float,
    steps: int,
    optimizer: MakeOptimizer,
    noise: NoiseSource,
    penalty: Penalty | None = None,
    max_batch: int | None = None,
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
    rules
        Norms and sums of per-row gradients of the caller's own layer classes.
    expected_batch_size
        A PUBLIC constant, never computed from the number of rows.
    noise
        Where both the samples and the noise come from.
    penalty
        Gradient of terms that depend on the parameters alone. It joins after the noise. Terms
        in the loss that do not pass through a layer have no per-row gradient and would silently
        vanish: the loss is tried on rows of zeros first, and such a term is an `InputError`.
    max_batch
        The most rows of a sample in memory at a time; their clipped sums add up to the same.

    Privacy: the parameters afterwards, given those before, are what the returned event says;
    `sample_rate`, `expected_batch_size`, `clip` and `steps` are public. Charge the event before
    the call.

    References
    ----------
    Abadi et al. (2016), arXiv:1607.00133, algorithm 1. Yousefpour et al. (2021),
    arXiv:2109.12298 (Opacus).
    """
    _require_positive(clip=clip, expected_batch_size=expected_batch_size)
    _check_all_pass_through_layers(model, loss, rows.new_zeros(2, *rows.shape[1:]), rules)
    event = PoissonSampledGaussian(
        sample_rate=sample_rate, noise_multiplier=noise_multiplier, steps=steps
    )
    minimizer = optimizer(model.parameters())
    model.train()
    with ClippedSums(model, rules) as book:
        for batch in _poisson_samples(rows, sample_rate, steps, noise.uniform):
            sums: dict[nn.Parameter, Tensor] = {}
            for part in _parts(batch, max_batch):
                torch.autograd.backward(loss(model, part).sum())
                _add(sums, book.take(len(part), clip))
            _add_noise(model, sums, noise, noise_multiplier * clip, expected_batch_size)
            _add_penalty(model, penalty)
            minimizer.step()
    for parameter in model.parameters():
        parameter.grad = None
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
    rate: Rate | None = None,
    penalty: Penalty | None = None,
    max_batch: int | None = None,
) -> None:
    """Train `model` in place on Poisson samples, without clipping and without noise.

    At most `max_batch` rows are in memory at a time; their gradients add up to the sample's.
    `rate` gives the learning rate of each step; without it, it is the optimizer's own.

    Privacy: none. The parameters afterwards are a function of the rows.
    """
    minimizer = optimizer(model.parameters())
    for step, batch in enumerate(_poisson_samples(rows, sample_rate, steps, uniform)):
        if len(batch) == 0:
            continue
        if rate is not None:
            _set_rate(minimizer, rate(step))
        minimizer.zero_grad()
        for part in _parts(batch, max_batch):
            torch.autograd.backward(loss(model, part).sum() / len(batch))
        _add_penalty(model, penalty)
        minimizer.step()


def _set_rate(minimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in minimizer.param_groups:
        group["lr"] = rate


def _parts(batch: Tensor, max_batch: int | None) -> Iterator[Tensor]:
    """The rows of a sample, at most so many at a time; nothing of an empty one."""
    if len(batch):
        yield from torch.split(batch, max_batch or len(batch))


def _add(sums: dict[nn.Parameter, Tensor], more: Mapping[nn.Parameter, Tensor]) -> None:
    for parameter, part in more.items():
        sums[parameter] = sums[parameter] + part if parameter in sums else part


def _add_noise(
    model: nn.Module,
    sums: Mapping[nn.Parameter, Tensor],
    noise: NoiseSource,
    scale: float,
    expected_batch_size: float,
) -> None:
    """Make the clipped sums noisy gradients of the parameters, in float64, with one draw.

    A parameter without a gradient (an empty sample) gets the noise alone.
    """
    parameters = list(model.parameters())
    sizes = [p.numel() for p in parameters]
    numbers = torch.from_numpy(noise.normal(sum(sizes)))
    for parameter, part in zip(parameters, torch.split(numbers, sizes), strict=True):
        noised = scale * part.to(parameter.device).view_as(parameter)
        if parameter in sums:
            noised = noised + sums[parameter].double()
        parameter.grad = (noised / expected_batch_size).to(parameter.dtype)


def _check_all_pass_through_layers(
    model: nn.Module, loss: Loss, rows: Tensor, rules: Mapping[type[nn.Module], LayerRule]
) -> None:
    """Compare the sums over rows of zeros, which are public, with autograd's own gradient."""
    parameters = list(model.parameters())
    expected = torch.autograd.grad(loss(model, rows).sum(), parameters, allow_unused=True)
    with ClippedSums(model, rules) as book:
        torch.autograd.backward(loss(model, rows).sum())
        found = book.take(len(rows), torch.inf)
    for parameter, gradient in zip(parameters, expected, strict=True):
        parameter.grad = None
        ours = found.get(parameter, torch.zeros_like(parameter))
        if gradient is None or not bool(gradient.isfinite().all()):
            continue
        if not torch.allclose(ours, gradient, rtol=_TOLERANCE, atol=_TOLERANCE):
            raise InputError(
                "a term of the loss depends on parameters outside their layers and has no "
                "per-row gradient; hand its gradient over as `penalty`"
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
