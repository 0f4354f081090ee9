"""The coordinator's SuperLink: Flower's own, behind the path policy and the enrolment route."""

import os
import sys
from importlib import import_module
from typing import Any

import flwr.superlink.main as flower
from flwr.supercore.app_utils import start_parent_process_monitor
from flwr.superlink.cli.flower_superlink import flower_superlink

from fedcausal.daemons.processes import held_folder
from fedcausal_server.daemon.home import CoordinatorHome
from fedcausal_server.daemon.path_policy import PathPolicy
from fedcausal_server.parties.enrolment_route import EnrolmentRoute

__all__ = ["guard_application", "run_superlink", "superlink_arguments", "wait_for_studies"]

# Of 30 seconds each: as long as the default deadline of a round.
MISSED_HEARTBEATS = 20


def superlink_arguments(home: CoordinatorHome) -> list[str]:
    """Flower's options: TLS, node authentication, state on disk, tasks for our worker alone."""
    return [
        *("--ssl-ca-certfile", str(home.authority)),
        *("--ssl-certfile", str(home.certificate)),
        *("--ssl-keyfile", str(home.certificate)),
        "--enable-supernode-auth",
        "--disable-runtime-dependency-installation",
        *("--isolation", "process"),
        *("--superexec-auth-secret-file", str(home.task_secret)),
        *("--database", str(home.database)),
        *("--host", home.config.bind),
        *("--port", str(home.config.port)),
    ]


def guard_application(home: CoordinatorHome) -> None:
    """Put our middleware in front of every application that Flower's SuperLink makes."""
    make, token = flower.create_app, home.operator_token.read_text().strip()

    def create_app(*arguments: Any, **options: Any) -> Any:
        app = make(*arguments, **options)
        app.add_middleware(EnrolmentRoute, home=home)
        # Added last, so that it is met first.
        app.add_middleware(PathPolicy, operator_token=token)
        return app

    flower.create_app = create_app


def wait_for_studies() -> None:
    """Let a study be out of reach for as long as a round may last before its run is failed.

    Flower's minute is there to notice a process that died; here the daemon is its parent, and
    says so at once (`server_worker.report_end`). Nodes keep Flower's minute.
    """
    core_state: Any = import_module("flwr.supercore.corestate.sql_corestate")
    core_state.HEARTBEAT_PATIENCE = MISSED_HEARTBEATS


def run_superlink(home: CoordinatorHome) -> None:
    """Serve until a signal ends it, or its parent is gone."""
    start_parent_process_monitor(os.getppid())
    guard_application(home)
    wait_for_studies()
    sys.argv = ["flower-superlink", *superlink_arguments(home)]
    with held_folder(home.link_lock):
        flower_superlink()
