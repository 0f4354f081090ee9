"""Checks of the users' own mechanisms that a study names."""

from collections.abc import Iterator, Mapping

from fedcausal.schema import Kind, Schema, did_you_mean
from fedcausal.study_file.errors import Problem
from fedcausal.study_file.sections import FederationSection, ModelSection, PrivacySection
from fedcausal.study_file.variables import VariableSpec

__all__ = ["own_mechanism_problems"]


def own_mechanism_problems(
    schema: Schema,
    variables: Mapping[str, VariableSpec],
    *,
    privacy: PrivacySection,
    federation: FederationSection,
    model: ModelSection,
) -> Iterator[Problem]:
    """Everything that a mechanism of one's own does not go together with, as (key, message).

    Whether it is installed is no matter of the file: `fedcausal.model.own_entry_points`.
    """
    for node, own in model.mechanisms.items():
        key = f"model.mechanisms.{node}"
        for part, value in (("name", own.name), ("version", own.version)):
            if not value.strip() or not value.isprintable():
                yield f"{key}.{part}", f"expected a word, got {value!r}"
        if node not in schema:
            yield key, f"unknown variable {node!r}{did_you_mean(node, schema.names)}"
            continue
        if schema[node].kind is not Kind.CONTINUOUS:
            kind = schema[node].kind.value
            yield key, f"a mechanism of one's own is of a continuous variable, not a {kind} one"
        for other in ("formula", "transform"):
            if getattr(variables[node], other) is not None:
                yield f"variables.{node}.{other}", f"{key} says what it follows from; remove one"
    if model.mechanisms:
        yield from _of_the_study(privacy, federation, model)


def _of_the_study(
    privacy: PrivacySection, federation: FederationSection, model: ModelSection
) -> Iterator[Problem]:
    """Exact sums, closed forms beside it, and no site's sums by themselves."""
    for part in ("model", "effects"):
        if getattr(privacy, part) is not None:
            yield (
                "model.mechanisms",
                f"sums of one's own features have no noisy form, and privacy.{part} has an "
                "epsilon; remove one of the two",
            )
    if federation.robust:
        yield (
            "model.mechanisms",
            "with [federation] robust each site's sums are released by themselves, which has no "
            "form for this; remove one of the two",
        )
    if model.family == "nodeflow":
        yield (
            "model.mechanisms",
            'the neural flow learns every mechanism; write model.family = "gram"',
        )
