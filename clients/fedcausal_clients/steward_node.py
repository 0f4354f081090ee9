"""The key steward's part in a study: a fresh key at the greeting, one decryption per statistic."""

import json
from dataclasses import replace

from fedcausal.errors import ProtocolError
from fedcausal_clients.egress import release
from fedcausal_clients.home import Home
from fedcausal_clients.run_state import RunState, load_run, request_digest, run_id_of, save_run
from fedcausal_privacy.canonical import canonical_json
from fedcausal_privacy.envelopes import refusal
from fedcausal_privacy.manifest import Manifest
from fedcausal_privacy.messages import Message
from fedcausal_privacy.secure_sum import steward as secure_steward
from fedcausal_privacy.secure_sum.roster import smallest_atom

__all__ = ["answer"]


def answer(home: Home, message: Message) -> Message:
    """One step of the steward: hello, decrypt or close.

    Privacy: a statistic is marked as spent on disk before it is decrypted, so that no crash lets
    it be decrypted a second time with other uploads.
    """
    run = load_run(home.store, run_id_of(message)) or _joined(home, message)
    before = run.answered(message)
    if before is not None:
        return release(home.gate, before)
    steps = {"query.decrypt": _decrypt, "query.close": _close}
    return steps.get(message.kind, _greet)(home, run, message)


def _joined(home: Home, message: Message) -> RunState:
    if message.kind != "query.hello":
        raise ProtocolError("a run begins with a greeting")
    state = secure_steward.begin(name=home.name, trusted=home.trusted)
    return RunState(run_id=run_id_of(message), secure_sum=state.to_bytes())


def _greet(home: Home, run: RunState, message: Message) -> Message:
    state, reply = secure_steward.step(
        secure_steward.StewardState.from_bytes(run.secure_sum),
        message,
        identity=home.identity,
        on_refusal=lambda reason: _note(home, reason),
    )
    return _keep(home, run, state, message, reply)


def _decrypt(home: Home, run: RunState, message: Message) -> Message:
    state, ticket = secure_steward.authorise(
        secure_steward.StewardState.from_bytes(run.secure_sum),
        message,
        identity=home.identity,
        on_refusal=lambda reason: _note(home, reason),
    )
    _note_roster(home, ticket.manifest)
    save_run(home.store, replace(run, secure_sum=state.to_bytes(), request="", reply=None))
    reply = secure_steward.release(
        state, ticket, identity=home.identity, on_refusal=lambda reason: _note(home, reason)
    )
    return _keep(home, run, state, message, reply)


def _note_roster(home: Home, manifest: Manifest) -> None:
    """Write a roster down before its first total, unless totals of the study could be subtracted.

    Two totals of one study over {a, b, c, d} and {a, b, c} are d's value. So all rosters of a
    study that this steward ever decrypted for must leave `k_min` sites together everywhere.
    """
    name = f"rosters-{manifest.study_hash}"
    known = {frozenset(roster) for roster in json.loads(home.store.read(name) or b"[]")}
    roster = frozenset(party.identity for party in manifest.roster)
    if roster in known:
        return
    if smallest_atom([*known, roster]) < manifest.k_min:
        raise refusal(
            f"totals of this study over other rosters were released before; with this roster "
            f"their differences would show fewer than {manifest.k_min} sites",
            lambda reason: _note(home, reason),
        )
    home.store.write(name, canonical_json(sorted(sorted(r) for r in (*known, roster))))


def _close(home: Home, run: RunState, message: Message) -> Message:
    state = secure_steward.close(secure_steward.StewardState.from_bytes(run.secure_sum))
    return _keep(home, run, state, message, Message(kind=message.kind, header={"name": home.name}))


def _keep(
    home: Home,
    run: RunState,
    state: secure_steward.StewardState,
    message: Message,
    reply: Message,
) -> Message:
    reply = release(home.gate, reply)
    request = request_digest(message)
    save_run(home.store, replace(run, secure_sum=state.to_bytes(), request=request, reply=reply))
    return reply


def _note(home: Home, reason: str) -> None:
    home.gate.audit.append("protocol", {"reason": reason})
