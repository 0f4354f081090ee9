"""Monotone rational-quadratic splines with linear tails, and their exact inverse."""

import functools
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx
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
    """Transform `x` (..., num_rows) and give the logarithm of the derivative.

    Rows lie last, so that every step runs along them in memory.

    Parameters
    ----------
    widths, heights
        Unnormalised bin sizes (..., num_bins, num_rows).
    slopes
        Unnormalised derivatives at the inner knots (..., num_bins - 1, num_rows).

    References
    ----------
    Durkan et al. (2019), arXiv:1906.04032, equations 4 and 5.
    """
    found: tuple[Tensor, Tensor] = _Spline.apply(x, widths, heights, slopes)  # type: ignore[no-untyped-call]
    return found


def rational_quadratic_inverse(
    y: Tensor, widths: Tensor, heights: Tensor, slopes: Tensor
) -> Tensor:
    """The `x` (..., num_rows) that `rational_quadratic` maps to `y`.

    References
    ----------
    Durkan et al. (2019), arXiv:1906.04032, equations 6 to 8.
    """
    inside = y.abs() < TAIL
    safe = torch.where(inside, y, 0.0)
    own = _bin_of(safe, widths, heights, slopes, along=1)
    s, d0 = own.slope, own.left
    rise, bend = safe - own.y0, d0 + own.right - 2 * s
    a = own.height * (s - d0) + rise * bend
    b = own.height * d0 - rise * bend
    c = -s * rise
    discriminant = (b**2 - 4 * a * c).clamp_min(0.0)
    xi = 2 * c / (-b - discriminant.sqrt())
    return torch.where(inside, own.x0 + xi * own.width, y)


class _Spline(torch.autograd.Function):
    """The transform and the logarithm of its derivative, with their gradients in closed form.

    Autograd's own way through some fifty small steps takes twice as long.
    """

    @staticmethod
    def forward(
        ctx: FunctionCtx, x: Tensor, widths: Tensor, heights: Tensor, slopes: Tensor
    ) -> tuple[Tensor, Tensor]:
        inside = x.abs() < TAIL
        safe = torch.where(inside, x, 0.0)
        own = _bin_of(safe, widths, heights, slopes, along=0)
        terms = _Terms.of(own, (safe - own.x0) / own.width)
        ctx.own, ctx.terms, ctx.inside = own, terms, inside  # type: ignore[attr-defined]
        y = own.y0 + own.height * terms.share
        return torch.where(inside, y, x), torch.where(inside, terms.rise.log(), 0.0)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        of_y, of_log = (torch.where(ctx.inside, gradient, 0.0) for gradient in gradients)
        own, terms = ctx.own, ctx.terms
        xi, s, d, m = terms.xi, own.slope, terms.denominator, terms.numerator
        rest, share = terms.rest, terms.share
        # Through xi, s and the derivatives at the two knots, all else being fixed.
        of_y_scaled, over_d, of_m = of_y * own.height / d, 2 * of_log / d, of_log / m
        turn = 1 - 2 * xi
        bend = own.left + own.right - 2 * s
        m_xi = 2 * (own.right * xi - own.left * (1 - xi) + s * turn)
        of_xi = of_y * own.width * terms.rise + of_m * m_xi - over_d * bend * turn
        unbent = 1 - 2 * rest
        of_s = of_y_scaled * (xi**2 - share * unbent) + 2 * rest * of_m
        of_s = of_s + 2 * of_log / s - over_d * unbent
        of_left = rest * (of_y_scaled * (1 - share) - over_d) + of_m * (1 - xi) ** 2
        of_right = of_m * xi**2 - rest * (of_y_scaled * share + over_d)
        # s = height / width and xi = (x - x0) / width.
        of_x, of_height = of_xi / own.width, of_s / own.width
        of_width = -(of_height * s + of_x * xi)
        ends = torch.stack([-of_x, of_y]), torch.stack([of_width, of_height + of_y * share])
        of_widths, of_heights = own.through_shares(*ends).unbind(0)
        outside = torch.where(ctx.inside, of_x, gradients[0])
        return outside, of_widths, of_heights, own.through_slopes(of_left, of_right)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Terms:
    """What both outputs are made of, at a place `xi` in [0, 1] of the bin.

    `share` of the bin's height has been climbed; `rise` is the derivative, in the paper
    s^2 numerator / denominator^2; `rest` is xi (1 - xi).
    """

    xi: Tensor
    rest: Tensor
    denominator: Tensor
    numerator: Tensor
    share: Tensor
    rise: Tensor

    @classmethod
    def of(cls, own: "_Bin", xi: Tensor) -> "_Terms":
        s, rest, squared = own.slope, xi * (1 - xi), xi**2
        denominator = s + (own.left + own.right - 2 * s) * rest
        numerator = own.right * squared + 2 * s * rest + own.left * (1 - xi) ** 2
        return cls(
            xi=xi,
            rest=rest,
            denominator=denominator,
            numerator=numerator,
            share=(s * squared + own.left * rest) / denominator,
            rise=numerator * (s / denominator) ** 2,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bin:
    """Corners, size and derivatives at both ends of the bin at `place`, and where from.

    `shares` (2, ..., num_bins, num_rows) are those of x and of y; `passed` (..., num_bins + 1,
    num_rows) is 1 at the knots that do not lie above the value, else 0; `raw` are the
    derivatives' parameters.
    """

    place: Tensor
    shares: Tensor
    passed: Tensor
    raw: tuple[Tensor, Tensor]
    x0: Tensor
    y0: Tensor
    width: Tensor
    height: Tensor
    left: Tensor
    right: Tensor

    @property
    def slope(self) -> Tensor:
        return self.height / self.width

    def through_shares(self, of_start: Tensor, of_size: Tensor) -> Tensor:
        """Gradients of widths and heights, from those of the bin's corner and of its size."""
        num_bins, above = self.shares.shape[-2], self.passed[..., 1:, :]
        its_own = self.passed[..., :-1, :] - above
        each = above * of_start[..., None, :] + its_own * of_size[..., None, :]
        weighed = (2 * TAIL * (1 - _SMALLEST_BIN * num_bins)) * each * self.shares
        return weighed - self.shares * weighed.sum(-2, keepdim=True)

    def through_slopes(self, of_left: Tensor, of_right: Tensor) -> Tensor:
        """Gradients of the inner derivatives' parameters."""
        sides = zip((of_left, of_right), self.raw, strict=True)
        each = torch.stack([g * torch.sigmoid(raw + _UNIT_SLOPE) for g, raw in sides], dim=-2)
        shape = self.shares.shape[1:]
        found = each.new_zeros(*shape[:-2], shape[-2] + 1, shape[-1])
        found.scatter_(-2, torch.cat([self.place, self.place + 1], dim=-2), each)
        return found[..., 1:-1, :]


def _bin_of(value: Tensor, widths: Tensor, heights: Tensor, slopes: Tensor, *, along: int) -> _Bin:
    """The bin in which `value` lies along x (0) or y (1)."""
    shares = torch.stack([widths, heights]).softmax(-2)
    start, sums = _summing(shares.shape[-2], shares.dtype, shares.device)
    knots = start + sums @ shares
    inner = (knots[along][..., 1:-1, :] <= value[..., None, :]).to(value.dtype)
    place = inner.sum(-2, keepdim=True).long()
    # At the ends the derivative is that of the identity: a parameter of zero.
    table = torch.cat([knots[0], knots[1], functional.pad(slopes, (0, 0, 1, 1))], dim=-2)
    count = knots.shape[-2]
    sides = torch.arange(0, 3 * count, count, device=place.device)[:, None] + place
    found = table.gather(-2, torch.cat([sides, sides + 1], dim=-2))
    x0, y0, first, x1, y1, second = found.unbind(-2)
    left, right = (
        _SMALLEST_SLOPE + functional.softplus(raw + _UNIT_SLOPE) for raw in (first, second)
    )
    return _Bin(
        place=place,
        shares=shares,
        passed=functional.pad(functional.pad(inner, (0, 0, 1, 0), value=1.0), (0, 0, 0, 1)),
        raw=(first, second),
        x0=x0,
        y0=y0,
        width=x1 - x0,
        height=y1 - y0,
        left=left,
        right=right,
    )


@functools.lru_cache(maxsize=64)
def _summing(num_bins: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """The affine map from shares of bins to knots: (num_bins + 1, 1), (num_bins + 1, num_bins).

    The first knot and the last lie exactly at the tails.
    """
    start = torch.arange(num_bins + 1, dtype=torch.float64) * (2 * TAIL * _SMALLEST_BIN) - TAIL
    start[-1] = TAIL
    free = 2 * TAIL * (1 - _SMALLEST_BIN * num_bins)
    sums = free * torch.ones(num_bins + 1, num_bins, dtype=torch.float64).tril(-1)
    sums[-1] = 0.0
    return start[:, None].to(device, dtype), sums.to(device, dtype)
