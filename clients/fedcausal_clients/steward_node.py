"""The stewards' part in a study: a fresh key at the greeting, one release per statistic."""

from dataclasses import replace

from fedcausal.errors import ProtocolError
from fedcausal_clients.egress import release
from fedcausal_clients.home import Home
from fedcausal_clients.policy.roster_memory import known_rosters, remember_rosters
from fedcausal_clients.replies import CLOSE
from fedcausal_clients.run_state import RunState, load_run, request_digest, run_id_of, save_run
from fedcausal_privacy.messages import Message
from fedcausal_privacy.secure_sum import second_steward as secure_second
from fedcausal_privacy.secure_sum import steward as secure_steward

__all__ = ["answer"]

SECOND = "second-steward"
State = secure_steward.StewardState | secure_second.SecondStewardState


def answer(home: Home, message: Message) -> Message:
    """One step of a steward: hello, collect, void, decrypt (or, at the second one, pads), close.

    Privacy: a statistic is marked as spent, and its roster written down, on disk before anything
    is decrypted or any sum of pads leaves, so that no crash lets it happen a second time with
    other uploads.
    """
    run = load_run(home.store, run_id_of(message)) or _joined(home, message)
    before = run.answered(message)
    if before is not None:
        return release(home.gate, before)
    if message.kind == CLOSE:
        return _close(home, run, message)
    if home.config.site.role == SECOND:
        return _second(home, run, message)
    return _first(home, run, message)


def _joined(home: Home, message: Message) -> RunState:
    if message.kind != "query.hello":
        raise ProtocolError("a run begins with a greeting")
    state: State
    if home.config.site.role == SECOND:
        state = secure_second.begin(name=home.name, trusted=home.trusted)
    else:
        state = secure_steward.begin(name=home.name, trusted=home.trusted)
    return RunState(run_id=run_id_of(message), secure_sum=state.to_bytes())


def _first(home: Home, run: RunState, message: Message) -> Message:
    state = secure_steward.StewardState.from_bytes(run.secure_sum)
    state = replace(state, known=known_rosters(home.store, run.run_id))
    if message.kind != "query.decrypt":
        state, reply = secure_steward.step(
            state,
            message,
            identity=home.identity,
            on_refusal=lambda reason: _note(home, reason),
        )
        return _keep(home, run, state, message, reply)
    state, ticket = secure_steward.authorise(
        state, message, identity=home.identity, on_refusal=lambda reason: _note(home, reason)
    )
    remember_rosters(home.store, run.run_id, state.released)
    save_run(home.store, replace(run, secure_sum=state.to_bytes(), request="", reply=None))
    reply = secure_steward.release(
        state, ticket, identity=home.identity, on_refusal=lambda reason: _note(home, reason)
    )
    return _keep(home, run, state, message, reply)


def _second(home: Home, run: RunState, message: Message) -> Message:
    state = secure_second.SecondStewardState.from_bytes(run.secure_sum)
    state, reply = secure_second.step(
        replace(state, known=known_rosters(home.store, run.run_id)),
        message,
        identity=home.identity,
        on_refusal=lambda reason: _note(home, reason),
    )
    remember_rosters(home.store, run.run_id, state.released)
    return _keep(home, run, state, message, reply)


def _close(home: Home, run: RunState, message: Message) -> Message:
    state: State
    if home.config.site.role == SECOND:
        state = secure_second.close(secure_second.SecondStewardState.from_bytes(run.secure_sum))
    else:
        state = secure_steward.close(secure_steward.StewardState.from_bytes(run.secure_sum))
    return _keep(home, run, state, message, Message(kind=message.kind, header={"name": home.name}))


def _keep(home: Home, run: RunState, state: State, message: Message, reply: Message) -> Message:
    reply = release(home.gate, reply)
    request = request_digest(message)
    save_run(home.store, replace(run, secure_sum=state.to_bytes(), request=request, reply=reply))
    return reply


def _note(home: Home, reason: str) -> None:
    home.gate.audit.note("protocol", reason)
