"""The aggregator's side of open vectors: each site's own, signed, read one by one.

For studies whose sites agreed to it, because a sum shows nobody's part: who lies can be told only
from what each site sent. No mask, no steward, no total is formed here.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np

from fedcausal_privacy.envelopes import Envelope, OnRefusal, open_envelope, refusal
from fedcausal_privacy.errors import DeadlineError
from fedcausal_privacy.messages import Message
from fedcausal_privacy.secure_sum import headers, parsing
from fedcausal_privacy.secure_sum.aggregator_state import AggregatorState
from fedcausal_privacy.statistic_spec import IntVector

__all__ = ["asking", "is_open", "received", "summed", "vectors", "without"]


def asking(state: AggregatorState, without: Collection[str]) -> AggregatorState:
    """The state before a question that some sites are not asked."""
    members = tuple(site for site in state.members if site not in without)
    return replace(state, members=members, answers={})


def summed(state: AggregatorState, sites: Sequence[str]) -> AggregatorState:
    """The state after a round whose totals are over some sites: what they sent is let go."""
    return replace(state, answers={}, summed=tuple(sites))


def is_open(state: AggregatorState) -> bool:
    """Whether a question for open vectors waits for answers."""
    question = state.question
    return state.phase == "upload" and question is not None and question.kind == headers.OWN_UPLOAD


def received(
    state: AggregatorState, sender: str, reply: Message, on_refusal: OnRefusal
) -> AggregatorState:
    """Take a site's signed vectors; a reply of an earlier round changes nothing.

    Raises
    ------
    ProtocolError
        A signature, a length or a name is wrong.
    """
    envelopes = parsing.mapping(reply.header, "envelopes")
    read = {name: Envelope.from_json(value) for name, value in envelopes.items()}
    if any((e.header.round, e.header.attempt) != _now(state) for e in read.values()):
        return state
    sizes = {headers.own_blob(s.name): 8 * s.length for s in state.open_question.specs}
    if {name: len(blob) for name, blob in reply.blobs.items()} != sizes:
        raise refusal("own vectors of other names or lengths than were asked for", on_refusal)
    manifest = state.agreed_manifest
    for spec in state.open_question.specs:
        open_envelope(
            Envelope.from_json(envelopes.get(spec.name)),
            reply.blobs[headers.own_blob(spec.name)],
            signer=manifest.party(sender).identity,
            expected=headers.upload_header(
                manifest,
                kind=headers.OWN_UPLOAD,
                round=state.round,
                attempt=state.attempt,
                statistic=spec.digest(),
                site=sender,
                roster_hash="",
            ),
            on_refusal=on_refusal,
        )
    state = state.answered(sender, reply)
    return state if state.waiting else _finished(state)


def without(state: AggregatorState, survivors: tuple[str, ...]) -> AggregatorState:
    """Go on without the sites that did not answer; nothing has to be void.

    Raises
    ------
    DeadlineError
        Fewer than the quorum are left.
    """
    if len(survivors) < state.quorum:
        lost = sorted(set(state.members) - set(survivors))
        raise DeadlineError(
            f"{', '.join(lost)} did not answer; {len(survivors)} sites are left and "
            f"{state.quorum} are needed (rounds.quorum)"
        )
    return _finished(replace(state, members=survivors))


def vectors(state: AggregatorState) -> dict[str, Mapping[str, IntVector]]:
    """What each site sent in the round that just ended: statistic to vector, by site."""
    return {
        site: {
            name.partition("/")[2]: np.frombuffer(blob, dtype="<i8").astype(np.int64)
            for name, blob in reply.blobs.items()
        }
        for site, reply in sorted(state.answers.items())
    }


def _finished(state: AggregatorState) -> AggregatorState:
    return replace(state, phase="ready", waiting=(), question=None, pending=None, batch=())


def _now(state: AggregatorState) -> tuple[int, int]:
    return state.round, state.attempt
