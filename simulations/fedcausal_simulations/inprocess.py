"""A grid in one process: the same ServerApp and ClientApp objects, without Ray or a network."""

import itertools
import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np
from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.common.constant import ErrorCode
from flwr.serverapp import Grid, ServerApp
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    no_object_id_recompute,
)
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

from fedcausal.errors import InputError
from fedcausal_simulations.silence import Silence, Silences
from fedcausal_simulations.workspace import read_nodes

__all__ = ["InProcessGrid", "RunConfig", "run_config_of", "run_inprocess", "serialise"]

FIRST_NODE_ID = 1000
_Item = TypeVar("_Item")
RunConfig = Mapping[str, str | int | float | bool]


class InProcessGrid(Grid):
    """A Flower grid whose nodes are function calls.

    Parameters
    ----------
    client_app
        The application that every node runs.
    num_nodes
        Nodes, told apart by `partition-id` 0, 1, ... as in Flower's own simulation.
    run_config
        What a deployment would give as `flwr run --run-config`.
    strict
        Serialise every message both ways with Flower's own code, so that content which could not
        travel fails here too. Otherwise messages are handed over by reference.
    order_seed
        Shuffles the order in which nodes are listed and replies arrive; None keeps it.
    silent
        By node id, a dropout to simulate. A silent node is reported as unavailable at once, so
        that nobody waits for a deadline.
    """

    def __init__(
        self,
        client_app: ClientApp,
        *,
        num_nodes: int,
        run_config: RunConfig,
        strict: bool = True,
        order_seed: int | None = None,
        silent: Mapping[int, Silence] | None = None,
    ) -> None:
        TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, 1, 1
        self._client_app, self._strict = client_app, strict
        self._order = None if order_seed is None else np.random.default_rng(order_seed)
        self._run = Run.create_empty(run_id=1)
        self._message_ids = itertools.count(1)
        self._waiting: dict[str, Message] = {}
        self._silent = {node: Silences(silence) for node, silence in (silent or {}).items()}
        self._contexts = {
            FIRST_NODE_ID + i: Context(
                run_id=1,
                node_id=FIRST_NODE_ID + i,
                node_config={"partition-id": i, "num-partitions": num_nodes},
                state=RecordDict(),
                run_config=dict(run_config),
            )
            for i in range(num_nodes)
        }

    def set_run(self, run: Run) -> None:
        """Note the run this grid operates in."""
        self._run = run

    @property
    def run(self) -> Run:
        """The run this grid operates in."""
        return self._run

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        """Make a message to one node (Flower's older way; `Message(...)` does the same)."""
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> Iterable[int]:
        """Ids of all nodes."""
        return self._arrange(list(self._contexts))

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Number the messages and keep them until `pull_messages` delivers them."""
        ids = []
        for message in messages:
            message_id = f"message-{next(self._message_ids)}"
            message.metadata.__dict__["_message_id"] = message_id
            self._waiting[message_id] = message
            ids.append(message_id)
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Deliver messages and return the nodes' replies."""
        return self._deliver(message_ids, deadline=None)

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """Deliver messages and collect replies; after `timeout` seconds the rest is missing."""
        deadline = None if timeout is None else time.monotonic() + timeout
        return list(self._deliver(self.push_messages(messages), deadline=deadline))

    def answer(self, message: Message) -> Message | None:
        """One node's reply (None when it stays silent, which a test may want)."""
        context = self._contexts[message.metadata.dst_node_id]
        silence = self._silent.get(message.metadata.dst_node_id)
        if silence is not None and silence.swallows(message.metadata.message_type):
            return None
        try:
            return self._client_app(message, context)
        except Exception as error:  # as a SuperNode does, but without the exception's text
            code = ErrorCode.CLIENT_APP_RAISED_EXCEPTION
            return Message(Error(code, type(error).__name__), reply_to=message)

    def _deliver(self, message_ids: Iterable[str], *, deadline: float | None) -> Iterator[Message]:
        """Replies one by one, each when it is asked for: nobody holds all of them."""
        for message_id in self._arrange([i for i in message_ids if i in self._waiting]):
            message = self._waiting.pop(message_id)
            if deadline is not None and time.monotonic() >= deadline:
                continue
            reply = self.answer(serialise(message) if self._strict else message)
            if reply is None and self._silent:
                gone = Error(ErrorCode.NODE_UNAVAILABLE, "simulated dropout")
                reply = Message(gone, reply_to=message)
            elif reply is not None and self._strict:
                reply = serialise(reply)
            if reply is not None:
                yield reply

    def _arrange(self, items: list[_Item]) -> list[_Item]:
        if self._order is None:
            return items
        return [items[i] for i in self._order.permutation(len(items))]


def serialise(message: Message) -> Message:
    """Take a message apart into bytes and build it again, as on its way through a SuperLink."""
    with no_object_id_recompute():
        objects = get_all_nested_objects(message)
        contents = {object_id: part.deflate() for object_id, part in objects.items()}
        rebuilt = inflate_object_from_contents(message.object_id, contents)
    if not isinstance(rebuilt, Message):
        raise TypeError("a serialised message came back as something else")
    rebuilt.metadata.__dict__["_message_id"] = message.metadata.message_id
    return rebuilt


def run_config_of(
    workspace: Path, out: Path, seed: int, options: Mapping[str, str] | None
) -> RunConfig:
    """What the apps of this project read from their run config."""
    return {**(options or {}), "workspace": str(workspace), "out": str(out), "seed": seed}


def run_inprocess(
    server_app: ServerApp,
    client_app: ClientApp,
    workspace: Path,
    out: Path,
    seed: int,
    *,
    options: Mapping[str, str] | None = None,
    strict: bool = True,
    order_seed: int | None = None,
    silent: Sequence[Silence] = (),
) -> None:
    """Run a prepared workspace in this process; the server app writes its results into `out`.

    `options` are further keys of the run config (`steps`); for `strict` and `order_seed` see
    `InProcessGrid`. `silent` are dropouts to simulate.
    Errors of the server app are raised here as they are.
    """
    run_config = run_config_of(workspace, out, seed, options)
    nodes = [node.name for node in read_nodes(workspace)]
    grid = InProcessGrid(
        client_app,
        num_nodes=len(nodes),
        run_config=run_config,
        strict=strict,
        order_seed=order_seed,
        silent=_by_node(silent, nodes),
    )
    context = Context(
        run_id=1, node_id=1, node_config={}, state=RecordDict(), run_config=dict(run_config)
    )
    with _quiet():
        server_app(grid, context)


def _by_node(silent: Sequence[Silence], names: Sequence[str]) -> dict[int, Silence]:
    unknown = sorted({silence.site for silence in silent} - set(names))
    if unknown:
        raise InputError(
            f"silent: expected sites of the run, got {', '.join(unknown)}; name one of "
            f"{', '.join(names)}"
        )
    return {FIRST_NODE_ID + names.index(silence.site): silence for silence in silent}


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Flower's own progress out of ours, for as long as the run lasts."""
    logger = logging.getLogger("flwr")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)
