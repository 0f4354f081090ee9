"""How strong a hidden common cause would have to be to explain an effect away."""

import math
from collections.abc import Sequence

__all__ = ["e_value", "e_value_sentence", "e_values", "risk_ratio_of_difference"]

OF_A_STANDARD_DEVIATION = 0.91
"""ln RR per standard deviation of a continuous outcome (Chinn 2000; VanderWeele 2017)."""


def e_value(risk_ratio: float) -> float:
    """The least risk ratio, with treatment and with outcome, that a hidden cause must have.

    References
    ----------
    VanderWeele and Ding (2017), Sensitivity analysis in observational research: introducing the
    E-value, Annals of Internal Medicine 167.

    >>> round(e_value(3.9), 2), e_value(1.0), round(e_value(1 / 3.9), 2)
    (7.26, 1.0, 7.26)
    """
    ratio = max(risk_ratio, 1.0 / risk_ratio)
    return ratio + math.sqrt(ratio * (ratio - 1.0))


def e_values(
    means: tuple[float, float], interval: tuple[float, float], *, sd: float | None
) -> tuple[float, float]:
    """E-values of an estimate, and of the end of its interval that is nearer to no effect.

    `sd` is the outcome's standard deviation; None where the means are probabilities. An interval
    that contains 0 needs no hidden cause at all: 1.
    """
    difference = means[1] - means[0]
    nearer = min(interval, key=abs)
    covers = interval[0] <= 0.0 <= interval[1]
    point = e_value(risk_ratio_of_difference(means[0], difference, sd=sd))
    limit = 1.0 if covers else e_value(risk_ratio_of_difference(means[0], nearer, sd=sd))
    return point, min(point, limit)


def risk_ratio_of_difference(start: float, difference: float, *, sd: float | None) -> float:
    """The risk ratio that a difference amounts to: exact for probabilities, else by its size."""
    if sd is not None:
        return math.exp(OF_A_STANDARD_DEVIATION * difference / max(sd, 1e-12))
    floor = 1e-6
    return max(start + difference, floor) / max(start, floor)


def e_value_sentence(found: Sequence[float]) -> str:
    """What the E-values of an estimate and of its interval say; empty where there are none.

    >>> e_value_sentence((2.0, 1.5))[:42]
    'E-value 2: to explain the effect away a hi'
    """
    if not found:
        return ""
    point, limit = found
    return (
        f"E-value {point:.3g}: to explain the effect away a hidden common cause needs a risk "
        f"ratio of that size with both ({limit:.3g} to bring the interval to 0)."
    )
