"""The key steward's part in a study: a fresh key at the greeting, one decryption per statistic."""

from dataclasses import replace

from fedcausal.errors import ProtocolError
from fedcausal_clients.egress import release
from fedcausal_clients.home import Home
from fedcausal_clients.run_state import RunState, load_run, request_digest, run_id_of, save_run
from fedcausal_privacy.messages import Message
from fedcausal_privacy.secure_sum import steward as secure_steward

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
    save_run(home.store, replace(run, secure_sum=state.to_bytes(), request="", reply=None))
    reply = secure_steward.release(
        state, ticket, identity=home.identity, on_refusal=lambda reason: _note(home, reason)
    )
    return _keep(home, run, state, message, reply)


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
