"""What the commands of `fedcausal model` share: their options, their records, their words."""

from collections.abc import Iterable
from pathlib import Path
from textwrap import wrap
from typing import Annotated, Any

import typer

from fedcausal.commands.interventions import number_or_word
from fedcausal.console import WIDTH, Format, emit
from fedcausal.errors import InputError

__all__ = [
    "DoOption",
    "ExtrapolateOption",
    "FamilyOption",
    "OutOption",
    "RunArgument",
    "SeedOption",
    "asked_model",
    "assumed",
    "named_values",
    "notes_below",
    "read_records",
    "told",
    "two_values",
    "write_records",
]

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
ExtrapolateOption = Annotated[
    float, typer.Option(help="How far beyond the bounds, as a share of their width.")
]


def asked_model(run: str, family: str | None) -> Any:
    """The model of a run, of the family that is named."""
    from fedcausal.results.run import load_run

    model = load_run(run).model
    return model if family is None else model.of_family(family)


def read_records(path: Path) -> Any:
    """Records of a file as a frame that knows where it is from."""
    from fedcausal.data.sources import to_arrow

    frame = to_arrow(path).to_pandas()
    frame.attrs["source"] = str(path)
    return frame


def write_records(
    frame: Any,
    out: Path | None,
    output: Format,
    quiet: bool,
    assumptions: Any = (),
    warnings: Any = (),
) -> None:
    """Write the records to a file, or print them as CSV."""
    notes = notes_below(warnings, assumed(assumptions), quiet=quiet)
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


def notes_below(warnings: Iterable[str], rest: Iterable[str], *, quiet: bool) -> list[str]:
    """What stands below an answer: warnings always, the rest unless only the answer is wanted."""
    told = [f"warning: {text}" for text in warnings]
    return told if quiet else [*told, *rest]


def assumed(assumptions: Iterable[str]) -> list[str]:
    """Assumptions, each marked as one."""
    return [f"assumes: {text}" for text in assumptions]


def told(sentences: Iterable[str], notes: Iterable[str]) -> list[str]:
    """Lines of sentences and, set in, of the notes below them."""
    lines = [line for sentence in sentences for line in wrap(sentence, WIDTH)]
    for text in notes:
        lines += wrap(text, WIDTH, initial_indent="  ", subsequent_indent="    ")
    return lines


def named_values(given: list[str] | None, option: str) -> dict[str, float | str]:
    """`["age=60"]` as a mapping; numbers become numbers."""
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


def two_values(values: list[str]) -> tuple[float | str, float | str]:
    """From and to."""
    if len(values) != 2:
        raise InputError(f"--values: expected two, from and to, got {len(values)}")
    return number_or_word(values[0]), number_or_word(values[1])
