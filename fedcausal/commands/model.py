"""`fedcausal model`: sample, imagine and estimate with the model of a run."""

from pathlib import Path
from textwrap import wrap
from typing import Annotated, Any

import typer

from fedcausal.console import WIDTH, Format, FormatOption, QuietOption, emit
from fedcausal.errors import InputError

__all__ = ["app", "parse_do"]

app = typer.Typer(no_args_is_help=True, add_completion=False)

RunArgument = Annotated[str, typer.Argument(help="A run folder, or an id under runs/.")]
DoOption = Annotated[
    list[str] | None, typer.Option("--do", help="name=value; repeat it for several variables.")
]
OutOption = Annotated[Path | None, typer.Option("--out", help="A CSV or Parquet file to write.")]
FamilyOption = Annotated[
    str | None, typer.Option(help='"gram" or "nodeflow"; the default is the run\'s own.')
]
SeedOption = Annotated[int, typer.Option(min=0, help="Seed of the draws.")]


@app.callback()
def group() -> None:
    """Sample, imagine and estimate with a run's model."""


@app.command()
def sample(
    run: RunArgument,
    rows: Annotated[int, typer.Option(min=1, help="How many records.")] = 1000,
    do: DoOption = None,
    out: OutOption = None,
    seed: SeedOption = 0,
    family: FamilyOption = None,
    output: FormatOption = Format.TEXT,
    quiet: QuietOption = False,
) -> None:
    """Draw records from the model, under do() if given."""
    frame = _model(run, family).sample(rows, do=parse_do(do), seed=seed)
    _answer(frame, out, output, quiet)


@app.command()
def counterfactual(
    run: RunArgument,
    data: Annotated[Path, typer.Option(help="The records, CSV or Parquet.")],
    do: DoOption = None,
    probabilities: Annotated[bool, typer.Option(help="Add a column per level.")] = False,
    out: OutOption = None,
    seed: SeedOption = 0,
    family: FamilyOption = None,
    output: FormatOption = Format.TEXT,
    quiet: QuietOption = False,
) -> None:
    """What given records would have been under do()."""
    if not do:
        raise InputError("--do: expected at least one name=value, got none")
    frame = _read(data)
    model = _model(run, family)
    changed = model.counterfactual(frame, parse_do(do), probabilities=probabilities, seed=seed)
    _answer(changed, out, output, quiet, assumptions=changed.attrs.get("assumptions", []))


@app.command()
def effect(
    run: RunArgument,
    treatment: Annotated[str | None, typer.Option(help="The variable that is set.")] = None,
    outcome: Annotated[str | None, typer.Option(help="The variable that answers.")] = None,
    values: Annotated[
        list[str] | None, typer.Option(help="From and to: --values 120 --values 160.")
    ] = None,
    population: Annotated[str, typer.Option(help="Whose average.")] = "pooled",
    seed: SeedOption = 0,
    family: FamilyOption = None,
    output: FormatOption = Format.TEXT,
    quiet: QuietOption = False,
) -> None:
    """The average effect of setting a variable to one value instead of another.

    Without a treatment: the answers to the study's own queries.
    """
    if treatment is None and outcome is None and not values:
        _study_effects(run, output)
        return
    if treatment is None or outcome is None or values is None or len(values) != 2:
        raise InputError(
            "expected --treatment NAME --outcome NAME --values FROM --values TO (all of them, or "
            "none for the study's own queries)"
        )
    first, second = (_value(text) for text in values)
    model = _model(run, family)
    found = model.effect(treatment, outcome, (first, second), population=population, seed=seed)
    lines = wrap(found.sentence, WIDTH)
    for text in () if quiet else found.assumptions:
        lines += wrap(f"assumes: {text}", WIDTH, initial_indent="  ", subsequent_indent="    ")
    emit(found.to_json(), lines, output)


def _study_effects(run: str, output: Format) -> None:
    from fedcausal.run import load_run

    found = load_run(run)
    effects = found.effects
    if not effects and "effects" not in found.findings["steps"]:
        raise InputError(f'{found.path}: the run has no effects; run the step "effects" too')
    second = [(effect.get("second") or {}).get("sentence", "") for effect in effects]
    said = [f"{e['sentence']} {s}".rstrip() for e, s in zip(effects, second, strict=True)]
    lines = [line for text in said for line in wrap(text, WIDTH)]
    emit({"effects": effects}, lines or ["the study asked for no effect"], output)


def parse_do(given: list[str] | None) -> dict[str, float | str]:
    """`["x=1", "sex=Male"]` as a mapping; numbers become numbers.

    >>> parse_do(["x=1", "sex=Male"])
    {'x': 1.0, 'sex': 'Male'}
    """
    found: dict[str, float | str] = {}
    for text in given or []:
        name, equals, value = text.partition("=")
        if not equals or not name.strip() or not value.strip():
            raise InputError(f"--do {text!r}: expected name=value, for example --do age=60")
        if name.strip() in found:
            raise InputError(f"--do: {name.strip()!r} is set twice; set it once")
        found[name.strip()] = _value(value)
    return found


def _value(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text.strip()


def _model(run: str, family: str | None) -> Any:
    from fedcausal.run import load_run

    model = load_run(run).model
    return model if family is None else model.of_family(family)


def _read(path: Path) -> Any:
    from fedcausal.data.sources import to_arrow

    frame = to_arrow(path).to_pandas()
    frame.attrs["source"] = str(path)
    return frame


def _answer(
    frame: Any, out: Path | None, output: Format, quiet: bool, assumptions: Any = ()
) -> None:
    """Write the records to a file, or print them as CSV."""
    notes = [] if quiet else [f"assumes: {text}" for text in assumptions]
    if out is None and output is Format.TEXT:
        typer.echo(frame.to_csv(index=False), nl=False)
        for note in notes:
            typer.echo(note, err=True)
        return
    data: dict[str, Any] = {"rows": len(frame), "assumptions": list(assumptions)}
    if out is None:
        data["records"] = frame.to_dict(orient="records")
    else:
        _write(frame, out)
        data["path"] = str(out)
    emit(data, [*notes, f"wrote {len(frame)} rows to {out}"], output)


def _write(frame: Any, out: Path) -> None:
    if out.suffix not in (".csv", ".parquet"):
        raise InputError(f"--out {out}: expected a file that ends in .csv or .parquet")
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.suffix == ".parquet":
        frame.to_parquet(out, index=False)
    else:
        frame.to_csv(out, index=False)
