"""A site's worker: it runs the installed client app on tasks of the one pinned bundle.

Flower ships app code to sites and puts it first on Python's path. Here nothing that arrives is
unpacked or imported: the bundle's hash is compared, its content thrown away.
"""

import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import httpx

from fedcausal.daemons.bundle import thin_bundle_hash
from fedcausal.daemons.task_loop import Task, TaskLoop
from fedcausal_clients.home import audit_log
from fedcausal_privacy.canonical import sha256_hex

__all__ = ["BundleGuard", "client_loop", "guard_client_app"]

CLIENT_TASK = "flwr-clientapp"
# What a SuperNode may be told to run besides a client app. All are fetched, so that none of them
# blocks the node, and none is run.
OTHER_TASKS = ("flwr-agentapp", "flwr-model", "flwr-connector", "flwr-simulation")
# The only words about it that reach the coordinator.
NOT_APPROVED = "BUNDLE_NOT_APPROVED"


class BundleGuard:
    """Takes the place of Flower's installation and loading of a bundle.

    Parameters
    ----------
    pinned
        SHA-256 of the bundle for which the installed app answers.
    on_refusal
        Told the hash of every other bundle.
    """

    def __init__(self, pinned: str, on_refusal: Callable[[str], None]) -> None:
        self._pinned, self._on_refusal = pinned, on_refusal
        self._is_approved = False

    def install(self, fab: bytes, *_arguments: object, **_options: object) -> None:
        """Compare the hash; unpack nothing.

        Raises
        ------
        PermissionError
            It is another bundle. Flower sends the text to the coordinator: a constant.
        """
        found = sha256_hex(fab)
        if found != self._pinned:
            self._on_refusal(found)
            raise PermissionError(NOT_APPROVED)
        self._is_approved = True

    def loader(self, *_arguments: object, **_options: object) -> Callable[..., Any]:
        """A loader of the installed app, whatever the bundle names."""

        def load(*_names: object) -> Any:
            if not self._is_approved:
                raise PermissionError(NOT_APPROVED)
            from fedcausal_clients.app import app

            return app

        return load


def guard_client_app(guard: BundleGuard) -> Any:
    """Flower's runner of client apps with the guard in place.

    Raises
    ------
    RuntimeError
        This version of Flower has no such places: nothing runs without the guard.
    """
    # Not `import ... as`: the package has a function of the module's name.
    flower: Any = import_module("flwr.supernode.runtime.run_clientapp")
    if not (hasattr(flower, "install_from_fab") and hasattr(flower, "get_load_client_app_fn")):
        raise RuntimeError("this version of Flower cannot be guarded; install flwr 1.41")
    flower.install_from_fab = guard.install
    flower.get_load_client_app_fn = guard.loader
    return flower


def client_loop(home: Path, *, address: str, secret: bytes, poll_seconds: float) -> TaskLoop:
    """The loop that answers this party's messages, one process each.

    Parameters
    ----------
    home
        The party's folder.
    address
        Of its own SuperNode's tasks, on loopback.
    secret
        Which lets this process, and no other, fetch them.
    poll_seconds
        Pause between two questions for a task.
    """
    # Imported before the first fork, so that every child has it.
    import_module("fedcausal_clients.app")
    import_module("flwr.supernode.runtime.run_clientapp")
    return TaskLoop(
        acquire=_acquirer(address, secret),
        run=lambda task: _run(home, address, task),
        poll_seconds=poll_seconds,
    )


def _acquirer(address: str, secret: bytes) -> Callable[[], Task | None]:
    from flwr.proto.runtime_pb2 import AcquireTaskRequest
    from flwr.supercore.interceptors import (
        RuntimeVersionHttpInterceptor,
        SuperExecAuthHttpInterceptor,
    )
    from flwr.supercore.runtime import RuntimeHttpClient

    request = AcquireTaskRequest(supported_task_types=[CLIENT_TASK, *OTHER_TASKS])
    client = RuntimeHttpClient.from_server_address(
        server_address=address,
        insecure=True,
        root_certificates=None,
        interceptors=[
            RuntimeVersionHttpInterceptor(component_name="fedcausal site"),
            SuperExecAuthHttpInterceptor(
                master_secret=secret,
                protected_methods=frozenset({"/flwr.proto.Runtime/AcquireTask"}),
            ),
        ],
    )

    def acquire() -> Task | None:
        try:
            answer = client.AcquireTask(request)
        except httpx.HTTPError:
            return None
        if not (answer.HasField("task") and answer.token):
            return None
        return Task(kind=answer.task.type, token=answer.token)

    return acquire


def _run(home: Path, address: str, task: Task) -> int:
    """Answer one message, or refuse a task of another kind; in a child process."""
    if task.kind != CLIENT_TASK:
        _note(home, "task refused", {"kind": task.kind})
        return _refuse(address, task)
    guard = BundleGuard(
        thin_bundle_hash(), lambda found: _note(home, "bundle refused", {"hash": found})
    )
    guard_client_app(guard).run_clientapp(
        runtime_api_address=address,
        token=task.token,
        insecure=True,
        parent_pid=os.getppid(),
        runtime_dependency_install=False,
    )
    return 0


def _refuse(address: str, task: Task) -> int:
    """End a task as failed, without looking at what it would have run."""
    from flwr.common.constant import SubStatus
    from flwr.proto.runtime_pb2 import PushTaskOutputRequest
    from flwr.supercore.interceptors import (
        RuntimeTokenHttpInterceptor,
        RuntimeVersionHttpInterceptor,
    )
    from flwr.supercore.runtime import RuntimeHttpClient

    client = RuntimeHttpClient.from_server_address(
        server_address=address,
        insecure=True,
        root_certificates=None,
        interceptors=[
            RuntimeVersionHttpInterceptor(component_name="fedcausal site"),
            RuntimeTokenHttpInterceptor(task.token),
        ],
    )
    client.PushTaskOutput(
        PushTaskOutputRequest(sub_status=SubStatus.FAILED, details="TASK_NOT_APPROVED")
    )
    return 1


def _note(home: Path, event: str, content: dict[str, str]) -> None:
    audit_log(home).append(event, content)
