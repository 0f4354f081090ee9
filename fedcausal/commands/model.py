"""`fedcausal model`: sample, imagine and estimate with the model of a run."""

from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedcausal.commands import model_files
from fedcausal.commands.interventions import number_or_word, parse_do
from fedcausal.console import WIDTH, Format, FormatOption, QuietOption, emit
from fedcausal.effects.population_name import POOLED, named_population
from fedcausal.errors import InputError
from fedcausal.results.summary import told_at_site

if TYPE_CHECKING:
    from fedcausal.effects.effect import EffectEstimate

__all__ = ["app", "parse_do"]

app = typer.Typer(no_args_is_help=True, add_completion=False)

RunArgument = Annotated[str, typer.Argument(help="A run folder, or an id under runs/.")]
DoOption = Annotated[
    list[str] | None,
    typer.Option(
        "--do",
        help="name=value, name+=amount, or a law: name~level:0.3,level:0.7; repeatable.",
    ),
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
    _answer(frame, out, output, quiet, warnings=frame.attrs.get("warnings", []))


@app.command()
def counterfactual(
    run: RunArgument,
    data: Annotated[Path, typer.Option(help="The records, CSV or Parquet.")],
    do: DoOption = None,
    probabilities: Annotated[bool, typer.Option(help="Add a column per level.")] = False,
    level: Annotated[
        float | None, typer.Option(help="Add conformal bounds of this coverage, as 0.95.")
    ] = None,
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
    changed = model.counterfactual(
        frame, parse_do(do), probabilities=probabilities, level=level, seed=seed
    )
    _answer(
        changed,
        out,
        output,
        quiet,
        assumptions=changed.attrs.get("assumptions", []),
        warnings=changed.attrs.get("warnings", []),
    )


@app.command()
def effect(
    run: RunArgument,
    treatment: Annotated[str | None, typer.Option(help="The variable that is set.")] = None,
    outcome: Annotated[str | None, typer.Option(help="The variable that answers.")] = None,
    values: Annotated[
        list[str] | None, typer.Option(help="From and to: --values 120 --values 160.")
    ] = None,
    hidden: Annotated[
        list[str] | None,
        typer.Option(help="A pair that a hidden cause may influence: --hidden smoking,cancer."),
    ] = None,
    population: Annotated[
        str, typer.Option(help='Whose average: "pooled", "site NAME" or "target NAME".')
    ] = "pooled",
    records: Annotated[
        Path | None,
        typer.Option(help="Covariates of that site or target, CSV or Parquet; they stay here."),
    ] = None,
    treated: Annotated[
        bool, typer.Option("--treated", help="Average over those whose treatment is TO of itself.")
    ] = False,
    given: Annotated[
        list[str] | None, typer.Option(help="Average over a group: --given sex=f.")
    ] = None,
    mean: Annotated[
        list[str] | None, typer.Option(help="Average over a population: --mean age=70.")
    ] = None,
    extrapolate: Annotated[
        float, typer.Option(help="How far beyond the bounds, as a share of their width.")
    ] = 0.0,
    seed: SeedOption = 0,
    family: FamilyOption = None,
    output: FormatOption = Format.TEXT,
    quiet: QuietOption = False,
) -> None:
    """The average effect of setting a variable to one value instead of another.

    The answer says how the learnt graph identifies it, and is refused where no data of this kind
    show it. Without a treatment: the answers to the study's own queries; with a population
    "site NAME" and its records, to those that the study leaves to this site.
    """
    if treatment is None and outcome is None and not values:
        if population == POOLED:
            _study_effects(run, output)
        else:
            _own_effects(run, family, population, records, seed, output, quiet)
        return
    if treatment is None or outcome is None or values is None or len(values) != 2:
        raise InputError(
            "expected --treatment NAME --outcome NAME --values FROM --values TO (all of them, or "
            "none for the study's own queries)"
        )
    first, second = (number_or_word(text) for text in values)
    model = _model(run, family)
    found = model.effect(
        treatment,
        outcome,
        (first, second),
        hidden=_pairs(hidden),
        population=population,
        treated=treated,
        given=_named(given, "--given"),
        means=_named(mean, "--mean"),
        records=None if records is None else _read(records),
        extrapolate=extrapolate,
        seed=seed,
    )
    emit(found.to_json(), _effect_lines(found, quiet), output)


def _effect_lines(found: "EffectEstimate", quiet: bool) -> list[str]:
    lines = wrap(found.sentence, WIDTH)
    for text in found.warnings:
        lines += wrap(f"warning: {text}", WIDTH, initial_indent="  ", subsequent_indent="    ")
    notes = [
        found.identification,
        *_sensitivity(found.e_values),
        *(f"assumes: {text}" for text in found.assumptions),
    ]
    for text in () if quiet else notes:
        lines += wrap(text, WIDTH, initial_indent="  ", subsequent_indent="    ")
    return lines


def _sensitivity(e_values: tuple[float, ...]) -> list[str]:
    if not e_values:
        return []
    point, limit = e_values
    return [
        f"E-value {point:.3g}: to explain the effect away a hidden common cause needs a risk "
        f"ratio of that size with both ({limit:.3g} to bring the interval to 0)."
    ]


@app.command()
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

    first, second = _two(values)
    model = _model(run, family).load()
    found = mediate(model, treatment, outcome, (first, second), mediators=through, seed=seed)
    _tell(found.sentence, () if quiet else found.assumptions, found.to_json(), output)


@app.command()
def refute(
    run: RunArgument,
    treatment: Annotated[str, typer.Option(help="The variable that is set.")],
    outcome: Annotated[str, typer.Option(help="The variable that answers.")],
    values: Annotated[list[str], typer.Option(help="From and to: --values 120 --values 160.")],
    seed: SeedOption = 0,
    family: FamilyOption = None,
    output: FormatOption = Format.TEXT,
) -> None:
    """Try to refute an adjusted effect: placebo, random cause, another set, half the records."""
    from fedcausal.effects.refutation import refute as attempts

    first, second = _two(values)
    asked = _model(run, family)
    found = attempts(
        asked.load(), treatment, outcome, (first, second), graph=asked.graph, seed=seed
    )
    lines = [line for attempt in found for line in wrap(attempt.sentence, WIDTH)]
    emit({"refutations": [attempt.to_json() for attempt in found]}, lines, output)


@app.command()
def attribute(
    run: RunArgument,
    other: Annotated[str, typer.Argument(help="The run to compare with, over the same graph.")],
    outcome: Annotated[str, typer.Option(help="The variable whose mean changed.")],
    seed: SeedOption = 0,
    family: FamilyOption = None,
    output: FormatOption = Format.TEXT,
) -> None:
    """To which mechanisms the change of a mean from one run to another is due."""
    from fedcausal.effects.attribution import attribute_change

    before, after = (_model(name, family).load() for name in (run, other))
    found = attribute_change(before, after, outcome, seed=seed)
    level = "" if found.outcome_level is None else f" = {found.outcome_level}"
    lines = [f"{outcome}{level}: {found.before:.4g} -> {found.after:.4g}, of which by"]
    largest = sorted(found.shares.items(), key=lambda item: -abs(item[1]))
    lines += [f"  {name}: {share:+.4g}" for name, share in largest]
    emit(found.to_json(), lines, output)


app.command()(model_files.card)
app.command("export-onnx")(model_files.export_onnx)


def _tell(sentence: str, assumptions: Any, data: Any, output: Format) -> None:
    lines = wrap(sentence, WIDTH)
    for text in assumptions:
        lines += wrap(f"assumes: {text}", WIDTH, initial_indent="  ", subsequent_indent="    ")
    emit(data, lines, output)


def _study_effects(run: str, output: Format) -> None:
    from fedcausal.results.run import load_run

    found = load_run(run)
    effects, refused = found.effects, found.refused
    if not effects and "effects" not in found.findings["steps"]:
        raise InputError(f'{found.path}: the run has no effects; run the step "effects" too')
    second = [(effect.get("second") or {}).get("sentence", "") for effect in effects]
    said = [f"{e['sentence']} {s}".rstrip() for e, s in zip(effects, second, strict=True)]
    said += [told_at_site(question) for question in found.at_sites]
    lines = [line for text in said for line in wrap(text, WIDTH)]
    if refused:
        if output is Format.TEXT:
            emit({}, lines, output)
        raise InputError("; ".join(f"{r['key']}: {r['reason']}" for r in refused))
    emit({"effects": effects}, lines or ["the study asked for no effect"], output)


def _own_effects(
    run: str,
    family: str | None,
    population: str,
    records: Path | None,
    seed: int,
    output: Format,
    quiet: bool,
) -> None:
    """The study's queries about one site's records, answered from these where they are."""
    from fedcausal.results.run import load_run

    whose, found = named_population(population).words, load_run(run)
    asked = [question for question in found.at_sites if question["population"] == whose]
    if not asked:
        known = sorted({question["population"] for question in found.at_sites})
        raise InputError(
            f"--population {population!r}: the study has no query about it"
            + (f"; it asks about {', '.join(known)}" if known else "; name a treatment")
        )
    model, frame = _model(run, family), None if records is None else _read(records)
    answers = [
        model.effect(
            question["treatment"],
            question["outcome"],
            tuple(question["values"]),
            population=whose,
            records=frame,
            seed=seed,
        )
        for question in asked
    ]
    lines = [line for answer in answers for line in _effect_lines(answer, quiet)]
    emit({"effects": [answer.to_json() for answer in answers]}, lines, output)


def _named(given: list[str] | None, option: str) -> dict[str, float | str]:
    found: dict[str, float | str] = {}
    for text in given or []:
        name, equals, value = text.partition("=")
        if not equals or not name.strip() or not value.strip():
            raise InputError(
                f"{option} {text!r}: expected name=value, for example {option} age=60"
            )
        if name.strip() in found:
            raise InputError(f"{option}: {name.strip()!r} is set twice; set it once")
        found[name.strip()] = number_or_word(value)
    return found


def _pairs(given: list[str] | None) -> list[tuple[str, str]]:
    pairs = []
    for text in given or []:
        names = [name.strip() for name in text.split(",")]
        if len(names) != 2 or not all(names):
            raise InputError(f"--hidden {text!r}: expected two names, as in --hidden age,dose")
        pairs.append((names[0], names[1]))
    return pairs


def _two(values: list[str]) -> tuple[float | str, float | str]:
    if len(values) != 2:
        raise InputError(f"--values: expected two, from and to, got {len(values)}")
    return number_or_word(values[0]), number_or_word(values[1])


def _model(run: str, family: str | None) -> Any:
    from fedcausal.results.run import load_run

    model = load_run(run).model
    return model if family is None else model.of_family(family)


def _read(path: Path) -> Any:
    from fedcausal.data.sources import to_arrow

    frame = to_arrow(path).to_pandas()
    frame.attrs["source"] = str(path)
    return frame


def _answer(
    frame: Any,
    out: Path | None,
    output: Format,
    quiet: bool,
    assumptions: Any = (),
    warnings: Any = (),
) -> None:
    """Write the records to a file, or print them as CSV."""
    notes = [f"warning: {text}" for text in warnings]
    notes += [] if quiet else [f"assumes: {text}" for text in assumptions]
    if out is None and output is Format.TEXT:
        typer.echo(frame.to_csv(index=False), nl=False)
        for note in notes:
            typer.echo(note, err=True)
        return
    data: dict[str, Any] = {"rows": len(frame), "assumptions": list(assumptions)}
    data |= {"warnings": list(warnings)} if warnings else {}
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
