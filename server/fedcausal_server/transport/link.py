"""Messages to named parties over a Flower grid: who must answer, until when, and what came."""

import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from flwr.common.constant import ErrorCode
from flwr.serverapp import Grid

from fedcausal.errors import DeadlineError, LinkError, ProtocolError
from fedcausal.refusals import refusal_error
from fedcausal_privacy.messages import Message
from fedcausal_privacy.secure_sum.aggregator_state import Post
from fedcausal_server.transport.mailbox import Mailbox

__all__ = ["FlowerLink", "Replies", "Transfer"]

POLL_SECONDS = 3.0
FIRST_POLL_SECONDS = 0.05
_LOG = logging.getLogger("fedcausal.rounds")


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """Bytes of blobs that one party and the coordinator exchanged in one message."""

    party: str
    kind: str
    sent: int
    received: int
    statistics: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Replies:
    """Replies by party, sorted by name, and what they weighed."""

    by_party: Mapping[str, Message]
    transfers: tuple[Transfer, ...]


class FlowerLink:
    """Sends messages to parties by name and returns their replies by name.

    Parameters
    ----------
    grid
        Flower's grid: in-process, Ray's or a SuperLink's.
    deadline_seconds
        How long any exchange waits. After it the missing parties are named.
    node_ids
        The node of each party where they are known before (in a deployment): only these are
        greeted, and a party's name counts from its own node alone.

    Nothing depends on the order in which nodes are listed or replies arrive.
    """

    def __init__(
        self,
        grid: Grid,
        *,
        deadline_seconds: float,
        node_ids: Mapping[str, int] | None = None,
    ) -> None:
        self._grid, self._node_ids = grid, node_ids
        self._deadline_seconds = deadline_seconds
        self._nodes: dict[str, int] = {}
        self._box = Mailbox(grid)
        self.transfers: list[Transfer] = []

    @property
    def parties(self) -> tuple[str, ...]:
        """Names of the parties that were greeted, sorted."""
        return tuple(sorted(self._nodes))

    def greet(self, message: Message, expected: Iterable[str]) -> Replies:
        """Greet every node and learn which party it is.

        Waits until as many nodes are connected as parties are expected.

        Raises
        ------
        DeadlineError
            A party did not answer in time.
        ProtocolError
            A party answered that nobody expects, or two nodes gave one name.
        """
        names = frozenset(expected)
        deadline = time.monotonic() + self._deadline_seconds
        found = self._await_nodes(names, deadline)
        replies = self._exchange(dict.fromkeys(found, message), deadline)
        self._nodes = {}
        for node, reply in sorted(replies.items(), key=lambda item: _name(item[1])):
            name = _name(reply)
            _raise_refusals({name: reply})
            if name in self._nodes or name not in names:
                raise ProtocolError(
                    f"a node greeted as {name!r}, which is "
                    + ("taken" if name in self._nodes else "not among the study's parties")
                )
            if self._node_ids is not None and self._node_ids[name] != node:
                raise ProtocolError(f"a node greeted as {name!r}, which is another party's name")
            self._nodes[name] = node
        _check_complete(names, self._nodes, message.kind, self._deadline_seconds)
        return _weigh({name: replies[node] for name, node in self._nodes.items()}, message)

    @property
    def nodes(self) -> dict[str, int]:
        """Flower's number of every party that was greeted."""
        return dict(self._nodes)

    def know(self, nodes: Mapping[str, int]) -> None:
        """Know the parties that an earlier process greeted.

        In a deployment their numbers are today's: a new SuperLink gives others.
        """
        known = self._node_ids
        self._nodes = {name: nodes[name] if known is None else known[name] for name in nodes}

    def rejoin(self, nodes: Mapping[str, int]) -> None:
        """Know these parties, and wait until they are connected.

        Who is not there at the deadline is as silent as one that left later.
        """
        self.know(nodes)
        deadline = time.monotonic() + self._deadline_seconds
        try:
            self._await_nodes(frozenset(self._nodes), deadline)
        except DeadlineError as error:
            _LOG.warning("going on without all parties: %s", error)

    def broadcast(
        self, message: Message, parties: Iterable[str], *, deadline_seconds: float | None = None
    ) -> Replies:
        """Send one message to some parties that were greeted before; all of them must answer.

        Raises
        ------
        DeadlineError
            A party did not answer in time; the message names it.
        LinkError
            Flower could not deliver a message or its answer.
        FedCausalError
            A party refused: `DisclosureError`, `DataError` and so on, with site and code.
        """
        names = sorted(parties)
        unknown = [name for name in names if name not in self._nodes]
        if unknown:
            raise LinkError(f"no node has greeted as {', '.join(unknown)}")
        seconds = self._deadline_seconds if deadline_seconds is None else deadline_seconds
        deadline = time.monotonic() + seconds
        answers = self._exchange({self._nodes[name]: message for name in names}, deadline)
        replies = {n: answers[self._nodes[n]] for n in names if self._nodes[n] in answers}
        _raise_refusals(replies)
        _check_complete(names, replies, message.kind, seconds)
        return _weigh(replies, message)

    @property
    def deadline_seconds(self) -> float:
        """How long any exchange waits."""
        return self._deadline_seconds

    @property
    def is_silent(self) -> bool:
        """Whether no answer can come any more to what was posted."""
        return self._box.is_empty

    def post(self, posts: Sequence[Post]) -> None:
        """Send messages to parties that were greeted before, without waiting.

        Raises
        ------
        UnreachableError
            The SuperLink did not take them within the deadline of an exchange.
        """
        unknown = sorted({post.recipient for post in posts} - set(self._nodes))
        if unknown:
            raise LinkError(f"no node has greeted as {', '.join(unknown)}")
        self._box.post(
            [(self._nodes[post.recipient], post.message) for post in posts],
            deadline=time.monotonic() + self._deadline_seconds,
        )

    def forget(self) -> None:
        """Wait no longer for answers to what was posted; late ones are dropped."""
        self._box.forget()

    def poll(self, *, deadline: float | None = None) -> Iterator[tuple[str, Message]]:
        """The answers that have come since the last call, one by one, each with its party.

        A party whose node failed is as silent as one that is gone: its name is logged. Until the
        deadline (`time.monotonic()`; that of a whole exchange if there is none) the SuperLink
        may be out.

        Raises
        ------
        UnreachableError
            It was out to the deadline.
        FedCausalError
            A party refused: `DisclosureError`, `DataError` and so on, with site and code.
        """
        refused: dict[str, Message] = {}
        until = time.monotonic() + self._deadline_seconds if deadline is None else deadline
        for answer in self._box.answers(deadline=until):
            name = self._called(answer.node)
            if answer.reply is None:
                _LOG.info("%s did not answer %s (code %s)", name, answer.asked.kind, answer.code)
            elif "refusal" in answer.reply.header:
                refused[name] = answer.reply
            else:
                self.transfers += _weigh({name: answer.reply}, answer.asked).transfers
                yield name, answer.reply
        _raise_refusals(refused)

    def repeat(self, *, deadline: float) -> None:
        """Send again what may have been lost: see `Mailbox.repeat`."""
        self._box.repeat(deadline=deadline)

    def _await_nodes(self, names: frozenset[str], deadline: float) -> list[int]:
        while True:
            nodes = self._box.node_ids(deadline=deadline)
            left = deadline - time.monotonic()
            if self._node_ids is not None:
                wanted = {name: self._node_ids[name] for name in names}
                away = sorted(name for name, node in wanted.items() if node not in nodes)
                if not away:
                    return sorted(wanted.values())
                waited = f"{', '.join(away)} to connect; the others are there"
            else:
                if len(nodes) >= len(names):
                    return nodes
                waited = (
                    f"{len(names)} nodes (the sites and the steward); {len(nodes)} are connected"
                )
            if left <= 0:
                raise DeadlineError(
                    f"waited {self._deadline_seconds:g} s for {waited}. Start the others, or "
                    "raise rounds.deadline_seconds"
                )
            time.sleep(min(POLL_SECONDS, left))

    def _exchange(self, messages: Mapping[int, Message], deadline: float) -> dict[int, Message]:
        """Replies by node; a node that is silent is absent.

        A node that Flower holds for gone (its heartbeats were lost) is asked again when back.
        """
        box, pause = Mailbox(self._grid), FIRST_POLL_SECONDS
        box.post(messages.items(), deadline=deadline)
        replies: dict[int, Message] = {}
        away: dict[int, Message] = {}
        while away or not box.is_empty:
            before = len(replies)
            for answer in box.answers(deadline=deadline):
                if answer.code == ErrorCode.NODE_UNAVAILABLE:
                    away[answer.node] = answer.asked
                elif answer.reply is None:
                    raise LinkError(
                        f"{self._called(answer.node)}: Flower could not deliver "
                        f"{answer.asked.kind} or its answer (Flower's error code {answer.code}); "
                        "nothing was revealed. Check this node's log"
                    )
                else:
                    replies[answer.node] = answer.reply
            left = deadline - time.monotonic()
            if left <= 0:
                break
            if len(replies) > before:
                pause = FIRST_POLL_SECONDS
                continue
            box.repeat(deadline=deadline)
            back = sorted(away.keys() & set(box.node_ids(deadline=deadline))) if away else []
            box.post([(node, away.pop(node)) for node in back], deadline=deadline)
            time.sleep(min(pause, left))
            pause = min(2 * pause, POLL_SECONDS)
        return replies

    def _called(self, node: int) -> str:
        names = {number: name for name, number in self._nodes.items()}
        return names.get(node, f"node {node}")


def _name(reply: Message) -> str:
    name = reply.header.get("name")
    return name if isinstance(name, str) else "unnamed"


def _raise_refusals(replies: Mapping[str, Message]) -> None:
    errors = [
        refusal_error(name, str(reply.header["refusal"]), str(reply.header.get("where", "")))
        for name, reply in sorted(replies.items())
        if "refusal" in reply.header
    ]
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise type(errors[0])("\n".join(str(error) for error in errors))


def _check_complete(
    expected: Iterable[str], answered: Iterable[str], kind: str, seconds: float
) -> None:
    missing = sorted(set(expected) - set(answered))
    if missing:
        raise DeadlineError(
            f"waited {seconds:g} s for {kind} of {', '.join(missing)}; nothing was revealed. "
            "Check these nodes, or raise rounds.deadline_seconds"
        )


def _by_statistic(upload: Message) -> dict[str, int]:
    """Bytes of each statistic: its ciphertext, and its sealed seed where there is one."""
    sizes: dict[str, int] = {}
    for blob, content in upload.blobs.items():
        statistic = blob.partition("/")[2]
        sizes[statistic] = sizes.get(statistic, 0) + len(content)
    return sizes


def _weigh(replies: Mapping[str, Message], message: Message) -> Replies:
    sent = sum(len(blob) for blob in message.blobs.values())
    ordered = dict(sorted(replies.items()))
    return Replies(
        by_party=ordered,
        transfers=tuple(
            Transfer(
                party=name,
                kind=message.kind,
                sent=sent,
                received=sum(len(blob) for blob in reply.blobs.values()),
                statistics=_by_statistic(reply) if message.kind.endswith("upload") else {},
            )
            for name, reply in ordered.items()
        ),
    )
