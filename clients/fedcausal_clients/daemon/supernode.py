"""A party's SuperNode: Flower's own, with shorter pauses between its questions for messages."""

import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import flwr.supernode.fleet_http_connection as connection
import flwr.supernode.start_client_internal as flower
import httpx
from flwr.supercore.app_utils import start_parent_process_monitor
from flwr.supernode.cli.flower_supernode import flower_supernode

from fedcausal.errors import InputError
from fedcausal_clients.daemon.home import NODE_KEY_FILE, Coordinator, read_coordinator
from fedcausal_clients.home import STATE_FOLDER

__all__ = ["outlive_cuts", "poll_every", "run_supernode", "supernode_arguments"]


def supernode_arguments(
    home: Path, *, port: int, secret: Path, coordinator: Coordinator | None = None
) -> list[str]:
    """Flower's options: TLS, the node's key, tasks for our worker alone, no dependencies.

    `coordinator` is where the node connects, if not to the one that it joined (a forwarder).
    """
    coordinator = coordinator or read_coordinator(home)
    place = str(home.resolve())
    if "'" in place:
        raise InputError(f"{place}: expected a folder without ' in its name; rename it")
    return [
        *("--superlink", coordinator.address),
        *("--root-certificates", str(coordinator.authority)),
        *("--auth-supernode-private-key", str(home / STATE_FOLDER / NODE_KEY_FILE)),
        *("--isolation", "process"),
        *("--superexec-auth-secret-file", str(secret)),
        *("--node-config", f"home='{place}'"),
        *("--host", "127.0.0.1"),
        *("--port", str(port)),
    ]


def poll_every(seconds: float) -> None:
    """Let Flower's node ask for messages this often; its own pause is fixed at 3 seconds."""
    brief = SimpleNamespace(sleep=lambda pause: time.sleep(min(pause, seconds)))
    setattr(flower, "time", brief)  # noqa: B010 - a name that Flower does not export


def outlive_cuts() -> None:
    """Let Flower's node try again when a connection is cut in the middle of its handshake.

    It takes every error with a word of TLS in it for a wrong certificate: it loses the message
    that it was fetching, or ends. A certificate that is really wrong still ends it.
    """
    make: Any = vars(connection)["make_simple_http_retry_invoker"]

    def patient() -> Any:
        invoker = make()
        gives_up = invoker.should_giveup
        invoker.should_giveup = lambda error: not _is_cut(error) and gives_up(error)
        return invoker

    setattr(connection, "make_simple_http_retry_invoker", patient)  # noqa: B010 - as above


def _is_cut(error: Exception) -> bool:
    words = str(error).upper()
    return (
        isinstance(error, httpx.TransportError) and "EOF" in words and "CERTIFICATE" not in words
    )


def run_supernode(
    home: Path,
    *,
    port: int,
    secret: Path,
    poll_seconds: float,
    coordinator: Coordinator | None = None,
) -> None:
    """Serve until a signal ends it, or its parent is gone."""
    start_parent_process_monitor(os.getppid())
    poll_every(poll_seconds)
    outlive_cuts()
    arguments = supernode_arguments(home, port=port, secret=secret, coordinator=coordinator)
    sys.argv = ["flower-supernode", *arguments]
    flower_supernode()
