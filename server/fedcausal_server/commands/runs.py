"""`fedcausal coordinator run|resume|abort`: studies of a coordinator."""

from pathlib import Path
from typing import Annotated

import typer

from fedcausal.console import Format, FormatOption, QuietOption, emit
from fedcausal_server.commands.options import HomeArgument

__all__ = ["abort", "resume", "run"]

NameArgument = Annotated[str, typer.Argument(help="The run's name.")]
TimeoutOption = Annotated[float, typer.Option(min=1, help="Seconds to wait for the run's end.")]
DAY_SECONDS = 86400.0


def run(
    home: HomeArgument,
    study: Annotated[Path, typer.Argument(help="A study file (TOML).")],
    sites: Annotated[
        str, typer.Option(help="Sites that take part, with commas; default all enrolled.")
    ] = "",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the coordinator's resampling.")] = 0,
    steps: Annotated[
        str, typer.Option(help='How far to go: "discovery", "model" or "effects".')
    ] = "effects",
    name: Annotated[str, typer.Option(help="Of the run; default <study>-<n>.")] = "",
    timeout: TimeoutOption = DAY_SECONDS,
    output: FormatOption = Format.TEXT,
    quiet: QuietOption = False,
) -> None:
    """Run a study over the enrolled sites and wait for its end."""
    from fedcausal.study import Study
    from fedcausal_server.daemon.deployed_runs import prepare_run, submit_run
    from fedcausal_server.daemon.home import open_home

    opened = open_home(home)
    chosen = prepare_run(
        opened,
        Study.load(study),
        seed=seed,
        steps=_parts(steps),
        sites=_parts(sites),
        name=name,
    )
    submit_run(opened, chosen)
    _watch(home, chosen, timeout, output, quiet=quiet)


def resume(
    home: HomeArgument,
    name: NameArgument,
    timeout: TimeoutOption = DAY_SECONDS,
    output: FormatOption = Format.TEXT,
    quiet: QuietOption = False,
) -> None:
    """Go on with a run that was stopped or whose coordinator was killed."""
    from fedcausal_server.daemon.deployed_runs import submit_run
    from fedcausal_server.daemon.home import open_home

    submit_run(open_home(home), name)
    _watch(home, name, timeout, output, quiet=quiet)


def abort(home: HomeArgument, name: NameArgument, quiet: QuietOption = False) -> None:
    """Stop a run; its released totals stay, so that it can be resumed."""
    from fedcausal_server.daemon.deployed_runs import abort_run
    from fedcausal_server.daemon.home import open_home

    stopped = abort_run(open_home(home), name)
    if not quiet:
        typer.echo(f"{name}: {'aborted' if stopped else 'was not running'}")


def _watch(home: Path, name: str, timeout: float, output: Format, *, quiet: bool) -> None:
    from fedcausal.results.run import load_run
    from fedcausal.results.summary import summary_lines
    from fedcausal_server.daemon.deployed_runs import watch_run
    from fedcausal_server.daemon.home import open_home

    shown = output is Format.TEXT and not quiet
    ended = watch_run(
        open_home(home),
        name,
        seconds=timeout,
        say=lambda line: typer.echo(line) if shown else None,
    )
    found = load_run(ended.out)
    data = {"name": name, "path": str(ended.out), "result": found.result, "run": found.card}
    emit(data, summary_lines(found, brief=quiet), output)


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
