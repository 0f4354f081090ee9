"""`fedcausal study`: infer, check, plan and fingerprint study files."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap
from typing import Annotated

import typer

from fedcausal.console import WIDTH, Format, FormatOption, QuietOption, emit
from fedcausal.errors import StudyError
from fedcausal_privacy.canonical import fingerprint

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, add_completion=False)

StudyArgument = Annotated[Path, typer.Argument(help="A study file (TOML).")]


@app.callback()
def group() -> None:
    """Write, check, plan and fingerprint study files."""


@app.command()
def infer(
    data: Annotated[Path, typer.Argument(help="CSV, Parquet, or database.duckdb::table.")],
    site_column: Annotated[str, typer.Option(help="The column that names the site of a row.")],
    out: Annotated[Path, typer.Option(help="The study file to write.")],
    output: FormatOption = Format.TEXT,
    quiet: QuietOption = False,
) -> None:
    """Propose a study from data: kinds, bounds rounded outward, categories."""
    from fedcausal.data.infer import infer

    if out.exists():
        raise StudyError(f"--out {out}: the file exists; name another one or remove it")
    found = infer(data, site_column, name=data.name.partition(".")[0])
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(found.to_toml(), encoding="utf-8")
    notes = [f"{name}: {note}" for name, each in found.notes.items() for note in each]
    notes += [f"{name}: left out, {reason}" for name, reason in found.skipped.items()]
    lines = [line for note in notes for line in wrap(note, WIDTH, subsequent_indent="  ")]
    wrote = f"wrote {out}: {len(found.study.variables)} variables"
    lines += [
        "",
        wrote,
        "",
        "next: look it over; say in [knowledge] which variables come first in time; then",
        f"  fedcausal study validate {out}",
        f"  fedcausal simulate {out} --data {data} --site-column {shlex.quote(site_column)}",
    ]
    data_out = {"path": str(out), "hash": found.study.hash(), "notes": list(notes)}
    emit(data_out, [wrote] if quiet else lines, output)


@app.command()
def validate(
    study: StudyArgument, output: FormatOption = Format.TEXT, quiet: QuietOption = False
) -> None:
    """Check a study file; every fault is named with its key."""
    from fedcausal.study import Study

    found = Study.load(study)
    digest = found.hash()
    data = {"hash": digest, "fingerprint": fingerprint(digest), "variables": len(found.variables)}
    lines = [f"{study}: valid, {len(found.variables)} variables", f"hash {fingerprint(digest)}"]
    emit(data, lines[1:] if quiet else lines, output)


@app.command()
def plan(
    study: StudyArgument,
    rows: Annotated[int, typer.Option(help="Records of all sites together.")],
    sites: Annotated[int, typer.Option(help="Number of sites.")],
    output: FormatOption = Format.TEXT,
    quiet: QuietOption = False,
) -> None:
    """Say what the privacy budget will buy, before any site is asked."""
    from fedcausal.private.planning import plan_lines, plan_study, plan_warnings
    from fedcausal.study import Study

    found = Study.load(study)
    planned = plan_study(found, num_records=rows, num_sites=sites)
    warnings = plan_warnings(found, planned)
    told = [f"warning: {warning}" for warning in warnings]
    lines = told if quiet else [*plan_lines(found, planned), *told]
    emit({**planned.to_json(), "warnings": list(warnings)}, _wrapped(lines), output)


@app.command("hash")
def hash_command(
    study: StudyArgument, output: FormatOption = Format.TEXT, quiet: QuietOption = False
) -> None:
    """Print the hash that every site approves."""
    from fedcausal.study import Study

    digest = Study.load(study).hash()
    lines = [fingerprint(digest)] if quiet else [fingerprint(digest), digest]
    emit({"hash": digest, "fingerprint": fingerprint(digest)}, lines, output)


def _wrapped(lines: Sequence[str]) -> list[str]:
    """Lines no wider than the terminal; what goes on is indented by two more."""
    found = list[str]()
    for line in lines:
        indent = " " * (len(line) - len(line.lstrip()) + 2)
        found += wrap(line, WIDTH, subsequent_indent=indent)
    return found
