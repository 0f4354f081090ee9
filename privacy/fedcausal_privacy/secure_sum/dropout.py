"""A site is missing: who may go on without it, and when nobody may."""

from dataclasses import replace

from fedcausal_privacy.envelopes import ignore
from fedcausal_privacy.errors import DeadlineError, ProtocolError
from fedcausal_privacy.messages import Message
from fedcausal_privacy.secure_sum import headers
from fedcausal_privacy.secure_sum.aggregator_state import AggregatorState
from fedcausal_privacy.secure_sum.atoms import check_atoms

__all__ = ["check_survivors", "give_up", "is_worth_asking_again", "void_request"]


def give_up(state: AggregatorState, survivors: tuple[str, ...]) -> tuple[AggregatorState, Message]:
    """Ask the steward to void the attempt, and choose who is asked to try again.

    Before any release these are the survivors. After one, a smaller roster would mostly show the
    missing sites by subtraction; then only the same roster may go on, so all are asked again.
    """
    if state.attempt >= headers.MAX_ATTEMPTS:
        raise DeadlineError(
            f"{_dropped(state)} did not answer; {headers.MAX_ATTEMPTS} attempts failed, which is "
            "the limit. No wrong total was released. Start the run again when these sites are "
            "back, or without them"
        )
    if _may_release(state, survivors):
        check_survivors(state, survivors)
    else:
        survivors = state.members
    message = void_request(state)
    if message is None:
        raise ProtocolError("there is no attempt to give up")
    state = replace(
        state,
        phase="void",
        waiting=(state.steward,),
        members=survivors,
        pending=None,
        batch=(),
        outstanding=(),
    )
    return state, message


def void_request(state: AggregatorState) -> Message | None:
    """What asks the steward to void the present attempt; None where there is nothing to void.

    Also for a run that failed: with the token its sites need not remember the roster.
    """
    is_open = state.question is not None or state.phase == "freeze"
    if state.manifest is None or state.roster is None or not is_open:
        return None
    advertisements = [envelope.to_json() for envelope in state.advertisements]
    return Message(
        kind=headers.VOID,
        header={
            "run_id": state.run_id,
            "manifest": state.manifest.to_json(),
            "attempt": state.attempt,
            "round": max(1, state.round),
            "advertisements": advertisements,
        },
    )


def is_worth_asking_again(state: AggregatorState, survivors: tuple[str, ...]) -> bool:
    """Two-steward mode: whether the missing sites get the same question once more.

    They do where the round cannot be released without them, as often as there are attempts in
    masked mode. Nothing is void: who answered before sends the same bytes.
    """
    here = [lost for lost in state.dropouts if lost.round == state.round]
    tries = max((sum(d.site == lost.site for d in here) for lost in here), default=0)
    return not _may_release(state, survivors) and tries < headers.MAX_ATTEMPTS


def check_survivors(state: AggregatorState, survivors: tuple[str, ...]) -> None:
    """Stop where the study cannot go on without the missing sites."""
    if len(survivors) < state.quorum:
        raise DeadlineError(
            f"{_dropped(state)} did not answer; {len(survivors)} sites are left and "
            f"{state.quorum} are needed (rounds.quorum). Nothing of this round was revealed"
        )
    if len(survivors) < _least_summands(state):
        raise DeadlineError(
            f"{_dropped(state)} did not answer, and the noise is divided among all "
            f"{_least_summands(state)} sites: without the missing shares a total would be less "
            "private than the study says. Nothing of this round was revealed. Start the run "
            "again when they are back, or without them"
        )
    if not _may_release(state, survivors):
        raise DeadlineError(
            f"{_dropped(state)} did not answer after totals over all sites had been released; a "
            "total without these sites would show their values by subtraction. Nothing of this "
            "round was revealed. Start the run again when they are back: what was released is "
            "kept in the run's journal"
        )


def _may_release(state: AggregatorState, sites: tuple[str, ...]) -> bool:
    if len(sites) < _least_summands(state):
        return False
    earlier = [dict.fromkeys(roster, "") for roster in state.released]
    try:
        check_atoms(earlier, dict.fromkeys(sites, ""), k_min=state.k_min, on_refusal=ignore)
    except ProtocolError:
        return False
    return True


def _least_summands(state: AggregatorState) -> int:
    """Sites without which the open question's noise would be too little."""
    if state.question is None:
        return 0
    return max((spec.min_summands for spec in state.question.specs), default=0)


def _dropped(state: AggregatorState) -> str:
    now = [d for d in state.dropouts if (d.round, d.attempt) == (state.round, state.attempt)]
    return ", ".join(f"{d.site} ({d.kind})" for d in now)
