"""An aggregator that goes on after a crash: what happened to it, and what it must send again.

Every step of the aggregator is a pure function, so that its state at a quiet moment and the events
since then lead to the state before the crash, with the same messages. Parties give the same bytes
to the same message, so that sending it again adds nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from fedcausal_privacy.envelopes import OnRefusal, ignore
from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.messages import Message, pack, unpack
from fedcausal_privacy.secure_sum import aggregator, headers
from fedcausal_privacy.secure_sum.aggregator_state import AggregatorState, Post

__all__ = ["Event", "advance", "awaited"]

# No party's name has a line break.
_END = b"\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A party's reply that was taken, or (without one) a deadline that passed."""

    party: str = ""
    reply: Message | None = None

    def to_bytes(self) -> bytes:
        """The event as bytes."""
        reply = b"" if self.reply is None else pack(self.reply)
        return self.party.encode() + _END + reply

    @classmethod
    def from_bytes(cls, content: bytes) -> "Event":
        """Rebuild an event from `to_bytes`; anything else is a `ProtocolError`."""
        party, end, reply = content.partition(_END)
        if not end or bool(party) != bool(reply):
            raise ProtocolError("a stored event cannot be read")
        return cls(party=party.decode(), reply=unpack(reply) if reply else None)


def advance(
    state: AggregatorState, event: Event, *, on_refusal: OnRefusal = ignore
) -> aggregator.Step:
    """Take one event; a reply that nobody waits for gives back the very same state."""
    if event.reply is None:
        return aggregator.expire(state, on_refusal=on_refusal)
    return aggregator.receive(state, event.party, event.reply, on_refusal=on_refusal)


def awaited(state: AggregatorState, posts: Sequence[Post]) -> tuple[Post, ...]:
    """Of all messages of a round, those whose answer is still waited for, each once."""
    last: dict[tuple[str, object], Post] = {}
    for post in posts:
        is_batch = post.message.kind == headers.COLLECT
        last[post.recipient, post.message.header["batch"] if is_batch else ""] = post
    return tuple(
        post
        for (recipient, batch), post in last.items()
        if (batch in state.outstanding if batch else recipient in state.waiting)
    )
