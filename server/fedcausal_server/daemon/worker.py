"""The coordinator's worker: it fetches server tasks of the thin bundle and runs no others."""

import os
from collections.abc import Callable
from contextlib import closing
from importlib import import_module
from queue import Queue
from typing import Any

import httpx

from fedcausal.daemons.bundle import thin_bundle_hash
from fedcausal.daemons.task_loop import Task, TaskLoop
from fedcausal.errors import ProtocolError
from fedcausal_privacy.canonical import sha256_hex
from fedcausal_server.daemon.home import CoordinatorHome
from fedcausal_server.transport.outage import is_outage

__all__ = ["pinned_install", "report_end", "server_loop"]


def server_loop(home: CoordinatorHome, *, poll_seconds: float) -> TaskLoop:
    """The loop that runs this coordinator's studies, one process each."""
    from flwr.supercore.constant import TaskType

    # Imported before the first fork, so that every child has them.
    import_module("fedcausal_server.app")
    import_module("flwr.superlink.runtime.run_serverapp")
    import_module("fedcausal_server.transport.steady_grid")
    return TaskLoop(
        acquire=_acquirer(home, [TaskType.SERVER_APP.value]),
        run=lambda task: _run(home, task),
        poll_seconds=poll_seconds,
        ended=lambda task, code: not code or report_end(home, task, code),
    )


def pinned_install(install: Callable[..., Any], pinned: str) -> Callable[..., Any]:
    """Flower's installation of a bundle, for the bundle with the pinned hash alone."""

    def guarded(fab: bytes, *arguments: Any, **options: Any) -> Any:
        if sha256_hex(fab) != pinned:
            raise ProtocolError("the run's bundle is not the one of this installation")
        return install(fab, *arguments, **options)

    return guarded


def report_end(home: CoordinatorHome, task: Task, code: int) -> bool:
    """Tell the SuperLink that a study's process is gone; False when it could not be told.

    A process that fails says so itself, unless it was killed or the SuperLink was out. Without a
    word Flower would take the run for running until its heartbeat is missed. Of a run that has
    ended it takes no further word.
    """
    from flwr.proto.runtime_pb2 import PushTaskOutputRequest
    from flwr.supercore.interceptors import RuntimeTokenHttpInterceptor

    said = PushTaskOutputRequest(sub_status="failed", details=f"its process ended ({code})")
    with closing(_runtime(home, RuntimeTokenHttpInterceptor(token=task.token))) as client:
        try:
            client.PushTaskOutput(said)
        except httpx.HTTPError as error:
            return not is_outage(error)
    return True


def _acquirer(home: CoordinatorHome, kinds: list[str]) -> Callable[[], Task | None]:
    from flwr.proto.runtime_pb2 import AcquireTaskRequest
    from flwr.supercore.interceptors import SuperExecAuthHttpInterceptor

    secret = SuperExecAuthHttpInterceptor(
        master_secret=home.task_secret.read_bytes(),
        protected_methods=frozenset({"/flwr.proto.Runtime/AcquireTask"}),
    )
    client = _runtime(home, secret)

    def acquire() -> Task | None:
        try:
            answer = client.AcquireTask(AcquireTaskRequest(supported_task_types=kinds))
        except httpx.HTTPError:
            return None
        if not (answer.HasField("task") and answer.token):
            return None
        return Task(kind=answer.task.type, token=answer.token)

    return acquire


def _runtime(home: CoordinatorHome, interceptor: Any) -> Any:
    """A client of the SuperLink's routes for tasks; every request ends within some seconds."""
    from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor
    from flwr.supercore.runtime import RuntimeHttpClient

    return RuntimeHttpClient.from_server_address(
        server_address=home.local_address,
        insecure=False,
        root_certificates=home.authority.read_bytes(),
        interceptors=[
            RuntimeVersionHttpInterceptor(component_name="fedcausal coordinator"),
            interceptor,
        ],
    )


def _run(home: CoordinatorHome, task: Task) -> int:
    """Run one study's server app, in a child process."""
    # Not `import ... as`: the package has a function of the module's name.
    flower: Any = import_module("flwr.superlink.runtime.run_serverapp")
    flower.HttpGrid = import_module("fedcausal_server.transport.steady_grid").SteadyGrid
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
