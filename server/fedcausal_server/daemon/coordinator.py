"""The coordinator's daemon: a SuperLink that is kept alive, and the worker of its studies."""

import fcntl
import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from fedcausal.daemons.logs import adopt_loggers
from fedcausal.daemons.monitor import serve_monitor
from fedcausal.daemons.processes import (
    Forked,
    await_until,
    end_process,
    held_folder,
    holder_of,
)
from fedcausal.errors import DeadlineError, FedCausalError, LinkError
from fedcausal_server.daemon.control import Control, is_serving
from fedcausal_server.daemon.deployed_runs import close_orphans
from fedcausal_server.daemon.home import CoordinatorHome
from fedcausal_server.daemon.monitoring import coordinator_monitor
from fedcausal_server.daemon.superlink import run_superlink
from fedcausal_server.daemon.worker import server_loop

__all__ = ["register_parties", "serve"]

POLL_SECONDS = 0.5
START_SECONDS = 120.0
_LOG = logging.getLogger("fedcausal.coordinator")


class _Stop:
    """Turns a signal into a flag that the loop reads."""

    def __init__(self) -> None:
        self.asked = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._note)

    def _note(self, number: int, _frame: object) -> None:
        self.asked = True


def serve(home: CoordinatorHome, *, say: Callable[[str], None]) -> None:
    """Serve until a signal ends it.

    The SuperLink runs as a child; when it ends it is started again, with pauses that grow to half
    a minute. The studies run in children of this process, so that they outlive a SuperLink that
    was killed: they wait for it, and go on.

    Raises
    ------
    InputError
        Another daemon serves this home.
    DeadlineError
        The SuperLink did not answer in the first two minutes.
    """
    with held_folder(home.state):
        stop = _Stop()
        adopt_loggers()
        monitor = _start_monitor(home)
        loop = server_loop(home, poll_seconds=POLL_SECONDS)
        try:
            pause, is_first = 1.0, True
            while not stop.asked:
                started = time.monotonic()
                _serve_once(home, loop.step, stop, say, is_first=is_first)
                is_first = False
                if stop.asked:
                    break
                pause = 1.0 if time.monotonic() - started > 60 else min(2 * pause, 30.0)
                _LOG.warning("the SuperLink ended; starting it again in %.0f s", pause)
                _pause(pause, stop)
        finally:
            loop.close()
            if monitor is not None:
                end_process(monitor, seconds=3)


def _start_monitor(home: CoordinatorHome) -> Forked | None:
    """Open the monitoring port, where the home has one; a port in use costs the monitoring."""
    port, bind, parent = home.config.metrics_port, home.config.metrics_bind, os.getpid()
    if port is None:
        return None
    return Forked.start(
        lambda: serve_monitor(coordinator_monitor(home), bind=bind, port=port, parent=parent)
    )


def _serve_once(
    home: CoordinatorHome,
    step: Callable[[], None],
    stop: _Stop,
    say: Callable[[str], None],
    *,
    is_first: bool,
) -> None:
    """One life of the SuperLink."""
    # One that a killed daemon left behind ends by itself; two never serve one home.
    await_until(
        lambda: holder_of(home.link_lock) is None,
        "the SuperLink of an earlier daemon to end",
        seconds=START_SECONDS,
    )
    certificate = _version(home)
    process = Forked.start(lambda: run_superlink(home))
    try:
        if not _came_up(home, process, stop, is_first=is_first):
            return
        say(f"serving at {home.public_address}")
        while not stop.asked and process.poll() is None:
            step()
            if _version(home) != certificate:
                say("the certificate was renewed: starting the SuperLink with it; runs go on")
                return
    finally:
        # Flower waits for idle connections of its own; what counts is on disk already.
        end_process(process, seconds=3)


def _came_up(home: CoordinatorHome, process: Forked, stop: _Stop, *, is_first: bool) -> bool:
    """Wait until a SuperLink answers and knows the parties; False when it has to be ended.

    The first one of a daemon must come up, and its operator looks on; a later one is tried again.
    """
    deadline = time.monotonic() + START_SECONDS
    try:
        while not is_serving(home):
            if stop.asked or process.poll() is not None:
                return False
            if time.monotonic() >= deadline:
                raise DeadlineError(
                    f"waited {START_SECONDS:g} s for the SuperLink at {home.local_address}; "
                    "is the port in use? read the lines above"
                )
            time.sleep(POLL_SECONDS)
        register_parties(home)
        if is_first:
            close_orphans(home)
    except (LinkError, DeadlineError) as error:
        if is_first:
            raise
        _LOG.warning("%s", error)
        return False
    return True


def _version(home: CoordinatorHome) -> tuple[int, int]:
    """Which server certificate lies there: `renew` puts another file in its place."""
    found = home.certificate.stat()
    return found.st_ino, found.st_mtime_ns


def register_parties(home: CoordinatorHome) -> None:
    """Let the nodes of all enrolled parties in, and nobody else's.

    Harmless to repeat: the book decides, whatever Flower's database still holds. One process
    does it at a time.
    """
    with _registering(home), closing(Control(home)) as control:
        nodes = {node.public_key: node for node in control.nodes()}
        parties = {party.node_key: party for party in home.book().enrolled()}
        for key, party in parties.items():
            if key not in nodes:
                control.register(key, party.name)
        for key, node in nodes.items():
            if key not in parties and node.status != "unregistered":
                _unregister(control, node.node_id)


@contextmanager
def _registering(home: CoordinatorHome) -> Iterator[None]:
    # Not the book's own lock: the SuperLink takes that one to answer a party.
    descriptor = os.open(home.state / ".nodes.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _unregister(control: Control, node_id: int) -> None:
    try:
        control.unregister(node_id)
    except FedCausalError as error:
        _LOG.warning("node %d could not be unregistered: %s", node_id, error)


def _pause(seconds: float, stop: _Stop) -> None:
    deadline = time.monotonic() + seconds
    while not stop.asked and time.monotonic() < deadline:
        time.sleep(0.1)
