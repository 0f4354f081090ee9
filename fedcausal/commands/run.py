"""`fedcausal run`: list and show finished runs."""

from typing import Annotated, Any

import typer

from fedcausal.console import Format, FormatOption, QuietOption, emit, table

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.callback()
def group() -> None:
    """List and show finished runs."""


@app.command("list")
def list_command(output: FormatOption = Format.TEXT, quiet: QuietOption = False) -> None:
    """List the runs under runs/."""
    from fedcausal.results.run import RUNS, list_runs

    rows = [_row(run) for run in list_runs()]
    data = {"runs": rows}
    if not rows:
        emit(data, [] if quiet else [f"no runs under {RUNS}/; try `fedcausal demo`"], output)
        return
    keys = ("run", "study", "sites", "records", "edges")
    emit(data, table(keys, [[str(row[key]) for key in keys] for row in rows], indent=0), output)


@app.command()
def show(
    run: Annotated[str, typer.Argument(help="A run folder, or an id under runs/.")],
    output: FormatOption = Format.TEXT,
    quiet: QuietOption = False,
) -> None:
    """Show what a run learnt."""
    from fedcausal.results.run import load_run
    from fedcausal.results.summary import summary_lines

    found = load_run(run)
    data = {"path": str(found.path), "result": found.result, "run": found.card}
    emit(data, summary_lines(found, brief=quiet), output)


def _row(run: Any) -> dict[str, Any]:
    exact = run.findings
    return {
        "run": run.path.name,
        "study": run.card["study"]["name"],
        "sites": len(run.card["sites"]),
        "records": exact["num_records"],
        "edges": len(exact["graph"]["edges"]),
    }
