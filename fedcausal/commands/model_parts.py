"""`fedcausal model mediation`, `refute` and `attribute`: what an effect is made of."""

from typing import Annotated

import typer

from fedcausal.commands.model_questions import (
    FamilyOption,
    RunArgument,
    SeedOption,
    asked_model,
    assumed,
    notes_below,
    told,
    two_values,
)
from fedcausal.console import Format, FormatOption, QuietOption, emit

__all__ = ["attribute", "mediation", "refute"]


def mediation(
    run: RunArgument,
    treatment: Annotated[str, typer.Option(help="The variable that is set.")],
    outcome: Annotated[str, typer.Option(help="The variable that answers.")],
    values: Annotated[list[str], typer.Option(help="From and to: --values 120 --values 160.")],
    through: Annotated[
        list[str] | None, typer.Option(help="A mediator; all of them when left out.")
    ] = None,
    seed: SeedOption = 0,
    family: FamilyOption = None,
    output: FormatOption = Format.TEXT,
    quiet: QuietOption = False,
) -> None:
    """The part of an effect that runs through mediators, and the part around them."""
    from fedcausal.effects.mediation import mediate

    first, second = two_values(values)
    model = asked_model(run, family).load()
    found = mediate(model, treatment, outcome, (first, second), mediators=through, seed=seed)
    notes = notes_below(found.warnings, assumed(found.assumptions), quiet=quiet)
    emit(found.to_json(), told([found.sentence], notes), output)


def refute(
    run: RunArgument,
    treatment: Annotated[str, typer.Option(help="The variable that is set.")],
    outcome: Annotated[str, typer.Option(help="The variable that answers.")],
    values: Annotated[list[str], typer.Option(help="From and to: --values 120 --values 160.")],
    seed: SeedOption = 0,
    family: FamilyOption = None,
    output: FormatOption = Format.TEXT,
    quiet: QuietOption = False,
) -> None:
    """Try to refute an adjusted effect: placebo, random cause, another set, half the records."""
    from fedcausal.effects.refutation import ASSUMPTIONS
    from fedcausal.effects.refutation import refute as attempts

    first, second = two_values(values)
    asked = asked_model(run, family)
    found = attempts(
        asked.load(), treatment, outcome, (first, second), graph=asked.graph, seed=seed
    )
    notes = notes_below((), assumed(ASSUMPTIONS), quiet=quiet)
    data = {
        "refutations": [attempt.to_json() for attempt in found],
        "assumptions": list(ASSUMPTIONS),
    }
    emit(data, told([attempt.sentence for attempt in found], notes), output)


def attribute(
    run: RunArgument,
    other: Annotated[str, typer.Argument(help="The run to compare with, over the same graph.")],
    outcome: Annotated[str, typer.Option(help="The variable whose mean changed.")],
    seed: SeedOption = 0,
    family: FamilyOption = None,
    output: FormatOption = Format.TEXT,
    quiet: QuietOption = False,
) -> None:
    """To which mechanisms the change of a mean from one run to another is due."""
    from fedcausal.effects.attribution import attribute_change

    before, after = (asked_model(name, family).load() for name in (run, other))
    found = attribute_change(before, after, outcome, seed=seed)
    level = "" if found.outcome_level is None else f" = {found.outcome_level}"
    lines = [f"{outcome}{level}: {found.before:.4g} -> {found.after:.4g}, of which by"]
    largest = sorted(found.shares.items(), key=lambda item: -abs(item[1]))
    lines += [f"  {name}: {share:+.4g}" for name, share in largest]
    lines += told((), notes_below(found.warnings, assumed(found.assumptions), quiet=quiet))
    emit(found.to_json(), lines, output)
