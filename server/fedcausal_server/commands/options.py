"""What the coordinator's commands take alike: its folder, and passphrases from files."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from fedcausal.errors import InputError

__all__ = ["HomeArgument", "passphrase_from", "read_passphrase"]

HomeArgument = Annotated[
    Path, typer.Argument(help="The coordinator's folder, with coordinator.toml in it.")
]


def read_passphrase(file: Path) -> str:
    """The first line of a file, without blanks around it.

    Raises
    ------
    InputError
        There is no such file, it is no text, or the line is empty.
    """
    try:
        words = (file.read_text(encoding="utf-8").splitlines() or [""])[0].strip()
    except (OSError, UnicodeDecodeError):
        raise InputError(f"{file}: cannot be read as text; name a passphrase's file") from None
    if not words:
        raise InputError(f"{file}: expected a passphrase in the first line, which is empty")
    return words


def passphrase_from(file: Path | None, home: Path) -> str | None:
    """The passphrase of a file, or typed at a terminal if the authority's key needs one."""
    from fedcausal_server.daemon.home import open_home
    from fedcausal_server.parties.authority import is_protected

    if file is not None:
        return read_passphrase(file)
    if is_protected(open_home(home)) and sys.stdin.isatty():
        return str(typer.prompt("passphrase of tls/ca.key", hide_input=True))
    return None
