"""`fedcausal key`: make, show, replace, accept and revoke the identity keys of a role."""

from pathlib import Path
from typing import Annotated

import typer

from fedcausal.console import Format, FormatOption, QuietOption, emit, table

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, add_completion=False)

HomeArgument = Annotated[Path, typer.Argument(help="The role's home folder (with site.toml).")]


@app.callback()
def group() -> None:
    """Make, show, replace and revoke the keys of a role."""


@app.command()
def create(
    home: HomeArgument, output: FormatOption = Format.TEXT, quiet: QuietOption = False
) -> None:
    """Make the role's key, once; with `site.passphrase_file` it is stored encrypted."""
    from fedcausal_clients.home import create_identity, identity_passphrase
    from fedcausal_clients.site_config import SiteConfig
    from fedcausal_privacy.keys.known_keys import fingerprint_of

    passphrase = identity_passphrase(home, SiteConfig.load(home))
    public = create_identity(home, passphrase=passphrase)
    mark = fingerprint_of(public)
    lines = [public] if quiet else [f"public key   {public}", f"fingerprint  {mark}"]
    if passphrase is None and not quiet:
        lines.append("The key file is NOT encrypted: site.passphrase_file names no file.")
    emit({"public": public, "fingerprint": mark, "encrypted": bool(passphrase)}, lines, output)


@app.command()
def show(
    home: HomeArgument, output: FormatOption = Format.TEXT, quiet: QuietOption = False
) -> None:
    """Show the role's key and those it accepts, to compare their fingerprints by voice."""
    from fedcausal_clients.keys import known_keys

    rows = [[k.name, k.state, k.fingerprint] for k in known_keys(home)]
    data = {
        "keys": [dict(zip(("name", "state", "fingerprint"), row, strict=True)) for row in rows]
    }
    shown = rows[:1] if quiet else rows
    emit(data, table(("party", "key", "fingerprint"), shown, indent=0), output)


@app.command("rotate")
def rotate_command(
    home: HomeArgument, output: FormatOption = Format.TEXT, quiet: QuietOption = False
) -> None:
    """Replace the role's key by a fresh one, between runs; send the printed file to all."""
    from fedcausal_clients.daemon.home import COORDINATOR_FOLDER
    from fedcausal_clients.keys import rotate_identity
    from fedcausal_clients.site_config import SiteConfig

    path = rotate_identity(home)
    lines = [str(path)]
    if not quiet:
        lines.append("Every other party runs: fedcausal key accept HOME " + path.name)
    if not quiet and (home / COORDINATOR_FOLDER).is_dir():
        name = SiteConfig.load(home).site.name
        lines.append(f"The coordinator: fedcausal coordinator enrol HOME {name} --rotation FILE")
    emit({"rotation": str(path)}, lines, output)


@app.command()
def accept(
    home: HomeArgument,
    file: Annotated[Path, typer.Argument(help="The rotation file that a party sent.")],
    output: FormatOption = Format.TEXT,
    quiet: QuietOption = False,
) -> None:
    """Accept a party's new key, which its old key signed; the old one is refused from now on."""
    from fedcausal_clients.keys import accept_rotation
    from fedcausal_privacy.keys.known_keys import fingerprint_of

    rotation = accept_rotation(home, file)
    mark = fingerprint_of(rotation.new)
    emit(
        {"party": rotation.name, "fingerprint": mark},
        [] if quiet else [f"{rotation.name} is {mark} from now on"],
        output,
    )


@app.command("revoke")
def revoke_command(
    home: HomeArgument,
    fingerprint: Annotated[str, typer.Argument(help="8 groups of 4 digits.")],
    reason: Annotated[str, typer.Option(help="A note for the file, in one line.")] = "",
    output: FormatOption = Format.TEXT,
    quiet: QuietOption = False,
) -> None:
    """Refuse a key from now on, whoever vouches for it."""
    from fedcausal_clients.keys import revoke

    revoke(home, fingerprint, reason=reason)
    lines = [] if quiet else [f"{fingerprint} is refused from now on"]
    emit({"fingerprint": fingerprint}, lines, output)
