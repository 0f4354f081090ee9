"""The operator's requests to the coordinator's own SuperLink: nodes and runs."""

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from flwr.common.serde import user_config_to_proto
from flwr.proto.control_pb2 import (
    ListNodesRequest,
    ListRunsRequest,
    RegisterNodeRequest,
    StartRunRequest,
    StopRunRequest,
    UnregisterNodeRequest,
)
from flwr.proto.fab_pb2 import Fab
from flwr.supercore.control import ControlHttpClient
from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor

from fedcausal.daemons.bundle import thin_bundle, thin_bundle_hash
from fedcausal.errors import DeadlineError, LinkError
from fedcausal_server.daemon.home import CoordinatorHome
from fedcausal_server.daemon.path_policy import OPERATOR_HEADER

__all__ = ["Control", "Node", "RunStatus", "is_serving"]

SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node as the SuperLink sees it; `status` is registered, online, offline or the like."""

    node_id: int
    public_key: str
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStatus:
    """Where a run stands: `state` until it is "finished", then `outcome` and why."""

    run_id: int
    state: str
    outcome: str
    details: str

    @property
    def is_finished(self) -> bool:
        """Whether nothing more will happen in this run."""
        return self.state == "finished"


class _OperatorToken:
    """Shows the operator's token with every request."""

    def __init__(self, token: str) -> None:
        self._token = token

    def intercept(self, context: Any, call_next: Any) -> httpx.Response:
        context.request.headers[OPERATOR_HEADER] = self._token
        response: httpx.Response = call_next(context)
        return response


class Control:
    """Nodes and runs of the SuperLink of one home; every request ends within 30 seconds.

    Raises
    ------
    LinkError
        The SuperLink is not there, or refuses.
    DeadlineError
        It does not answer.
    """

    def __init__(self, home: CoordinatorHome) -> None:
        self._address = home.local_address
        self._client = ControlHttpClient.from_server_address(
            server_address=home.local_address,
            insecure=False,
            root_certificates=home.authority.read_bytes(),
            interceptors=[
                _OperatorToken(home.operator_token.read_text().strip()),
                RuntimeVersionHttpInterceptor(component_name="fedcausal coordinator"),
            ],
        )

    def nodes(self) -> tuple[Node, ...]:
        """All registered nodes."""
        with self._translated("list its nodes"):
            found = self._client.ListNodes(ListNodesRequest()).nodes_info
        return tuple(
            Node(node_id=n.node_id, public_key=n.public_key.decode(), status=n.status)
            for n in found
        )

    def register(self, public_key: str, name: str) -> int:
        """Let the node of this key in; its number."""
        with self._translated("register a node"):
            request = RegisterNodeRequest(public_key=public_key.encode(), name=name)
            node: int = self._client.RegisterNode(request).node_id
            return node

    def unregister(self, node_id: int) -> None:
        """Let a node in no longer."""
        with self._translated("unregister a node"):
            self._client.UnregisterNode(UnregisterNodeRequest(node_id=node_id))

    def start_run(self, run_config: Mapping[str, str | int]) -> int:
        """Submit the thin bundle with this configuration; the run's number."""
        request = StartRunRequest(
            fab=Fab(hash_str=thin_bundle_hash(), content=thin_bundle()),
            override_config=user_config_to_proto(dict(run_config)),
        )
        with self._translated("start a run"):
            run: int = self._client.StartRun(request).run_id
        if not run:
            raise LinkError("the SuperLink did not take the run; read the coordinator's log")
        return run

    def run(self, run_id: int) -> RunStatus | None:
        """Where a run stands; None when the SuperLink does not know it."""
        with self._translated("say where a run stands"):
            found = self._client.ListRuns(ListRunsRequest(run_id=run_id)).run_dict
        if run_id not in found:
            return None
        status = found[run_id].status
        return RunStatus(
            run_id=run_id,
            state=status.status,
            outcome=status.sub_status,
            details=status.details,
        )

    def stop_run(self, run_id: int) -> bool:
        """Stop a run; False when it had ended."""
        with self._translated("stop a run"):
            try:
                return bool(self._client.StopRun(StopRunRequest(run_id=run_id)).success)
            except httpx.HTTPStatusError as error:
                # Flower's word for a run that has ended: somebody else was quicker.
                if error.response.status_code != httpx.codes.PRECONDITION_FAILED:
                    raise
                return False

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    @contextmanager
    def _translated(self, what: str) -> Iterator[None]:
        """Flower's errors as ours, without a word of what was sent."""
        try:
            yield
        except httpx.TimeoutException:
            raise DeadlineError(
                f"waited {SECONDS:g} s for the coordinator at {self._address} to {what}"
            ) from None
        except httpx.HTTPStatusError as error:
            raise LinkError(
                f"the coordinator at {self._address} refused to {what} (HTTP "
                f"{error.response.status_code}); read its log"
            ) from None
        except httpx.HTTPError:
            raise LinkError(
                f"no coordinator answers at {self._address}; start it with "
                "`fedcausal coordinator start HOME`"
            ) from None


def is_serving(home: CoordinatorHome) -> bool:
    """Whether the SuperLink of this home answers on its port, with its certificate."""
    try:
        context = ssl.create_default_context(cafile=home.authority)
        url = f"https://{home.local_address}/health"
        return httpx.get(url, verify=context, timeout=5.0).status_code == 200
    except httpx.HTTPError:
        return False
