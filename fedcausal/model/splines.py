"""Monotone rational-quadratic splines with linear tails, and their exact inverse."""

import math

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["TAIL", "rational_quadratic", "rational_quadratic_inverse"]

# Outside [-TAIL, TAIL] the spline is the identity.
TAIL = 4.0
_SMALLEST_BIN = 1e-3
_SMALLEST_SLOPE = 1e-2
# softplus(_UNIT_SLOPE) + _SMALLEST_SLOPE = 1: parameters of zero give the identity.
_UNIT_SLOPE = math.log(math.expm1(1.0 - _SMALLEST_SLOPE))


def rational_quadratic(
    x: Tensor, widths: Tensor, heights: Tensor, slopes: Tensor
) -> tuple[Tensor, Tensor]:
    """Transform `x` (...) and give the logarithm of the derivative.

    Parameters
    ----------
    widths, heights
        Unnormalised bin sizes (..., num_bins).
    slopes
        Unnormalised derivatives at the inner knots (..., num_bins - 1).

    References
    ----------
    Durkan et al. (2019), arXiv:1906.04032, equations 4 and 5.
    """
    knots = _Knots(widths, heights, slopes)
    inside = x.abs() < TAIL
    safe = torch.where(inside, x, torch.zeros_like(x))
    x0, y0, width, height, d0, d1 = knots.bin_of(safe, knots.x)
    s = height / width
    xi = (safe - x0) / width
    denominator = s + (d0 + d1 - 2 * s) * xi * (1 - xi)
    y = y0 + height * (s * xi**2 + d0 * xi * (1 - xi)) / denominator
    slope = d1 * xi**2 + 2 * s * xi * (1 - xi) + d0 * (1 - xi) ** 2
    log_derivative = 2 * s.log() + slope.log() - 2 * denominator.log()
    return torch.where(inside, y, x), torch.where(inside, log_derivative, 0.0)


def rational_quadratic_inverse(
    y: Tensor, widths: Tensor, heights: Tensor, slopes: Tensor
) -> Tensor:
    """The `x` (...) that `rational_quadratic` maps to `y`.

    References
    ----------
    Durkan et al. (2019), arXiv:1906.04032, equations 6 to 8.
    """
    knots = _Knots(widths, heights, slopes)
    inside = y.abs() < TAIL
    safe = torch.where(inside, y, torch.zeros_like(y))
    x0, y0, width, height, d0, d1 = knots.bin_of(safe, knots.y)
    s = height / width
    rise, bend = safe - y0, d0 + d1 - 2 * s
    a = height * (s - d0) + rise * bend
    b = height * d0 - rise * bend
    c = -s * rise
    discriminant = (b**2 - 4 * a * c).clamp_min(0.0)
    xi = 2 * c / (-b - discriminant.sqrt())
    return torch.where(inside, x0 + xi * width, y)


class _Knots:
    """Normalised knots: positions (..., num_bins + 1) and derivatives at them."""

    def __init__(self, widths: Tensor, heights: Tensor, slopes: Tensor) -> None:
        self.x = _positions(widths)
        self.y = _positions(heights)
        inner = _SMALLEST_SLOPE + functional.softplus(slopes + _UNIT_SLOPE)
        self.slopes = functional.pad(inner, (1, 1), value=1.0)

    def bin_of(self, value: Tensor, knots: Tensor) -> tuple[Tensor, ...]:
        """(x0, y0, width, height, d0, d1) of the bin in which `value` lies along `knots`."""
        last = knots.shape[-1] - 2
        place = (knots[..., 1:] <= value[..., None]).sum(-1, keepdim=True).clamp(max=last)

        def at(table: Tensor, shift: int) -> Tensor:
            return table.gather(-1, place + shift).squeeze(-1)

        x0, y0 = at(self.x, 0), at(self.y, 0)
        width, height = at(self.x, 1) - x0, at(self.y, 1) - y0
        return x0, y0, width, height, at(self.slopes, 0), at(self.slopes, 1)


def _positions(sizes: Tensor) -> Tensor:
    num_bins = sizes.shape[-1]
    share = _SMALLEST_BIN + (1 - _SMALLEST_BIN * num_bins) * sizes.softmax(-1)
    inner = 2 * TAIL * share.cumsum(-1)[..., :-1] - TAIL
    return functional.pad(functional.pad(inner, (1, 0), value=-TAIL), (0, 1), value=TAIL)
