"""`fedcausal site init|join|trust|certificate|start|status|stop`: a party's daemon."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from fedcausal.console import Format, FormatOption, QuietOption, emit, table
from fedcausal.daemons.logs import LogFormat, LogFormatOption, start_logging

__all__ = ["register"]

HomeArgument = Annotated[Path, typer.Argument(help="The party's folder, with site.toml in it.")]


def register(site: typer.Typer) -> None:
    """Add these commands to the group `fedcausal site`."""
    for command in (init, join, trust, certificate, start, status, stop):
        site.command()(command)


def init(
    home: HomeArgument,
    name: Annotated[str, typer.Option(help="The name in studies and reports.")],
    role: Annotated[str, typer.Option(help="site, steward or second-steward.")] = "site",
    data: Annotated[
        str | None, typer.Option(help="A site's file of records (CSV or Parquet).")
    ] = None,
    output: FormatOption = Format.TEXT,
    quiet: QuietOption = False,
) -> None:
    """Make a party's folder: site file, identity and node key, which never leave it."""
    from fedcausal_clients.daemon.home import create_party_home

    mark = create_party_home(home, name=name, role=role, data=data)
    lines = [
        f"{role} {name} in {home}",
        f"fingerprint  {mark}",
        f"Join with the invitation's file:  fedcausal site join {home} INVITATION",
    ]
    emit({"name": name, "fingerprint": mark}, [mark] if quiet else lines, output)


def join(
    home: HomeArgument,
    invitation: Annotated[Path, typer.Argument(help="The file that the coordinator sent.")],
    output: FormatOption = Format.TEXT,
    quiet: QuietOption = False,
) -> None:
    """Hand this party's public keys to a coordinator, with the one-time token of a file."""
    from fedcausal_clients.daemon.enrolment import join as join_coordinator
    from fedcausal_clients.daemon.home import load_identity
    from fedcausal_privacy.keys.certificates import certificate_fingerprint

    coordinator = join_coordinator(home, invitation)
    own = load_identity(home).fingerprint()
    authority = certificate_fingerprint(coordinator.authority.read_bytes())
    lines = [
        f"joined {coordinator.address}; nothing is open before its operator confirms",
        f"fingerprint  {own}   read it to the operator",
        f"authority    {authority}   the operator reads it to you",
    ]
    data = {"address": coordinator.address, "fingerprint": own, "authority": authority}
    emit(data, [own] if quiet else lines, output)


def trust(
    home: HomeArgument,
    pin: Annotated[
        bool, typer.Option("--pin", help="I compared the fingerprints: write the keys down.")
    ] = False,
    output: FormatOption = Format.TEXT,
    quiet: QuietOption = False,
) -> None:
    """Print the other parties' fingerprints as the coordinator tells them; pin the keys."""
    from fedcausal_clients.daemon.enrolment import ask_roster
    from fedcausal_clients.daemon.home import pin_peers

    peers = ask_roster(home)
    pinned = pin_peers(home, peers) if pin else ()
    rows = [[peer.name, peer.role, peer.fingerprint] for peer in peers]
    lines = table(("party", "role", "fingerprint"), rows, indent=0)
    if not pin:
        lines.append("Compare each with its party, then write them down: --pin")
    elif pinned:
        lines.append(f"pinned {', '.join(pinned)}")
    shown = [{"name": n, "role": r, "fingerprint": f} for n, r, f in rows]
    emit({"parties": shown, "pinned": list(pinned)}, [] if quiet else lines, output)


def certificate(
    home: HomeArgument, output: FormatOption = Format.TEXT, quiet: QuietOption = False
) -> None:
    """Fetch this party's client certificate, or a renewed one, for a proxy that asks for it."""
    from fedcausal_clients.daemon.enrolment import fetch_certificate
    from fedcausal_privacy.keys.certificate_expiry import read_expiry

    path = fetch_certificate(home)
    (expiry,) = read_expiry(path)
    emit({"certificate": str(path)}, [] if quiet else [expiry.detail], output)


def start(
    home: HomeArgument,
    poll: Annotated[
        float, typer.Option(min=0.05, max=3.0, help="Seconds between questions for messages.")
    ] = 1.0,
    log_format: LogFormatOption = LogFormat.TEXT,
    quiet: QuietOption = False,
) -> None:
    """Connect and answer, in the foreground, until a signal ends it (systemd starts it so)."""
    from fedcausal_clients.daemon.daemon import serve
    from fedcausal_clients.site_config import SiteConfig

    named = SiteConfig.load(home).site
    say = start_logging(log_format, role=named.role, name=named.name, quiet=quiet)
    serve(home, poll_seconds=poll, say=say)


def status(home: HomeArgument, output: FormatOption = Format.TEXT) -> None:
    """Print whether the daemon of this folder runs, and which code it would run."""
    from fedcausal.daemons.bundle import thin_bundle_hash
    from fedcausal_clients.daemon.daemon import daemon_status

    seen = daemon_status(home)
    lines = [
        f"{seen.role} {seen.name}: {'running' if seen.running else 'not running'}",
        f"coordinator  {seen.coordinator}",
        f"bundle       {thin_bundle_hash()}",
        "             installed code only; another bundle is refused",
    ]
    if seen.running:
        lines.append(f"process      {seen.pid}, node started {seen.starts} time(s)")
    emit({**asdict(seen), "bundle": thin_bundle_hash()}, lines, output)
    if not seen.running:
        raise typer.Exit(2)


def stop(
    home: HomeArgument,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait for its end.")] = 60.0,
    quiet: QuietOption = False,
) -> None:
    """End the daemon of this folder."""
    from fedcausal.daemons.processes import stop_holder
    from fedcausal_clients.home import STATE_FOLDER
    from fedcausal_clients.site_config import SiteConfig

    SiteConfig.load(home)
    folder = home / STATE_FOLDER
    stopped = folder.is_dir() and stop_holder(folder, seconds=timeout)
    if not quiet:
        typer.echo("stopped" if stopped else "it was not running")
