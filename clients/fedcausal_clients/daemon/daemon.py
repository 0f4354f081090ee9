"""A party's daemon: a SuperNode that is kept connected, and the worker that answers for it."""

import json
import logging
import os
import secrets
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fedcausal.daemons.logs import adopt_loggers
from fedcausal.daemons.monitor import serve_monitor
from fedcausal.daemons.processes import (
    Forked,
    end_process,
    free_port,
    go_offline,
    held_folder,
    holder_of,
)
from fedcausal.errors import InputError
from fedcausal_clients.daemon.clock import connection_fault
from fedcausal_clients.daemon.forwarder import prepare_forwarder, run_forwarder
from fedcausal_clients.daemon.home import load_node_key, read_coordinator
from fedcausal_clients.home import STATE_FOLDER, open_home
from fedcausal_clients.site_config import SiteConfig
from fedcausal_clients.state_store import StateStore

__all__ = ["DaemonStatus", "daemon_status", "serve"]

# Flower refuses a node whose last session has not expired, which takes up to a minute.
LONGEST_PAUSE_SECONDS = 20.0
STATUS_FILE = "daemon.json"
SECRET_FILE = "tasks.secret"  # noqa: S105 - a file's name
_LOG = logging.getLogger("fedcausal.site")


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonStatus:
    """What a party's operator sees of its daemon."""

    name: str
    role: str
    running: bool
    coordinator: str
    pid: int | None
    starts: int


class _Stop:
    """Turns a signal into a flag that the loop reads."""

    def __init__(self) -> None:
        self.asked = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._note)

    def _note(self, number: int, _frame: object) -> None:
        self.asked = True


def serve(home: Path, *, poll_seconds: float, say: Callable[[str], None]) -> None:
    """Serve until a signal ends it; reconnect for ever, with pauses that grow to 20 seconds.

    Raises
    ------
    InputError
        The folder is not ready (no site file, no keys, no coordinator, nobody trusted), or
        another daemon serves it.
    LinkError
        This machine's clock is an hour or more from the coordinator's.
    """
    config = SiteConfig.load(home)
    coordinator = read_coordinator(home)
    load_node_key(home)
    if config.trust is not None and not config.trust:
        raise InputError(
            f"{home / 'site.toml'}: trust: nobody is pinned; compare fingerprints and write them "
            "with `fedcausal site trust HOME --pin`"
        )
    with open_home(home):
        state = StateStore.open(home / STATE_FOLDER).folder
    with held_folder(state):
        go_offline(state / "flwr")
        stop, starts, pause = _Stop(), 0, 1.0
        monitor = _start_monitor(home, config)
        try:
            say(f"{config.site.name} connects to {coordinator.address}")
            while not stop.asked:
                started, starts = time.monotonic(), starts + 1
                _write_status(state, starts)
                reason = connection_fault(coordinator)
                if not reason:
                    _serve_once(home, state, poll_seconds, stop)
                    reason = f"is {config.site.name} confirmed there?"
                if stop.asked:
                    break
                lasted = time.monotonic() - started
                pause = 1.0 if lasted > 120 else min(2 * pause, LONGEST_PAUSE_SECONDS)
                _LOG.warning("not connected; connecting again in %.0f s", pause)
                say(f"not connected ({reason}); again in {pause:.0f} s")
                _pause(pause, stop)
        finally:
            if monitor is not None:
                end_process(monitor, seconds=3)


def _start_monitor(home: Path, config: SiteConfig) -> Forked | None:
    """Open the monitoring port, where the site file has one."""
    if config.monitoring is None:
        return None
    place, parent = config.monitoring, os.getpid()

    def serve_it() -> None:
        from fedcausal_clients.daemon.monitoring import site_monitor

        serve_monitor(site_monitor(home), bind=place.bind, port=place.port, parent=parent)

    return Forked.start(serve_it)


def _serve_once(home: Path, state: Path, poll_seconds: float, stop: _Stop) -> None:
    """One life of the SuperNode, with a worker and a secret of its own."""
    # Flower is imported here, once it is offline.
    from fedcausal_clients.daemon.supernode import run_supernode
    from fedcausal_clients.daemon.worker import client_loop

    port, secret = free_port(), secrets.token_bytes(32)
    path = state / SECRET_FILE
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(secret)
    address = f"127.0.0.1:{port}"
    adopt_loggers()
    coordinator = read_coordinator(home)
    forwarder = prepare_forwarder(coordinator, state)
    children = []
    if forwarder is not None:
        children.append(Forked.start(lambda: run_forwarder(forwarder)))
        coordinator = forwarder.local
    loop = client_loop(home, address=address, secret=secret, poll_seconds=poll_seconds / 2)
    process = Forked.start(
        lambda: run_supernode(
            home, port=port, secret=path, poll_seconds=poll_seconds, coordinator=coordinator
        )
    )
    try:
        while not stop.asked and process.poll() is None:
            loop.step()
    finally:
        loop.close()
        for child in (process, *children):
            end_process(child)


def daemon_status(home: Path) -> DaemonStatus:
    """Whether a daemon serves this folder, and how often its node was started."""
    config, state = SiteConfig.load(home), home / STATE_FOLDER
    pid = holder_of(state) if state.is_dir() else None
    try:
        starts = int(json.loads((state / STATUS_FILE).read_bytes())["starts"])
    except (OSError, ValueError, KeyError):
        starts = 0
    return DaemonStatus(
        name=config.site.name,
        role=config.site.role,
        running=pid is not None,
        coordinator=read_coordinator(home).address,
        pid=pid,
        starts=starts if pid is not None else 0,
    )


def _write_status(state: Path, starts: int) -> None:
    StateStore.open(state).write(STATUS_FILE, json.dumps({"starts": starts}).encode())


def _pause(seconds: float, stop: _Stop) -> None:
    deadline = time.monotonic() + seconds
    while not stop.asked and time.monotonic() < deadline:
        time.sleep(0.1)
