"""`fedcausal coordinator backup|restore`."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedcausal.console import Format, FormatOption, QuietOption, emit
from fedcausal_server.commands.options import HomeArgument, read_passphrase

if TYPE_CHECKING:
    from fedcausal_server.store.backup import BackupReport

__all__ = ["backup", "restore"]

PassphraseOption = Annotated[
    Path | None, typer.Option(help="A file whose first line encrypts (or opens) the keys.")
]


def backup(
    home: HomeArgument,
    file: Annotated[Path, typer.Argument(help="The backup: a new file.")],
    passphrase_file: PassphraseOption = None,
    output: FormatOption = Format.TEXT,
    quiet: QuietOption = False,
) -> None:
    """Copy a coordinator into one file, also while it serves; keys only with a passphrase."""
    from fedcausal_server.daemon.home import open_home
    from fedcausal_server.store.backup import back_up

    opened = open_home(home)
    passphrase = "" if passphrase_file is None else read_passphrase(passphrase_file)
    report = back_up(opened, file, passphrase=passphrase)
    lines = [f"{file}: {_told(report)}"]
    if not report.has_keys:
        lines.append("Keys are NOT in it: keep tls/ and state/*.token, *.secret elsewhere too.")
    if opened.config.store is not None:
        lines.append("Rounds are in PostgreSQL: back that database up with pg_dump as well.")
    emit({"file": str(file), **asdict(report)}, [str(file)] if quiet else lines, output)


def restore(
    file: Annotated[Path, typer.Argument(help="The backup.")],
    home: Annotated[Path, typer.Argument(help="The coordinator's folder: a new one.")],
    passphrase_file: PassphraseOption = None,
    output: FormatOption = Format.TEXT,
    quiet: QuietOption = False,
) -> None:
    """Make a coordinator of a backup; everything is checked before the folder appears."""
    from fedcausal_server.store.backup import restore as restore_home

    passphrase = "" if passphrase_file is None else read_passphrase(passphrase_file)
    report = restore_home(file, home, passphrase=passphrase)
    lines = [f"{home}: {_told(report)}"]
    if not report.has_keys:
        lines.append("Its keys were not restored: put them into tls/ and state/ before a start.")
    emit({"home": str(home), **asdict(report)}, [str(home)] if quiet else lines, output)


def _told(report: "BackupReport") -> str:
    return (
        f"{report.files} files, {len(report.runs)} run(s), {report.audit_lines} line(s) of audit "
        f"logs verified, keys {'included, encrypted' if report.has_keys else 'not included'}"
    )
