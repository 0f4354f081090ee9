"""`fedcausal site`: what a site's operator asks and says."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from fedcausal.console import Format, FormatOption, QuietOption, emit, table
from fedcausal_clients.commands import daemon as daemon_commands
from fedcausal_clients.commands import data as data_commands
from fedcausal_clients.commands import policy as policy_commands
from fedcausal_clients.commands import requests as request_commands

__all__ = ["site"]

site = typer.Typer(no_args_is_help=True, add_completion=False)
site.add_typer(data_commands.app, name="data")
site.add_typer(policy_commands.app, name="policy")
site.add_typer(request_commands.app, name="requests")


@site.callback()
def group() -> None:
    """Join, approve and serve studies at a site."""


@site.command()
def budget(
    home: Annotated[Path, typer.Argument(help="The site's folder, with site.toml in it.")],
    output: FormatOption = Format.TEXT,
    quiet: QuietOption = False,
) -> None:
    """Print what this site released, when, for which study, at what cost, and what is left."""
    from fedcausal_clients.policy.budget import budget_lines, budget_view

    view = budget_view(home)
    emit(view.to_json(), budget_lines(view, brief=quiet), output)


@site.command("preflight")
def preflight_command(
    study: Annotated[
        Path | None, typer.Argument(help="A study file, to look at data and policy too.")
    ] = None,
    home: Annotated[Path, typer.Option(help="The site's folder, with site.toml in it.")] = Path(),
    offline: Annotated[
        bool, typer.Option("--offline", help="Do not ask whether the coordinator answers.")
    ] = False,
    output: FormatOption = Format.TEXT,
    quiet: QuietOption = False,
) -> None:
    """Check machine, folder, certificates, clock, coordinator, data, policy; 4 if any fails."""
    from fedcausal.study import Study
    from fedcausal_clients.daemon.preflight import preflight

    findings = preflight(home, None if study is None else Study.load(study), offline=offline)
    shown = [f for f in findings if f.status != "ok"] if quiet else findings
    rows = [(f.status, f.check, f.detail) for f in shown]
    data = {"findings": [asdict(finding) for finding in findings]}
    code = 4 if any(finding.status == "failed" for finding in findings) else 0
    emit(data, table(("", "check", "found"), rows) if rows else [], output, exit_code=code)
    if code:
        raise typer.Exit(code)


@site.command()
def head(
    run: Annotated[str, typer.Argument(help="A run folder, or an id under runs/.")],
    home: Annotated[Path, typer.Option(help="The site's folder, with site.toml in it.")] = Path(),
    node: Annotated[
        list[str] | None,
        typer.Option(help="A variable; those that differ between sites when left out."),
    ] = None,
    family: Annotated[
        str | None, typer.Option(help='"gram" or "nodeflow"; the default is the run\'s own.')
    ] = None,
    output: FormatOption = Format.TEXT,
) -> None:
    """Fit this site's own mechanisms where shared ones do not hold; nothing leaves the site."""
    from fedcausal_clients.own_heads import write_own_model

    folder, nodes = write_own_model(run, home, nodes=node or (), family=family)
    lines = [
        f"own mechanism of {', '.join(nodes)}, fitted to this site's rows alone",
        f"kept in {folder} (do not send it); ask it: fedcausal model effect {folder}",
    ]
    emit({"path": str(folder), "nodes": list(nodes)}, lines, output)


daemon_commands.register(site)
