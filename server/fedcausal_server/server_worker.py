"""The coordinator's worker: it fetches server tasks of the thin bundle and runs no others."""

import os
from collections.abc import Callable
from importlib import import_module
from queue import Queue
from typing import Any

import httpx

from fedcausal.daemons.bundle import thin_bundle_hash
from fedcausal.daemons.task_loop import Task, TaskLoop
from fedcausal.errors import ProtocolError
from fedcausal_privacy.canonical import sha256_hex
from fedcausal_server.coordinator_home import CoordinatorHome

__all__ = ["pinned_install", "server_loop"]

REQUEST_SECONDS = 10.0


def server_loop(home: CoordinatorHome, *, poll_seconds: float) -> TaskLoop:
    """The loop that runs this coordinator's studies, one process each."""
    from flwr.supercore.constant import TaskType

    # Imported before the first fork, so that every child has them.
    import_module("fedcausal_server.app")
    import_module("flwr.superlink.runtime.run_serverapp")
    return TaskLoop(
        acquire=_acquirer(home, [TaskType.SERVER_APP.value]),
        run=lambda task: _run(home, task),
        poll_seconds=poll_seconds,
    )


def pinned_install(install: Callable[..., Any], pinned: str) -> Callable[..., Any]:
    """Flower's installation of a bundle, for the bundle with the pinned hash alone."""

    def guarded(fab: bytes, *arguments: Any, **options: Any) -> Any:
        if sha256_hex(fab) != pinned:
            raise ProtocolError("the run's bundle is not the one of this installation")
        return install(fab, *arguments, **options)

    return guarded


def _acquirer(home: CoordinatorHome, kinds: list[str]) -> Callable[[], Task | None]:
    from flwr.proto.runtime_pb2 import AcquireTaskRequest
    from flwr.supercore.interceptors import (
        RuntimeVersionHttpInterceptor,
        SuperExecAuthHttpInterceptor,
    )
    from flwr.supercore.runtime import RuntimeHttpClient

    client = RuntimeHttpClient.from_server_address(
        server_address=home.local_address,
        insecure=False,
        root_certificates=home.authority.read_bytes(),
        interceptors=[
            RuntimeVersionHttpInterceptor(component_name="fedcausal coordinator"),
            SuperExecAuthHttpInterceptor(
                master_secret=home.task_secret.read_bytes(),
                protected_methods=frozenset({"/flwr.proto.Runtime/AcquireTask"}),
            ),
        ],
    )

    def acquire() -> Task | None:
        try:
            answer = client.AcquireTask(AcquireTaskRequest(supported_task_types=kinds))
        except httpx.HTTPError:
            return None
        if not (answer.HasField("task") and answer.token):
            return None
        return Task(kind=answer.task.type, token=answer.token)

    return acquire


def _run(home: CoordinatorHome, task: Task) -> int:
    """Run one study's server app, in a child process."""
    # Not `import ... as`: the package has a function of the module's name.
    flower: Any = import_module("flwr.superlink.runtime.run_serverapp")
    flower.install_from_fab = pinned_install(flower.install_from_fab, thin_bundle_hash())
    flower.run_serverapp(
        runtime_api_address=home.local_address,
        log_queue=Queue(),
        token=task.token,
        insecure=False,
        certificates=home.authority.read_bytes(),
        parent_pid=os.getppid(),
        runtime_dependency_install=False,
    )
    return 0
