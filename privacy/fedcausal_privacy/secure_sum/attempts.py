"""A site's memory of rosters: leaving a void attempt, and refusing totals that would subtract."""

from collections.abc import Sequence
from dataclasses import replace

from fedcausal_privacy.canonical import canonical_json
from fedcausal_privacy.envelopes import Envelope, OnRefusal, open_envelope, refusal
from fedcausal_privacy.messages import Message
from fedcausal_privacy.secure_sum import headers, parsing
from fedcausal_privacy.secure_sum.atoms import check_atoms, members_of
from fedcausal_privacy.secure_sum.manifest import Manifest
from fedcausal_privacy.secure_sum.states import ReleasedRoster, SiteState

__all__ = [
    "check_roster",
    "forget_void",
    "learnt",
    "next_attempt",
    "open_token",
    "with_released",
]


def next_attempt(
    state: SiteState,
    manifest: Manifest,
    message: Message,
    attempt: int,
    on_refusal: OnRefusal,
) -> SiteState:
    """Leave an attempt that the steward declared void; its keys are gone afterwards."""
    if manifest.mode != "masked" or not state.attempt < attempt <= headers.MAX_ATTEMPTS:
        raise refusal("an attempt that is over, or one too many", on_refusal)
    token = Envelope.from_json(message.header.get("void"))
    is_next = attempt == state.attempt + 1
    own = "" if state.roster is None or not is_next else state.roster.digest(manifest)
    is_released = open_token(
        token, manifest, attempt - 1, own or token.header.roster_hash, on_refusal
    )
    newest = max((round for round, _ in state.uploaded), default=0)
    last = token.header.round
    uploaded = tuple((r, name) for r, name in state.uploaded if r < newest or r <= last)
    released = state.released
    if is_next and not is_released:
        released = tuple(entry for entry in released if entry.attempt != state.attempt)
    return replace(
        state,
        attempt=attempt,
        ephemeral_key=b"",
        roster=None,
        is_confirmed=False,
        uploaded=uploaded,
        released=released,
    )


def forget_void(
    state: SiteState, manifest: Manifest, message: Message, on_refusal: OnRefusal
) -> SiteState:
    """At the end of a failed run: forget a roster of which the steward will decrypt nothing."""
    if message.header.get("void") is None or state.roster is None:
        return state
    token = Envelope.from_json(message.header.get("void"))
    if open_token(token, manifest, state.attempt, state.roster.digest(manifest), on_refusal):
        return state
    kept = tuple(entry for entry in state.released if entry.attempt != state.attempt)
    return replace(state, released=kept)


def check_roster(
    state: SiteState, manifest: Manifest, sites: Sequence[str], on_refusal: OnRefusal
) -> None:
    """Enough sites, this one among them, and no difference with rosters that it saw."""
    if len(set(sites)) != len(sites):
        raise refusal("a site is twice in one roster", on_refusal)
    if state.name not in sites or len(sites) < max(state.min_sites, manifest.k_min):
        raise refusal("fewer sites in the roster than this site's policy asks for", on_refusal)
    released = [*state.known, *(entry.members for entry in state.released)]
    check_atoms(released, members_of(manifest, sites), k_min=manifest.k_min, on_refusal=on_refusal)


def with_released(state: SiteState, manifest: Manifest, sites: Sequence[str]) -> SiteState:
    """Remember a roster over which a total may be out from now on."""
    entry = ReleasedRoster(attempt=state.attempt, members=members_of(manifest, sites))
    if entry in state.released:
        return state
    return replace(state, released=(*state.released, entry))


def learnt(
    state: SiteState, manifest: Manifest, message: Message, on_refusal: OnRefusal
) -> SiteState:
    """Remember the steward's signed roster of the round before (two-steward mode)."""
    if message.header.get("released") is None:
        return state
    sites = parsing.strings(message.header, "released")
    envelope = Envelope.from_json(message.header.get("released_envelope"))
    open_envelope(
        envelope,
        canonical_json(list(sites)),
        signer=manifest.steward.identity,
        expected=headers.release_header(
            manifest,
            round=envelope.header.round,
            attempt=state.attempt,
            statistic="",
            roster_hash="",
        ),
        on_refusal=on_refusal,
    )
    return with_released(state, manifest, sites)


def open_token(
    token: Envelope, manifest: Manifest, attempt: int, roster_hash: str, on_refusal: OnRefusal
) -> bool:
    """Verify the steward's word that an attempt is void; whether its roster was released."""
    is_released = token.header.statistic != headers.UNRELEASED
    open_envelope(
        token,
        signer=manifest.steward.identity,
        expected=headers.void_header(
            manifest,
            attempt=attempt,
            roster_hash=roster_hash,
            last_released=token.header.round,
            is_released=is_released,
        ),
        on_refusal=on_refusal,
    )
    return is_released
