"""A party's SuperNode: Flower's own, with shorter pauses between its questions for messages."""

import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import flwr.supernode.start_client_internal as flower
from flwr.supercore.app_utils import start_parent_process_monitor
from flwr.supernode.cli.flower_supernode import flower_supernode

from fedcausal.errors import InputError
from fedcausal_clients.daemon_home import NODE_KEY_FILE, Coordinator, read_coordinator
from fedcausal_clients.home import STATE_FOLDER

__all__ = ["poll_every", "run_supernode", "supernode_arguments"]


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
    arguments = supernode_arguments(home, port=port, secret=secret, coordinator=coordinator)
    sys.argv = ["flower-supernode", *arguments]
    flower_supernode()
