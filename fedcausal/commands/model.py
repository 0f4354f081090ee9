"""`fedcausal model`: sample, imagine and estimate with the model of a run."""

from pathlib import Path
from typing import Annotated

import typer

from fedcausal.commands import model_effects, model_files, model_parts
from fedcausal.commands.interventions import parse_do
from fedcausal.commands.model_questions import (
    DoOption,
    ExtrapolateOption,
    FamilyOption,
    OutOption,
    RunArgument,
    SeedOption,
    asked_model,
    assumed,
    named_values,
    notes_below,
    read_records,
    told,
    write_records,
)
from fedcausal.console import Format, FormatOption, QuietOption, emit
from fedcausal.errors import InputError

__all__ = ["app", "parse_do"]

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.callback()
def group() -> None:
    """Sample, imagine and estimate with a run's model."""


@app.command()
def sample(
    run: RunArgument,
    rows: Annotated[int, typer.Option(min=1, help="How many records.")] = 1000,
    do: DoOption = None,
    out: OutOption = None,
    extrapolate: ExtrapolateOption = 0.0,
    seed: SeedOption = 0,
    family: FamilyOption = None,
    output: FormatOption = Format.TEXT,
    quiet: QuietOption = False,
) -> None:
    """Draw records from the model, under do() if given."""
    model = asked_model(run, family)
    frame = model.sample(rows, do=parse_do(do), extrapolate=extrapolate, seed=seed)
    write_records(frame, out, output, quiet, warnings=frame.attrs["warnings"])


@app.command()
def counterfactual(
    run: RunArgument,
    data: Annotated[Path, typer.Option(help="The records, CSV or Parquet.")],
    do: DoOption = None,
    probabilities: Annotated[bool, typer.Option(help="Add a column per level.")] = False,
    level: Annotated[
        float | None, typer.Option(help="Add conformal bounds of this coverage, as 0.95.")
    ] = None,
    extrapolate: ExtrapolateOption = 0.0,
    out: OutOption = None,
    seed: SeedOption = 0,
    family: FamilyOption = None,
    output: FormatOption = Format.TEXT,
    quiet: QuietOption = False,
) -> None:
    """What given records would have been under do()."""
    if not do:
        raise InputError("--do: expected at least one name=value, got none")
    frame = read_records(data)
    model = asked_model(run, family)
    changed = model.counterfactual(
        frame,
        parse_do(do),
        probabilities=probabilities,
        level=level,
        extrapolate=extrapolate,
        seed=seed,
    )
    write_records(
        changed,
        out,
        output,
        quiet,
        assumptions=changed.attrs.get("assumptions", []),
        warnings=changed.attrs.get("warnings", []),
    )


@app.command()
def query(
    run: RunArgument,
    outcome: Annotated[str, typer.Option(help="The variable whose law is asked for.")],
    given: Annotated[
        list[str], typer.Option(help="What is known of the records: --given sex=f; repeatable.")
    ],
    do: Annotated[
        list[str] | None, typer.Option("--do", help="An action: name=value; repeatable.")
    ] = None,
    seed: SeedOption = 0,
    family: FamilyOption = None,
    output: FormatOption = Format.TEXT,
    quiet: QuietOption = False,
) -> None:
    """The law of a variable among the records with given values: P(outcome | given), no effect.

    Under do() if given: the law among those records in a world in which it was done.
    """
    found = asked_model(run, family).query(
        outcome, given=named_values(given, "--given"), do=named_values(do, "--do"), seed=seed
    )
    notes = notes_below(found.warnings, assumed(found.assumptions), quiet=quiet)
    emit(found.to_json(), told([found.sentence], notes), output)


app.command()(model_effects.effect)
app.command()(model_parts.mediation)
app.command()(model_parts.refute)
app.command()(model_parts.attribute)
app.command()(model_files.card)
app.command("export-onnx")(model_files.export_onnx)
