"""Messages to nodes over a Flower grid, each kept until it is answered."""

import logging
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from flwr.app import Message as FlowerMessage
from flwr.common.constant import ErrorCode
from flwr.serverapp import Grid

from fedcausal_privacy.messages import Message
from fedcausal_server.codec import decode, encode
from fedcausal_server.transport.outage import insist

__all__ = ["Answer", "Mailbox"]

REPEAT_SECONDS = 60.0
MOST_COPIES = 6
# The SuperLink has lost the message or its answer: both are handed out once, whoever heard it.
_LOST = frozenset({ErrorCode.MESSAGE_UNAVAILABLE, ErrorCode.REPLY_MESSAGE_UNAVAILABLE})
_LOG = logging.getLogger("fedcausal.rounds")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What became of a message: a reply, or Flower's error code and no reply."""

    node: int
    asked: Message
    reply: Message | None = None
    code: int = 0


@dataclass(slots=True, kw_only=True)
class _Letter:
    """A message that wants an answer, and Flower's ids of its copies that are on their way."""

    node: int
    message: Message
    sent_at: float = 0.0
    num_copies: int = 0
    ids: list[str] = field(default_factory=list)


class Mailbox:
    """Sends messages, and sends them again when one may have been lost on its way.

    Flower hands every message and every answer out once. When that one connection is cut, or the
    party is killed with the message in hand, nobody has it any more. A party answers a message
    that comes again with the same bytes and charges nothing for it, so that it is safe to repeat.

    Every request is repeated through outages of the SuperLink, until its deadline
    (`time.monotonic()`); then it is an `UnreachableError`.
    """

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._letters: dict[str, _Letter] = {}

    @property
    def is_empty(self) -> bool:
        """Whether no answer can come any more."""
        return not self._letters

    def node_ids(self, *, deadline: float) -> list[int]:
        """The nodes that are connected, sorted."""
        return insist(
            lambda: sorted(self._grid.get_node_ids()), what="list its nodes", deadline=deadline
        )

    def post(self, messages: Iterable[tuple[int, Message]], *, deadline: float) -> None:
        """Send a message to each node, without waiting for answers."""
        self._send([_Letter(node=n, message=message) for n, message in messages], deadline)

    def forget(self) -> None:
        """Wait for no answer any more; late ones are dropped."""
        self._letters = {}

    def answers(self, *, deadline: float) -> Iterator[Answer]:
        """What has come since the last call, one by one.

        A node answers for itself and once: what comes again, or from another node than was
        asked, is dropped.
        """
        if not self._letters:
            return
        lost: list[_Letter] = []
        waiting = list(self._letters)
        for reply in insist(
            lambda: self._grid.pull_messages(waiting), what="hand out answers", deadline=deadline
        ):
            key = reply.metadata.reply_to_message_id
            letter = self._letters.get(key)
            if letter is None:
                _LOG.warning("dropped a reply that came twice, or that nobody asked for")
            elif reply.has_error():
                # Flower's own errors come from no node: they say which message they are about.
                self._drop(key, letter)
                if reply.error.code in _LOST and letter.num_copies < MOST_COPIES:
                    lost.append(letter)
                elif not letter.ids:
                    yield Answer(node=letter.node, asked=letter.message, code=reply.error.code)
            elif reply.metadata.src_node_id != letter.node:
                _LOG.warning("dropped a reply of another node than was asked")
                self._drop(key, letter)
            else:
                for copy in tuple(letter.ids):
                    self._drop(copy, letter)
                content = decode(reply.content)
                yield Answer(node=letter.node, asked=letter.message, reply=content)
        self._send([letter for letter in lost if not letter.ids], deadline)

    def repeat(self, *, deadline: float) -> None:
        """Send again what has been without an answer for a minute, then two, four and so on."""
        now = time.monotonic()
        late = {
            id(letter): letter
            for letter in self._letters.values()
            if now - letter.sent_at >= REPEAT_SECONDS * 2 ** (letter.num_copies - 1)
            and letter.num_copies < MOST_COPIES
        }
        if late:
            _LOG.info("asking %d nodes again that have not answered", len(late))
            self._send(list(late.values()), deadline)

    def _send(self, letters: list[_Letter], deadline: float) -> None:
        if not letters:
            return
        outgoing = [
            FlowerMessage(encode(letter.message), letter.node, letter.message.kind)
            for letter in letters
        ]
        insist(lambda: self._grid.push_messages(outgoing), what="take messages", deadline=deadline)
        now = time.monotonic()
        for letter, sent in zip(letters, outgoing, strict=True):
            letter.sent_at, letter.num_copies = now, letter.num_copies + 1
            letter.ids.append(sent.metadata.message_id)
            self._letters[sent.metadata.message_id] = letter

    def _drop(self, key: str, letter: _Letter) -> None:
        del self._letters[key]
        letter.ids.remove(key)
