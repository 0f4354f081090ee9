"""`fedcausal site`: what a site's operator asks and says."""

from pathlib import Path
from typing import Annotated

import typer

from fedcausal.console import Format, FormatOption, QuietOption, emit
from fedcausal_clients import daemon_commands

__all__ = ["site"]

site = typer.Typer(no_args_is_help=True, add_completion=False)


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
    from fedcausal_clients.budget import budget_lines, budget_view

    view = budget_view(home)
    emit(view.to_json(), budget_lines(view, brief=quiet), output)


daemon_commands.register(site)
