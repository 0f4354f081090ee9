"""`fedcausal site data`: look at the site's own data before a study does."""

from pathlib import Path
from typing import Annotated

import typer

from fedcausal.console import Format, FormatOption, QuietOption, emit

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.callback()
def group() -> None:
    """Look at the site's data; nothing leaves it."""


@app.command()
def inspect(
    study: Annotated[Path, typer.Argument(help="The study file.")],
    home: Annotated[Path, typer.Option(help="The site's folder, with site.toml in it.")] = Path(),
    output: FormatOption = Format.TEXT,
    quiet: QuietOption = False,
) -> None:
    """Show what a study needs, what is here and what is missing; exit 4 if a run would refuse."""
    from fedcausal.study import Study
    from fedcausal_clients.data.inspection import inspect_data, inspection_lines

    found = inspect_data(home, Study.load(study))
    code = 0 if found.is_ready else 4
    emit(found.to_json(), inspection_lines(found, brief=quiet), output, exit_code=code)
    if code:
        raise typer.Exit(code)
