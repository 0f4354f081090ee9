"""`fedcausal coordinator renew|certify|protect|revoke`: certificates, and their end."""

import datetime
from pathlib import Path
from typing import Annotated

import typer

from fedcausal.console import Format, FormatOption, QuietOption, emit
from fedcausal.errors import InputError
from fedcausal_server.commands.options import HomeArgument, passphrase_from, read_passphrase

__all__ = ["certify", "protect", "renew", "revoke"]

PassphraseOption = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file",
        help="The file with the passphrase of tls/ca.key; without it, it is asked for.",
    ),
]
RELOAD = "let the proxy read it:  nginx -s reload"


def renew(
    home: HomeArgument, passphrase_file: PassphraseOption = None, quiet: QuietOption = False
) -> None:
    """Make the server's certificate anew; a coordinator that serves takes it, and runs go on."""
    from fedcausal_server.daemon.home import open_home, renew_certificate

    opened = open_home(home)
    renew_certificate(opened, now=_now(), passphrase=passphrase_from(passphrase_file, home))
    if not quiet:
        typer.echo("renewed; a coordinator that serves takes it at once, a proxy when reloaded")


def certify(
    home: HomeArgument,
    passphrase_file: PassphraseOption = None,
    output: FormatOption = Format.TEXT,
    quiet: QuietOption = False,
) -> None:
    """Make client certificates for a proxy that asks for them, and the list of revoked ones."""
    from fedcausal_server.daemon.home import open_home
    from fedcausal_server.parties import authority
    from fedcausal_server.parties.enrolling import note

    opened = open_home(home)
    names = authority.certify(
        opened, now=_now(), passphrase=passphrase_from(passphrase_file, home)
    )
    note(opened, "certified", parties=list(names))
    lines = [
        f"new: {', '.join(names) or 'nobody'}; there: fedcausal site certificate HOME",
        f"list of revoked ones: {opened.revocation_list}; {RELOAD}",
    ]
    data = {"parties": list(names), "list": str(opened.revocation_list)}
    emit(data, [] if quiet else lines, output)


def protect(
    home: HomeArgument,
    new_passphrase_file: Annotated[
        Path, typer.Option(help="The file with the passphrase from now on.")
    ],
    passphrase_file: PassphraseOption = None,
    quiet: QuietOption = False,
) -> None:
    """Encrypt tls/ca.key under a passphrase, or under another one."""
    from fedcausal_server.daemon.home import open_home
    from fedcausal_server.parties import authority

    new = read_passphrase(new_passphrase_file)
    authority.protect(open_home(home), passphrase=passphrase_from(passphrase_file, home), new=new)
    if not quiet:
        typer.echo("tls/ca.key is encrypted; keep the passphrase on another machine")


def revoke(
    home: HomeArgument,
    name: Annotated[str, typer.Argument(help="The party.")],
    why: Annotated[str, typer.Option(help="For the audit log and revoked.txt, in one line.")],
    passphrase_file: PassphraseOption = None,
    output: FormatOption = Format.TEXT,
    quiet: QuietOption = False,
) -> None:
    """Refuse a party's keys from now on, whatever it holds: node, identity and certificates."""
    from fedcausal_server.daemon.home import open_home
    from fedcausal_server.parties import authority, enrolling

    opened = open_home(home)
    party = enrolling.revoke(opened, name, why=why)
    lines = [f"{name} ({party.fingerprint}) is refused from now on"]
    listed = opened.revocation_list.exists()
    if listed:
        # Only a home with client certificates has a list; the doors of all others are closed.
        try:
            authority.certify(
                opened, now=_now(), passphrase=passphrase_from(passphrase_file, home)
            )
        except InputError as error:
            raise InputError(
                f"{name} is refused by the coordinator, but the proxy's list could not be signed: "
                f"{error}; then type: fedcausal coordinator certify {home}"
            ) from None
        lines.append(f"{opened.revocation_list} is new; {RELOAD}")
    data = {"name": name, "fingerprint": party.fingerprint, "listed": listed}
    emit(data, [] if quiet else lines, output)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
