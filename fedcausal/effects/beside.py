"""The model's estimate of an effect and the doubly robust one, side by side, in words."""

from dataclasses import replace

from fedcausal.effects.aipw import AipwEstimate
from fedcausal.effects.effect import EffectEstimate
from fedcausal.schema import Schema

__all__ = ["with_second"]

DIFFERENT_SITES = 0.5
"""I^2 from which sites are said to differ: half of the variation is no sampling noise."""


def with_second(
    estimate: EffectEstimate, second: AipwEstimate | None, schema: Schema
) -> EffectEstimate:
    """The model's estimate with the second one beside it, where there is one.

    Agreement does not validate what both rest on (the adjustment set); disagreement is a flag.
    """
    if second is None:
        return estimate
    said = replace(second, sentence=_sentence(estimate, second, schema))
    return replace(estimate, second=said)


def _sentence(estimate: EffectEstimate, second: AipwEstimate, schema: Schema) -> str:
    low, high = second.interval
    value, first, last = (_amount(v, estimate, schema) for v in (second.estimate, low, high))
    noise = ""
    if second.noise > 0.0:
        noise = (
            f", noise drawn for privacy included (sd {_amount(second.noise, estimate, schema)})"
        )
    said = (
        f"A doubly robust estimate (AIPW) from sums of its own, over "
        f"{second.num_records} records, "
        f"is {value} (95 % interval {first} to {last}{noise})"
    )
    if not low <= estimate.estimate <= high:
        said += "; the model's estimate lies outside: one of the two models it rests on is wrong"
    return f"{said}.{_sites(second)}"


def _sites(second: AipwEstimate) -> str:
    if second.q is None or second.i_squared is None:
        return ""
    differ = "differ" if second.i_squared >= DIFFERENT_SITES else "do not differ much"
    return (
        f" Sites {differ}: Cochran's Q = {second.q:.4g} over {second.num_sites} sites, "
        f"I^2 = {second.i_squared:.0%}."
    )


def _amount(value: float, estimate: EffectEstimate, schema: Schema) -> str:
    if estimate.outcome_level is not None:
        return f"{100.0 * value:.3g} percentage points"
    return f"{value:.4g} {schema[estimate.outcome].unit}".rstrip()
