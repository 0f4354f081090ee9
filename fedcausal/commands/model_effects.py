"""`fedcausal model effect`: an effect, and how the graph identifies it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedcausal.commands.model_questions import (
    ExtrapolateOption,
    FamilyOption,
    RunArgument,
    SeedOption,
    asked_model,
    assumed,
    named_values,
    notes_below,
    read_records,
    told,
    two_values,
)
from fedcausal.console import Format, FormatOption, QuietOption, emit
from fedcausal.effects.e_value import e_value_sentence
from fedcausal.effects.population_name import POOLED, named_population
from fedcausal.errors import InputError
from fedcausal.results.summary import told_at_site

if TYPE_CHECKING:
    from fedcausal.effects.effect import EffectEstimate
    from fedcausal.results.run import Run

__all__ = ["effect"]

NO_MODEL = (
    "A PAG stands for many graphs, with hidden causes, and no one model: there is no number here. "
    "Regress on these variables at the sites, or give one graph under knowledge.graph."
)


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
    extrapolate: ExtrapolateOption = 0.0,
    seed: SeedOption = 0,
    family: FamilyOption = None,
    output: FormatOption = Format.TEXT,
    quiet: QuietOption = False,
) -> None:
    """The average effect of setting a variable to one value instead of another.

    The answer says how the learnt graph identifies it, and is refused where no data of this kind
    show it; where a PAG was learnt, which has no model, it says this alone. Without a treatment:
    the answers to the study's own queries; with a population "site NAME" and its records, to
    those that the study leaves to this site.
    """
    from fedcausal.results.run import load_run

    found = load_run(run)
    if found.graph.kind == "pag":
        about_all = population == POOLED and not (treated or given or mean or records)
        if treatment is None or outcome is None or not about_all:
            raise InputError(
                f"{found.path}: the graph is a PAG, which has no model: name --treatment and "
                "--outcome alone, and the answer says whether it identifies the effect"
            )
        _by_pag(found, treatment, outcome, _pairs(hidden), output)
        return
    if treatment is None and outcome is None and not values:
        if population == POOLED:
            _study_effects(found, output, quiet)
        else:
            _own_effects(found, family, population, records, seed, output, quiet)
        return
    if treatment is None or outcome is None or values is None or len(values) != 2:
        raise InputError(
            "expected --treatment NAME --outcome NAME --values FROM --values TO (all of them, or "
            "none for the study's own queries)"
        )
    answer = asked_model(run, family).effect(
        treatment,
        outcome,
        two_values(values),
        hidden=_pairs(hidden),
        population=population,
        treated=treated,
        given=named_values(given, "--given"),
        means=named_values(mean, "--mean"),
        records=None if records is None else read_records(records),
        extrapolate=extrapolate,
        seed=seed,
    )
    emit(answer.to_json(), _effect_lines(answer, quiet), output)


def _effect_lines(found: "EffectEstimate", quiet: bool) -> list[str]:
    second = "" if found.second is None else found.second.sentence
    notes = [found.identification, e_value_sentence(found.e_values), *assumed(found.assumptions)]
    below = notes_below(found.warnings, [text for text in notes if text], quiet=quiet)
    return told([f"{found.sentence} {second}".rstrip()], below)


def _by_pag(
    run: "Run", treatment: str, outcome: str, hidden: list[tuple[str, str]], output: Format
) -> None:
    """What a PAG says of an effect, without a number; a refusal where it says nothing.

    Only that no path of causes leads there is a number: 0.
    """
    from fedcausal.effects.identification import identify

    judged = identify(run.graph, treatment, outcome, hidden=hidden).require()
    is_zero = judged.means == "no-path"
    data: dict[str, Any] = {
        "treatment": treatment,
        "outcome": outcome,
        "graph": run.graph.kind,
        "means": judged.means,
        "adjustment_set": list(judged.adjustment_set),
        "estimate": 0.0 if is_zero else None,
        "identification": judged.sentence,
    }
    rest = "The effect is exactly 0." if is_zero else NO_MODEL
    emit(data, told([f"{treatment} on {outcome}: {judged.sentence} {rest}"], ()), output)


def _study_effects(found: "Run", output: Format, quiet: bool) -> None:
    from fedcausal.results.answers import effect_from_json

    effects, refused = found.effects, found.refused
    if not effects and "effects" not in found.findings["steps"]:
        raise InputError(f'{found.path}: the run has no effects; run the step "effects" too')
    lines = [line for effect in effects for line in _effect_lines(effect_from_json(effect), quiet)]
    lines += told([told_at_site(question) for question in found.at_sites], ())
    if refused:
        if output is Format.TEXT:
            emit({}, lines, output)
        raise InputError("; ".join(f"{r['key']}: {r['reason']}" for r in refused))
    emit({"effects": effects}, lines or ["the study asked for no effect"], output)


def _own_effects(
    found: "Run",
    family: str | None,
    population: str,
    records: Path | None,
    seed: int,
    output: Format,
    quiet: bool,
) -> None:
    """The study's queries about one site's records, answered from these where they are."""
    whose = named_population(population).words
    asked = [question for question in found.at_sites if question["population"] == whose]
    if not asked:
        known = sorted({question["population"] for question in found.at_sites})
        raise InputError(
            f"--population {population!r}: the study has no query about it"
            + (f"; it asks about {', '.join(known)}" if known else "; name a treatment")
        )
    model = found.model if family is None else found.model.of_family(family)
    frame = None if records is None else read_records(records)
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


def _pairs(given: list[str] | None) -> list[tuple[str, str]]:
    pairs = []
    for text in given or []:
        names = [name.strip() for name in text.split(",")]
        if len(names) != 2 or not all(names):
            raise InputError(f"--hidden {text!r}: expected two names, as in --hidden age,dose")
        pairs.append((names[0], names[1]))
    return pairs
