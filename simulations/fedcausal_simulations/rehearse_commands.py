"""`fedcausal rehearse`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from fedcausal.console import Format, FormatOption, QuietOption, emit
from fedcausal_simulations.commands import OutOption, SeedOption

__all__ = ["rehearse"]

rehearse = typer.Typer(add_completion=False)


@rehearse.command("rehearse")
def rehearse_command(
    study: Annotated[Path, typer.Argument(help="A study file (TOML).")],
    data: Annotated[
        Path | None,
        typer.Option(help="All sites' rows; without it, made up for the study's variables."),
    ] = None,
    site_column: Annotated[
        str | None, typer.Option(help="The column that names the site of a row.")
    ] = None,
    sites: Annotated[
        int | None, typer.Option(help="Spread the rows over this many sites at random instead.")
    ] = None,
    out: OutOption = None,
    seed: SeedOption = 0,
    steps: Annotated[
        str, typer.Option(help='How far to go: "discovery", "model" or "effects".')
    ] = "effects",
    policy: Annotated[
        Path | None, typer.Option(help="A TOML file with the sites' [policy].")
    ] = None,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds that the run may take.")] = 3600.0,
    output: FormatOption = Format.TEXT,
    quiet: QuietOption = False,
) -> None:
    """Run a study as separate processes with TLS between them, on this machine."""
    from fedcausal.results.summary import summary_lines
    from fedcausal.study import Study
    from fedcausal_simulations.made_up import made_up_rows
    from fedcausal_simulations.rehearsal import rehearse as rehearse_study
    from fedcausal_simulations.simulation import read_policy, tables_of

    found = Study.load(study)
    rows: Any = made_up_rows(found, seed=seed) if data is None else data
    count = 3 if data is None and sites is None else sites
    tables = tables_of(rows, site_column=site_column, num_sites=count, seed=seed)
    shown = output is Format.TEXT and not quiet
    run = rehearse_study(
        found,
        tables,
        seed=seed,
        steps=[name.strip() for name in steps.split(",")],
        policy=None if policy is None else read_policy(policy),
        out=out,
        seconds=timeout,
        say=lambda line: typer.echo(line) if shown else None,
    )
    result: dict[str, Any] = {"path": str(run.path), "result": run.result, "run": run.card}
    emit(result, summary_lines(run, brief=quiet), output)
