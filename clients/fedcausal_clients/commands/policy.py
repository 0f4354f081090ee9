"""`fedcausal site policy`: what this site lets out, and whether a study fits it."""

from pathlib import Path
from typing import Annotated

import typer

from fedcausal.console import Format, FormatOption, QuietOption, emit

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, add_completion=False)

HomeOption = Annotated[Path, typer.Option(help="The site's folder, with site.toml in it.")]


@app.callback()
def group() -> None:
    """Show the site's policy and check studies against it."""


@app.command()
def show(
    home: HomeOption = Path(), output: FormatOption = Format.TEXT, quiet: QuietOption = False
) -> None:
    """Show every rule with its value."""
    from fedcausal_clients.policy.view import policy_lines
    from fedcausal_clients.site_config import SiteConfig

    config = SiteConfig.load(home)
    lines = policy_lines(config.policy)
    emit(
        {"site": config.site.name, "policy": config.policy.model_dump(mode="json")},
        lines[1:] if quiet else lines,
        output,
    )


@app.command()
def check(
    study: Annotated[Path, typer.Argument(help="The study file.")],
    home: HomeOption = Path(),
    output: FormatOption = Format.TEXT,
    quiet: QuietOption = False,
) -> None:
    """Say what of a study this site's policy would refuse; exit 4 if anything."""
    from fedcausal.study import Study
    from fedcausal_clients.policy.view import check_lines, check_policy

    findings = check_policy(home, Study.load(study))
    code = 4 if any(finding.status == "failed" for finding in findings) else 0
    data = {"findings": [finding.to_json() for finding in findings]}
    emit(data, check_lines(findings, brief=quiet), output, exit_code=code)
    if code:
        raise typer.Exit(code)
