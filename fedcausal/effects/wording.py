"""Effects in words."""

from fedcausal.effects.contrast import Contrast
from fedcausal.model.frames import value_name

__all__ = ["Interval", "amount", "class_sentence", "effect_sentence", "what_changes"]

Interval = tuple[float, float]


def effect_sentence(
    question: Contrast, difference: float, interval: Interval, population: str, *, is_exact: bool
) -> str:
    """One number and its interval."""
    if is_exact:
        return (
            f"{_change(question)} does not change {what_changes(question)}: the graph has no "
            f"directed path from {question.treatment.name} to {question.outcome.name}, so the "
            "effect is exactly 0."
        )
    verb = "raises" if difference > 0 else "lowers"
    low, high = (amount(question, bound) for bound in interval)
    covers = "" if interval[0] * interval[1] > 0 else "; it contains 0"
    return (
        f"{_change(question)} {verb} {what_changes(question)} by "
        f"{amount(question, abs(difference))} on average over {population} "
        f"(95 % interval of the change: {low} to {high}{covers})."
    )


def class_sentence(
    question: Contrast, effects: tuple[float, ...], interval: Interval, population: str
) -> str:
    """The range of effects over a class of graphs."""
    low, high = (amount(question, bound) for bound in (min(effects), max(effects)))
    wide_low, wide_high = (amount(question, bound) for bound in interval)
    return (
        f"{_change(question)} changes {what_changes(question)} by {low} to {high} on average over "
        f"{population}: the data leave {len(effects)} sets of causes of "
        f"{question.treatment.name} open, and the effect depends on which is right (95 % "
        f"intervals of all of them: {wide_low} to {wide_high})."
    )


def what_changes(question: Contrast) -> str:
    """The outcome, or the probability of its level."""
    level = question.outcome_level
    if level is None:
        return question.outcome.name
    return f"the probability of {question.outcome.name} = {level}"


def amount(question: Contrast, value: float) -> str:
    """A change in the outcome's unit, or in percentage points."""
    if question.outcome_level is not None:
        return f"{100 * value:.3g} percentage points"
    return f"{value:.4g} {question.outcome.unit}".rstrip()


def _change(question: Contrast) -> str:
    first, second = (value_name(question.treatment, code) for code in question.codes)
    return f"Setting {question.treatment.name} to {second} instead of {first}"
