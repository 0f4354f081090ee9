"""What a role keeps of one run: the study, the secure sum's state and its last reply, together."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fedcausal_clients.egress import Permit
from fedcausal_clients.state_store import StateStore
from fedcausal_privacy.canonical import sha256_hex
from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.keys.at_rest import open_at_rest, seal_at_rest
from fedcausal_privacy.messages import Message, pack, unpack
from fedcausal_privacy.statistic_spec import IntVector

__all__ = ["RunState", "end_runs", "load_run", "request_digest", "run_id_of", "save_run"]

_SEALED = "sealed"
_SECURE_SUM = "secure_sum"
_VECTOR = "vector/"
_FILE = "run-"
_ENDED = b""
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunState:
    """One run as this role sees it.

    State and reply are one file, written before the reply leaves: after a crash the role either
    has not answered yet, or sends the very same bytes again. It never answers twice.

    `vectors` are those of round `round_number`, the last that this site uploaded, by statistic:
    a later attempt of the round sends the same ones, so that no noise is drawn twice for it.
    """

    run_id: str
    secure_sum: bytes
    study_toml: str = ""
    request: str = ""
    reply: Message | None = None
    permits: Mapping[str, Permit] = field(default_factory=dict)
    round_number: int = 0
    vectors: Mapping[str, IntVector] = field(default_factory=dict)

    def answered(self, message: Message) -> Message | None:
        """The reply to this very message, when it was answered before."""
        return self.reply if self.request == request_digest(message) else None


def request_digest(message: Message) -> str:
    """What identifies a message: SHA-256 of all of it."""
    return sha256_hex(pack(message))


def run_id_of(message: Message) -> str:
    """The run that a message names in its header."""
    named = message.header.get("run_id")
    if not isinstance(named, str) or not _RUN_ID.fullmatch(named):
        raise ProtocolError("a message names no run")
    return named


def load_run(store: StateStore, run_id: str) -> RunState | None:
    """The state of a run; None when the run is new to this role.

    Raises
    ------
    ProtocolError
        The run ended with the identity key that it began with (`end_runs`).
    """
    content = store.read(f"{_FILE}{run_id}")
    if content is None:
        return None
    if content == _ENDED:
        raise ProtocolError("the run ended when this role's key was replaced; start a new run")
    stored = unpack(content)
    header: Mapping[str, Any] = stored.header
    secrets = _opened(store, run_id, stored)
    return RunState(
        run_id=header["run_id"],
        study_toml=header["study_toml"],
        secure_sum=secrets[_SECURE_SUM],
        request=header["request"],
        reply=unpack(stored.blobs["reply"]) if "reply" in stored.blobs else None,
        permits={name: Permit.from_json(value) for name, value in header["permits"].items()},
        round_number=header["round_number"],
        vectors={
            name.removeprefix(_VECTOR): np.frombuffer(blob, dtype="<i8").astype(np.int64)
            for name, blob in secrets.items()
            if name.startswith(_VECTOR)
        },
    )


def save_run(store: StateStore, run: RunState) -> None:
    """Write a run's state durably; the secure sum's keys and the vectors are sealed (AES-256-GCM).

    Privacy: the state opens with the role's identity key only, and only as the state of this run
    with this encryption context.
    """
    context = _context_sha256(run.secure_sum)
    vectors = {_VECTOR + name: v.astype("<i8").tobytes() for name, v in run.vectors.items()}
    secrets = pack(Message(kind=_SEALED, blobs={_SECURE_SUM: run.secure_sum, **vectors}))
    sealed = seal_at_rest(_key(store), secrets, run_id=run.run_id, context_sha256=context)
    reply = {} if run.reply is None else {"reply": pack(run.reply)}
    stored = Message(
        kind="run-state",
        header={
            "run_id": run.run_id,
            "study_toml": run.study_toml,
            "request": run.request,
            "context_sha256": context,
            "round_number": run.round_number,
            "permits": {name: permit.to_json() for name, permit in run.permits.items()},
        },
        blobs={_SEALED: sealed, **reply},
    )
    store.write(f"{_FILE}{run.run_id}", pack(stored))


def end_runs(store: StateStore) -> None:
    """Forget all that is kept of every run but its name, which is never taken again.

    The ledger knows releases by run and statistic and counts each once. A run that could begin
    anew under an old name would release again, with other noise, what was paid for once.
    """
    for name in store.names():
        if name.startswith(_FILE):
            store.write(name, _ENDED)


def _opened(store: StateStore, run_id: str, stored: Message) -> Mapping[str, bytes]:
    context = str(stored.header.get("context_sha256", ""))
    sealed = stored.blobs.get(_SEALED)
    if sealed is None:
        raise ProtocolError("a run was stored by an earlier version; start a new run")
    content = open_at_rest(_key(store), sealed, run_id=run_id, context_sha256=context)
    secrets = unpack(content).blobs
    if _context_sha256(secrets[_SECURE_SUM]) != context:
        raise ProtocolError("a run's stored state is for another encryption context")
    return secrets


def _key(store: StateStore) -> bytes:
    if not store.key:
        raise ProtocolError("a run's state is kept only by a role whose identity key is open")
    return store.key


def _context_sha256(secure_sum: bytes) -> str:
    """Which encryption context a role's state of the secure sum belongs to."""
    try:
        return sha256_hex(json.loads(secure_sum)["public_context"].encode())
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""
