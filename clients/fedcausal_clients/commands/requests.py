"""`fedcausal site requests`: studies that ask, and the operator's answer."""

from pathlib import Path
from typing import Annotated

import typer

from fedcausal.console import Format, FormatOption, QuietOption, emit

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, add_completion=False)

HomeOption = Annotated[Path, typer.Option(help="The site's folder, with site.toml in it.")]
StudyArgument = Annotated[
    str, typer.Argument(help="The study's whole fingerprint or hash, as the list shows it.")
]


@app.callback()
def group() -> None:
    """List, look at, approve and deny studies that ask this site."""


@app.command("list")
def list_command(
    home: HomeOption = Path(), output: FormatOption = Format.TEXT, quiet: QuietOption = False
) -> None:
    """Show every study that asked, and where it stands."""
    from fedcausal_clients.policy.request_view import list_lines, request_views

    views = request_views(home)
    data = {"requests": [view.to_json() for view in views]}
    emit(data, list_lines(views, brief=quiet), output)


@app.command()
def show(
    study: StudyArgument,
    home: HomeOption = Path(),
    output: FormatOption = Format.TEXT,
    quiet: QuietOption = False,
) -> None:
    """Show one study: question, who asks, the exact statistics, what was released before."""
    from fedcausal_clients.policy.request_view import list_lines, request_lines, request_view

    view = request_view(home, study)
    lines = list_lines([view], brief=True) if quiet else request_lines(view)
    emit(view.to_json(), lines, output)


@app.command()
def approve(
    study: StudyArgument,
    home: HomeOption = Path(),
    output: FormatOption = Format.TEXT,
    quiet: QuietOption = False,
) -> None:
    """Let one study that asked run here; it goes into the audit log."""
    from fedcausal.errors import InputError
    from fedcausal_clients.home import open_home
    from fedcausal_clients.policy.consent import approve_study, find_request

    with open_home(home) as opened:
        request = find_request(opened.store, study)
        if opened.config.policy.approve == "by_hash":
            raise InputError(
                'site.toml: policy.approve: "by_hash" lets pass what policy.approved lists; add '
                f'"{request.study}" there, or write approve = "manual"'
            )
        request.read()
        approve_study(opened.store, opened.gate.audit, request.study)
    emit({"hash": request.study, "state": "approved"}, [] if quiet else ["approved"], output)


@app.command()
def deny(
    study: StudyArgument,
    reason: Annotated[str, typer.Option(help="Why; kept here and in the audit log.")],
    home: HomeOption = Path(),
    output: FormatOption = Format.TEXT,
    quiet: QuietOption = False,
) -> None:
    """Refuse one study from now on, also one that was approved or is running."""
    from fedcausal_clients.home import open_home
    from fedcausal_clients.policy.consent import deny_study, find_request

    with open_home(home) as opened:
        request = find_request(opened.store, study)
        decision = deny_study(opened.store, opened.gate.audit, request.study, reason)
    data = {"hash": request.study, "state": "denied", "reason": decision.reason}
    emit(data, [] if quiet else ["denied; the coordinator is told so, without the reason"], output)
