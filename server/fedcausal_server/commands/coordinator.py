"""`fedcausal coordinator`: what the operator of a coordinator types."""

from pathlib import Path
from typing import Annotated, Any

import typer

from fedcausal.console import Format, FormatOption, QuietOption, emit, table
from fedcausal.daemons.logs import LogFormat, LogFormatOption, start_logging
from fedcausal_server.commands.authority import certify, protect, renew, revoke
from fedcausal_server.commands.backup import backup, restore
from fedcausal_server.commands.options import HomeArgument, read_passphrase
from fedcausal_server.commands.preflight import preflight_command
from fedcausal_server.commands.runs import abort, resume, run

__all__ = ["coordinator"]

coordinator = typer.Typer(no_args_is_help=True, add_completion=False)


@coordinator.callback()
def group() -> None:
    """Enrol sites and run studies."""


@coordinator.command()
def init(
    home: HomeArgument,
    host: Annotated[
        list[str], typer.Option(help="A name or address under which sites reach it; repeat it.")
    ],
    name: Annotated[str, typer.Option(help="Of this coordinator.")] = "coordinator",
    port: Annotated[int, typer.Option(help="The one port of sites and operator.")] = 8443,
    bind: Annotated[
        str, typer.Option(help='"0.0.0.0", or "127.0.0.1" behind a proxy on this machine.')
    ] = "0.0.0.0",  # noqa: S104 - sites come from outside
    public_port: Annotated[
        int | None, typer.Option(help="The port that sites see, if a proxy has another one.")
    ] = None,
    metrics_port: Annotated[
        int, typer.Option(min=0, help="On loopback, for metrics and health; 0 for none.")
    ] = 9464,
    passphrase_file: Annotated[
        Path | None, typer.Option(help="Encrypt the authority's key under this file's words.")
    ] = None,
    output: FormatOption = Format.TEXT,
    quiet: QuietOption = False,
) -> None:
    """Make a coordinator: its certificates, its secrets, an empty book of sites."""
    import datetime

    from fedcausal_privacy.keys.certificates import certificate_fingerprint
    from fedcausal_server.daemon.home import create_home

    made = create_home(
        home,
        name=name,
        hosts=host,
        port=port,
        bind=bind,
        public_port=public_port,
        metrics_port=metrics_port or None,
        passphrase=None if passphrase_file is None else read_passphrase(passphrase_file),
        now=datetime.datetime.now(datetime.UTC),
    )
    mark = certificate_fingerprint(made.authority.read_bytes())
    lines = [
        f"coordinator {name} in {home}, for sites at {made.public_address}",
        f"authority   {mark}",
        f"Start it:   fedcausal coordinator start {home}",
    ]
    emit(
        {"home": str(home), "address": made.public_address, "authority": mark},
        [mark] if quiet else lines,
        output,
    )


@coordinator.command()
def enrol(
    home: HomeArgument,
    name: Annotated[str | None, typer.Argument(help="The party; without it, all are listed.")] = (
        None
    ),
    role: Annotated[str, typer.Option(help="site, steward or second-steward.")] = "site",
    days: Annotated[int, typer.Option(min=1, max=30, help="How long an invitation holds.")] = 7,
    out: Annotated[Path | None, typer.Option(help="The invitation's file.")] = None,
    fingerprint: Annotated[
        str | None, typer.Option(help="Accept the party that joined with this one.")
    ] = None,
    rotation: Annotated[
        Path | None, typer.Option(help="The party's new identity: the file of its `key rotate`.")
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Let the party in no longer.")] = False,
    output: FormatOption = Format.TEXT,
    quiet: QuietOption = False,
) -> None:
    """Invite a party, then accept it by the fingerprint that it reads to you."""
    from fedcausal_server.daemon.home import open_home
    from fedcausal_server.parties import enrolling

    opened = open_home(home)
    if name is None:
        _list_parties(enrolling.parties(opened), output)
        return
    if fingerprint is not None:
        party = enrolling.confirm(opened, name, fingerprint)
        lines = [] if quiet else [f"{name} is enrolled as {party.role} {party.fingerprint}"]
        emit({"name": name, "state": party.state}, lines, output)
        return
    if rotation is not None:
        party = enrolling.follow(opened, name, rotation)
        lines = [] if quiet else [f"{name} is {party.fingerprint} from now on"]
        emit({"name": name, "fingerprint": party.fingerprint}, lines, output)
        return
    if remove:
        enrolling.remove(opened, name)
        emit({"name": name}, [] if quiet else [f"{name} is enrolled no longer"], output)
        return
    path = enrolling.invite(opened, name, role, days=days, out=out)
    lines = [str(path)]
    if not quiet:
        lines += [
            f"Send it to {name} over a channel that you both trust; it works once, {days} days.",
            f"There:  fedcausal site join HOME {path.name}",
            f"Then:   fedcausal coordinator enrol {home} {name} --fingerprint ....",
        ]
    emit({"invitation": str(path)}, lines, output)


@coordinator.command()
def start(
    home: HomeArgument,
    log_format: LogFormatOption = LogFormat.TEXT,
    quiet: QuietOption = False,
) -> None:
    """Serve, in the foreground, until a signal ends it (systemd starts it like this)."""
    from fedcausal.daemons.processes import go_offline
    from fedcausal_server.daemon.home import open_home

    opened = open_home(home)
    go_offline(opened.state / "flwr")
    # Flower is imported here, once it is offline.
    from fedcausal_server.daemon.coordinator import serve

    say = start_logging(log_format, role="coordinator", name=opened.config.name, quiet=quiet)
    serve(opened, say=say)


@coordinator.command()
def stop(
    home: HomeArgument,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait for its end.")] = 60.0,
    quiet: QuietOption = False,
) -> None:
    """End the coordinator that serves this home."""
    from fedcausal.daemons.processes import stop_holder
    from fedcausal_server.daemon.home import open_home

    stopped = stop_holder(open_home(home).state, seconds=timeout)
    if not quiet:
        typer.echo("stopped" if stopped else "it was not running")


@coordinator.command()
def status(home: HomeArgument, output: FormatOption = Format.TEXT) -> None:
    """Print whether it serves, who is connected, its runs, and when its certificate ends."""
    from fedcausal_server.daemon.home import open_home
    from fedcausal_server.daemon.overview import overview

    seen = overview(open_home(home))
    lines = [
        f"{'serving' if seen['serving'] else 'not serving'} at {seen['address']}",
        f"authority    {seen['authority']}",
        f"certificate  {seen['certificate_days']} days left{_urgency(seen['certificate_days'])}",
    ]
    parties = [[p["name"], p["role"], p["state"], p["node"]] for p in seen["parties"]]
    if parties:
        lines += ["", *table(("party", "role", "state", "node"), parties, indent=0)]
    runs = [[r["name"], r["state"]] for r in seen["runs"]]
    if runs:
        lines += ["", *table(("run", "state"), runs, indent=0)]
    emit(seen, lines, output)
    if not seen["serving"]:
        raise typer.Exit(2)


for _command in (run, resume, abort, backup, restore, renew, certify, protect, revoke):
    coordinator.command()(_command)
coordinator.command("preflight")(preflight_command)


def _list_parties(parties: list[dict[str, Any]], output: Format) -> None:
    rows = [[p["name"], p["role"], p["state"], p["fingerprint"]] for p in parties]
    lines = table(("party", "role", "state", "fingerprint"), rows, indent=0)
    emit({"parties": parties}, lines if rows else ["nobody is invited yet"], output)


def _urgency(days: int) -> str:
    for limit in (1, 7, 30):
        if days <= limit:
            return f" (WARNING: {limit} or fewer; type: fedcausal coordinator renew)"
    return ""
