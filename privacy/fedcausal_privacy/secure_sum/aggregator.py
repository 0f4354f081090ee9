"""The aggregator's steps: pass signed messages on and add ciphertexts that it cannot open.

One state machine: `receive` takes a party's reply, `expire` says that a deadline passed; both
give back the new state and the messages to send. Whoever drives it owns the network and the
clock: it waits for `state.waiting` (and for the steward while batches are outstanding), each
phase for one deadline.

    hello -> advertise -> [freeze] -> ready <-> upload -> [pads] -> decrypt -> ready
                 ^                                 |
                 +------------- void <-------------+     (masked mode, a site is missing)
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from fedcausal_privacy.canonical import JsonValue
from fedcausal_privacy.envelopes import Envelope, OnRefusal, ignore, open_envelope
from fedcausal_privacy.errors import DeadlineError, ProtocolError
from fedcausal_privacy.messages import Message
from fedcausal_privacy.secure_sum import dropout, headers, introduction, own_uploads, passing_on
from fedcausal_privacy.secure_sum.aggregator_state import AggregatorState, Dropout, Post, Question
from fedcausal_privacy.secure_sum.attempts import open_token
from fedcausal_privacy.secure_sum.headers import UploadKind
from fedcausal_privacy.secure_sum.manifest import MIN_SITES, Mode
from fedcausal_privacy.secure_sum.pending import PendingSum
from fedcausal_privacy.secure_sum.roster import check_advertisements, check_freezes
from fedcausal_privacy.statistic_spec import StatisticSpec

__all__ = ["AggregatorState", "Post", "ask", "begin", "expire", "is_waiting", "open", "receive"]

Step = tuple[AggregatorState, tuple[Post, ...]]


def begin(
    *,
    run_id: str,
    study_hash: str,
    sites: Sequence[str],
    steward: str,
    second_steward: str = "",
    k_min: int = MIN_SITES,
    quorum: int | None = None,
) -> AggregatorState:
    """Start a run of a study; `run_id` is never used for another run.

    A second steward makes it a run in two-steward mode. `quorum` are the fewest sites with which
    the run goes on when others are missing (`k_min` when left out).
    """
    mode: Mode = "two-steward" if second_steward else "masked"
    return AggregatorState(
        run_id=run_id,
        study_hash=study_hash,
        k_min=k_min,
        quorum=max(k_min, quorum or k_min),
        mode=mode,
        sites=tuple(sorted(sites)),
        steward=steward,
        second_steward=second_steward,
    )


def open(state: AggregatorState, header: Mapping[str, JsonValue] | None = None) -> Step:
    """Ask everybody who they are; `header` entries go along."""
    second = (state.second_steward,) if state.second_steward else ()
    everybody = (*state.sites, state.steward, *second)
    message = Message(kind=headers.HELLO, header={**(header or {}), "run_id": state.run_id})
    return replace(state, phase="hello", waiting=everybody), _to(everybody, message)


def ask(
    state: AggregatorState,
    *,
    specs: Sequence[StatisticSpec],
    kind: UploadKind = headers.UPLOAD,
    header: Mapping[str, JsonValue] | None = None,
    blobs: Mapping[str, bytes] | None = None,
) -> Step:
    """Begin a round: ask every member for its vectors; `header` and `blobs` say how to compute."""
    if state.phase != "ready" or not specs:
        raise ProtocolError("an upload needs an agreed roster and at least one statistic")
    question = Question(specs=tuple(specs), kind=kind, header=header or {}, blobs=blobs or {})
    state = replace(state, question=question, round=state.round + 1, totals={}, summed=())
    return _ask_members(state)


def is_waiting(state: AggregatorState) -> bool:
    """Whether any party's answer is awaited."""
    return bool(state.waiting or state.outstanding)


def receive(
    state: AggregatorState, sender: str, reply: Message, *, on_refusal: OnRefusal = ignore
) -> Step:
    """Take one party's reply.

    A reply that nobody waits for (late, doubled, of an earlier attempt or round) changes nothing;
    `on_refusal` hears of it.

    Raises
    ------
    ProtocolError
        A signature or a hash is wrong. The state stays as it was; nothing was revealed.
    """
    after, posts = _received(state, sender, reply, on_refusal)
    if after is state:
        on_refusal(f"ignored a {reply.kind} of {sender!r} that nobody waits for")
    return after, posts


def _received(state: AggregatorState, sender: str, reply: Message, on_refusal: OnRefusal) -> Step:
    if reply.kind == headers.COLLECT and sender == state.steward:
        return _confirmed_batch(state, reply)
    if sender not in state.waiting or reply.kind != _expected_kind(state):
        return state, ()
    if own_uploads.is_open(state):
        return own_uploads.received(state, sender, reply, on_refusal), ()
    handlers = {
        "hello": _greeted,
        "advertise": _advertised,
        "freeze": _frozen,
        "upload": _uploaded,
        "pads": _padded,
        "decrypt": _decrypted,
        "void": _voided,
    }
    return handlers[state.phase](state, sender, reply, on_refusal)


def expire(state: AggregatorState, *, on_refusal: OnRefusal = ignore) -> Step:
    """The deadline of the phase passed: go on without the missing sites where that is allowed.

    Raises
    ------
    DeadlineError
        Nobody may be missing here, too few sites are left, or a total without the missing ones
        could be subtracted from those that were released.
    """
    missing = state.waiting or ((state.steward,) if state.outstanding else ())
    if not missing:
        return state, ()
    kind = headers.COLLECT if not state.waiting else _expected_kind(state)
    if state.phase not in ("advertise", "freeze", "upload") or not state.waiting:
        raise DeadlineError(f"{kind}: no answer of {', '.join(missing)}; nothing was revealed")
    lost = tuple(
        Dropout(site=site, kind=kind, round=state.round, attempt=state.attempt) for site in missing
    )
    state = replace(state, dropouts=state.dropouts + lost, waiting=())
    survivors = tuple(site for site in state.members if site not in missing)
    if own_uploads.is_open(state):
        return own_uploads.without(state, survivors), ()
    if state.phase == "advertise":
        dropout.check_survivors(state, survivors)
        return _agreed(replace(state, members=survivors), on_refusal)
    if state.mode == "two-steward":
        if dropout.is_worth_asking_again(state, survivors):
            message = passing_on.upload_request(state, state.open_question)
            return replace(state, waiting=missing), _to(missing, message)
        dropout.check_survivors(state, survivors)
        return _all_uploaded(replace(state, members=survivors))
    return _give_up_attempt(state, survivors)


def _greeted(state: AggregatorState, sender: str, reply: Message, on_refusal: OnRefusal) -> Step:
    introduction.checked(state, sender, reply, on_refusal)
    state = state.answered(sender, reply)
    if state.waiting:
        return state, ()
    manifest, context, envelopes = introduction.agreed(state, on_refusal)
    state = replace(
        state,
        manifest=manifest,
        public_context=context,
        introductions=envelopes,
        members=state.sites,
    )
    return _invite(state)


def _invite(state: AggregatorState) -> Step:
    manifest = state.agreed_manifest
    message = Message(
        kind=headers.ADVERTISE,
        header={
            "run_id": state.run_id,
            "attempt": state.attempt,
            "manifest": manifest.to_json(),
            **state.introductions,
            **({} if state.void is None else {"void": state.void.to_json()}),
        },
        blobs={"context": state.public_context},
    )
    state = replace(state, phase="advertise", waiting=state.members, answers={})
    return state, _to(state.members, message)


def _advertised(
    state: AggregatorState, sender: str, reply: Message, on_refusal: OnRefusal
) -> Step:
    manifest, envelope = state.agreed_manifest, Envelope.from_json(reply.header.get("envelope"))
    if envelope.header.attempt != state.attempt:
        return state, ()
    open_envelope(
        envelope,
        signer=manifest.party(sender).identity,
        expected=headers.advertise_header(manifest, attempt=state.attempt, site=sender),
        on_refusal=on_refusal,
    )
    state = state.answered(sender, reply)
    return (state, ()) if state.waiting else _agreed(state, on_refusal)


def _agreed(state: AggregatorState, on_refusal: OnRefusal) -> Step:
    """All members that are there accepted the manifest: fix the roster (masked), or go on."""
    if state.mode == "two-steward":
        return _ready(state)
    manifest = state.agreed_manifest
    envelopes = tuple(
        Envelope.from_json(state.answers[site].header.get("envelope")) for site in state.members
    )
    roster = check_advertisements(
        manifest, envelopes, attempt=state.attempt, on_refusal=on_refusal
    )
    message = Message(
        kind=headers.FREEZE,
        header={
            "run_id": state.run_id,
            "attempt": state.attempt,
            "advertisements": [envelope.to_json() for envelope in envelopes],
        },
    )
    state = replace(
        state,
        phase="freeze",
        advertisements=envelopes,
        roster=roster,
        waiting=state.members,
        answers={},
    )
    return state, _to(state.members, message)


def _frozen(state: AggregatorState, sender: str, reply: Message, on_refusal: OnRefusal) -> Step:
    manifest, roster = state.agreed_manifest, state.agreed_roster
    envelope = Envelope.from_json(reply.header.get("envelope"))
    if envelope.header.attempt != state.attempt:
        return state, ()
    open_envelope(
        envelope,
        signer=manifest.party(sender).identity,
        expected=headers.freeze_header(
            manifest,
            attempt=state.attempt,
            site=sender,
            roster_hash=roster.digest(manifest),
        ),
        on_refusal=on_refusal,
    )
    state = state.answered(sender, reply)
    if state.waiting:
        return state, ()
    freezes = tuple(
        Envelope.from_json(state.answers[site].header.get("envelope")) for site in roster.sites
    )
    check_freezes(manifest, freezes, roster=roster, on_refusal=on_refusal)
    return _ready(replace(state, freezes=freezes, answers={}))


def _ready(state: AggregatorState) -> Step:
    """Ready for a question; one that an attempt left open is asked again."""
    state = replace(state, phase="ready", waiting=(), answers={})
    return (state, ()) if state.question is None else _ask_members(state)


def _ask_members(state: AggregatorState) -> Step:
    manifest, question = state.agreed_manifest, state.open_question
    pending = PendingSum.begin(
        question.specs,
        round=state.round,
        attempt=state.attempt,
        kind=question.kind,
        roster="" if state.roster is None else state.roster.digest(manifest),
    )
    message = passing_on.upload_request(state, question)
    state = replace(
        state,
        phase="upload",
        waiting=state.members,
        pending=pending,
        batch=(),
        outstanding=(),
        seeds={},
    )
    return state, _to(state.members, message)


def _uploaded(state: AggregatorState, sender: str, reply: Message, on_refusal: OnRefusal) -> Step:
    if passing_on.is_stale(state, reply):
        return state, ()
    passing_on.checked_upload(state, sender, reply, on_refusal)
    state = replace(
        state,
        waiting=tuple(site for site in state.waiting if site != sender),
        batch=(*state.batch, passing_on.without_seeds(reply, sender)),
        seeds={**state.seeds, **passing_on.seeds_of(state, sender, reply)},
    )
    if not state.waiting:
        return _all_uploaded(state)
    if not passing_on.is_full(state):
        return state, ()
    state, message = passing_on.collect(state)
    return state, _to((state.steward,), message)


def _confirmed_batch(state: AggregatorState, reply: Message) -> Step:
    number = reply.header.get("batch")
    if number not in state.outstanding or reply.header.get("attempt") != state.attempt:
        return state, ()
    state = replace(state, outstanding=tuple(n for n in state.outstanding if n != number))
    is_due = state.phase == "upload" and not state.waiting
    return _all_uploaded(state) if is_due else (state, ())


def _all_uploaded(state: AggregatorState) -> Step:
    """Everybody's vector is there: ask for the pads (two-steward), then for the total."""
    if state.outstanding:
        return state, ()
    if state.mode == "two-steward":
        message = passing_on.pads_request(state)
        state = replace(state, phase="pads", waiting=(state.second_steward,))
        return state, _to(state.waiting, message)
    return _ask_for_total(state, None)


def _padded(state: AggregatorState, sender: str, reply: Message, on_refusal: OnRefusal) -> Step:
    if passing_on.is_stale_pads(state, reply):
        return state, ()
    return _ask_for_total(state, reply)


def _ask_for_total(state: AggregatorState, pads: Message | None) -> Step:
    state, message = passing_on.decrypt_request(state, pads)
    state = replace(state, phase="decrypt", waiting=(state.steward,))
    return state, _to(state.waiting, message)


def _decrypted(state: AggregatorState, sender: str, reply: Message, on_refusal: OnRefusal) -> Step:
    if passing_on.is_stale_release(state, reply):
        return state, ()
    totals = passing_on.released(state, reply, on_refusal)
    state = replace(
        state,
        phase="ready",
        waiting=(),
        question=None,
        pending=None,
        batch=(),
        seeds={},
        totals=totals,
        summed=state.members,
        released=(*state.released, state.members),
        released_envelope=reply.header.get("roster"),
    )
    return state, ()


def _give_up_attempt(state: AggregatorState, survivors: tuple[str, ...]) -> Step:
    state, message = dropout.give_up(state, survivors)
    return state, _to(state.waiting, message)


def _voided(state: AggregatorState, sender: str, reply: Message, on_refusal: OnRefusal) -> Step:
    token = Envelope.from_json(reply.header.get("envelope"))
    if token.header.attempt != state.attempt:
        return state, ()
    manifest = state.agreed_manifest
    open_token(token, manifest, state.attempt, state.agreed_roster.digest(manifest), on_refusal)
    state = replace(
        state,
        attempt=state.attempt + 1,
        void=token,
        advertisements=(),
        roster=None,
        freezes=(),
        waiting=(),
    )
    return _invite(state)


def _expected_kind(state: AggregatorState) -> str:
    if state.phase == "upload":
        return state.open_question.kind
    return f"query.{state.phase}"


def _to(recipients: Sequence[str], message: Message) -> tuple[Post, ...]:
    return tuple(Post(recipient=name, message=message) for name in recipients)
