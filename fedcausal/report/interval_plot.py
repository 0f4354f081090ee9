"""An effect and its interval on a line, as inline SVG."""

import math
from html import escape

from fedcausal.effects.effect import EffectEstimate

__all__ = ["interval_svg"]

WIDTH = 560.0
HEIGHT = 74.0
SIDE = 40.0
AXIS = 46.0
INK = "#1f2d3d"
LINE = "#2f5d8a"


def interval_svg(estimate: EffectEstimate, unit: str = "") -> str:
    """The estimate (dot), its 95 % interval (bar) and zero (dashed), on one axis.

    Over a class of graphs every possible effect has a dot, and none is the estimate.
    """
    scale = 100.0 if estimate.outcome_level is not None else 1.0
    unit = "percentage points" if estimate.outcome_level is not None else unit
    low, high = (scale * bound for bound in estimate.interval)
    values = [scale * value for value in estimate.possible_effects or (estimate.estimate,)]
    middle = (min(values) + max(values)) / 2
    first, last = _axis(low, high)

    def x(position: float) -> float:
        return SIDE + (position - first) / (last - first) * (WIDTH - 2 * SIDE)

    ticks = "".join(_tick(x(t), t) for t in _ticks(first, last))
    shown = dict.fromkeys(f"{value:.4g}" for value in (min(values), max(values)))
    label = f"{' to '.join(shown)} {unit}".rstrip()
    dots = "".join(f'<circle cx="{x(v):.1f}" cy="27" r="5.5" fill="{LINE}"/>' for v in values)
    text = f"effect {label}, 95 % interval {low:.4g} to {high:.4g}"
    return (
        f'<svg width="{WIDTH:.0f}" height="{HEIGHT:.0f}" viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}" '
        f'role="img" aria-label="{escape(text)}" font-family="sans-serif" font-size="12">'
        f'<line x1="{SIDE}" x2="{WIDTH - SIDE}" y1="{AXIS}" y2="{AXIS}" stroke="{INK}"/>{ticks}'
        f'<line x1="{x(0):.1f}" x2="{x(0):.1f}" y1="8" y2="{AXIS}" stroke="{INK}" '
        f'stroke-dasharray="3 3"/>'
        f'<line x1="{x(low):.1f}" x2="{x(high):.1f}" y1="27" y2="27" stroke="{LINE}" '
        f'stroke-width="5" stroke-linecap="round" opacity="0.45"/>'
        f'{dots}<text x="{x(middle):.1f}" y="14" text-anchor="middle" fill="{INK}" '
        f'font-weight="bold">'
        f"{escape(label)}</text></svg>"
    )


def _axis(low: float, high: float) -> tuple[float, float]:
    """An interval that holds the bar and zero, with a margin."""
    first, last = min(low, 0.0), max(high, 0.0)
    margin = 0.12 * (last - first) or 1.0
    return first - margin, last + margin


def _ticks(first: float, last: float) -> list[float]:
    """Three to eight round numbers."""
    raw = (last - first) / 5
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw)
    start = math.ceil(first / step)
    return [k * step for k in range(start, math.floor(last / step) + 1)]


def _tick(position: float, value: float) -> str:
    return (
        f'<line x1="{position:.1f}" x2="{position:.1f}" y1="{AXIS}" y2="{AXIS + 5}" '
        f'stroke="{INK}"/><text x="{position:.1f}" y="{AXIS + 19}" text-anchor="middle" '
        f'fill="{INK}">{value:g}</text>'
    )
