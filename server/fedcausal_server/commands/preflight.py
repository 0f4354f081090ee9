"""`fedcausal coordinator preflight`: whether a coordinator is ready."""

from dataclasses import asdict

import typer

from fedcausal.console import Format, FormatOption, QuietOption, emit, table
from fedcausal_server.commands.options import HomeArgument

__all__ = ["preflight_command"]


def preflight_command(
    home: HomeArgument,
    output: FormatOption = Format.TEXT,
    quiet: QuietOption = False,
) -> None:
    """Check machine, keys, certificates, port, closed doors, disk and log; exit 4 if any fails."""
    from fedcausal_server.daemon.home import open_home
    from fedcausal_server.daemon.preflight import preflight

    findings = preflight(open_home(home))
    shown = [f for f in findings if f.status != "ok"] if quiet else findings
    rows = [(f.status, f.check, f.detail) for f in shown]
    code = 4 if any(finding.status == "failed" for finding in findings) else 0
    data = {"findings": [asdict(finding) for finding in findings]}
    emit(data, table(("", "check", "found"), rows) if rows else [], output, exit_code=code)
    if code:
        raise typer.Exit(code)
