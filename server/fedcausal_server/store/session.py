"""The run in flight as the coordinator's store has it: its last quiet state, and what came since.

    begun, or ready for the next question -> one event per reply that was taken -> ready

A contribution counts once its event is on the disk; nothing is said about it before. After a
kill the run goes on under its own id with what had come; a run that ended is forgotten here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from fedcausal.errors import ProtocolError
from fedcausal_privacy.canonical import canonical_json
from fedcausal_privacy.secure_sum.aggregator_state import AggregatorState
from fedcausal_privacy.secure_sum.parsing import json_object
from fedcausal_privacy.secure_sum.recovery import Event
from fedcausal_server.store.study_store import Changes, StudyStore

__all__ = ["Session"]

_PREFIX = "session/"
_STATE = "session/state"
_NODES = "session/nodes"
_EVENTS = "session/event/"


@dataclass(slots=True, kw_only=True)
class Session:
    """One run of the secure sum in a store."""

    store: StudyStore
    _num_events: int = field(default=0, init=False)

    def state(self) -> AggregatorState | None:
        """The last quiet state; None when no run is under way."""
        content = self.store.read(_STATE)
        return None if content is None else AggregatorState.from_bytes(content)

    def nodes(self) -> dict[str, int]:
        """Flower's number of every party, as they greeted."""
        nodes = json_object(self.store.read(_NODES) or b"{}")
        if not all(type(number) is int for number in nodes.values()):
            raise ProtocolError("the stored run's nodes cannot be read")
        return {name: int(str(number)) for name, number in nodes.items()}

    def events(self) -> tuple[Event, ...]:
        """What came since the quiet state, in order."""
        keys = self.store.keys(_EVENTS)
        self._num_events = len(keys)
        return tuple(Event.from_bytes(self.store.read(key) or b"") for key in keys)

    def begin(
        self, state: AggregatorState, nodes: Mapping[str, int], events: tuple[Event, ...]
    ) -> None:
        """Write a new run down with the answers to its greeting; an older one is forgotten."""
        cleared: dict[str, bytes | None] = dict.fromkeys(self.store.keys(_PREFIX))
        self._num_events = 0
        came = {self._next_key(): event.to_bytes() for event in events}
        content = {_STATE: state.to_bytes(), _NODES: canonical_json(dict(nodes))}
        self.store.commit({**cleared, **content, **came})

    def add(self, *events: Event) -> None:
        """Write down what came, in one commit; at return it survives a kill."""
        if events:
            self.store.commit({self._next_key(): event.to_bytes() for event in events})

    def checkpoint(self, state: AggregatorState) -> Changes:
        """The changes that make `state` the quiet one; to be committed with what it led to."""
        cleared: dict[str, bytes | None] = dict.fromkeys(self.store.keys(_EVENTS))
        self._num_events = 0
        return {**cleared, _STATE: state.to_bytes()}

    def end(self) -> None:
        """Forget the run: it is over, and the next one has another id."""
        self._num_events = 0
        self.store.commit(dict.fromkeys(self.store.keys(_PREFIX)))

    def _next_key(self) -> str:
        self._num_events += 1
        return f"{_EVENTS}{self._num_events:08d}"
