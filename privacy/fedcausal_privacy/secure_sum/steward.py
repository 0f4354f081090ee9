"""The key steward's steps: a fresh key per run, and one decryption of each complete sum."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from fedcausal_privacy.canonical import JsonValue, canonical_json, sha256_hex
from fedcausal_privacy.disclosure.cell_rule import apply_cell_rule
from fedcausal_privacy.envelopes import OnRefusal, ignore, refusal, seal
from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.keys.identity import Identity
from fedcausal_privacy.messages import Message
from fedcausal_privacy.secure_sum import headers, parsing
from fedcausal_privacy.secure_sum.atoms import check_atoms, members_of
from fedcausal_privacy.secure_sum.bfv import MIN_NOISE_BUDGET_BITS, BfvScheme
from fedcausal_privacy.secure_sum.collecting import checked_pads, collected
from fedcausal_privacy.secure_sum.fixed_point import join_limbs
from fedcausal_privacy.secure_sum.manifest import Manifest
from fedcausal_privacy.secure_sum.pending import PendingSum
from fedcausal_privacy.secure_sum.roster import check_advertisements, check_trusted
from fedcausal_privacy.secure_sum.states import ReleasedRoster, StewardState
from fedcausal_privacy.statistic_spec import IntVector, Released, StatisticSpec

__all__ = [
    "StewardState",
    "Ticket",
    "authorise",
    "begin",
    "close",
    "collect",
    "hello",
    "release",
    "step",
    "void",
]

# A fresh key serves one run; a run of this many sums is either a mistake or an attack.
MAX_DECRYPTIONS: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """A checked request to decrypt: for each statistic the complete sum of signed ciphertexts."""

    manifest: Manifest
    sites: tuple[str, ...]
    roster_hashes: Mapping[str, str]
    round: int
    attempt: int
    num_summands: int
    sums: tuple[tuple[StatisticSpec, bytes], ...]


def begin(*, name: str, trusted: Mapping[str, str] | None = None) -> StewardState:
    """Start a run at the steward; `trusted` are the identities of the sites it serves."""
    return StewardState(name=name, trusted=trusted)


def close(state: StewardState) -> StewardState:
    """Forget the run's keys; every later request is refused."""
    return replace(state, secret_context=b"", pending=None)


def step(
    state: StewardState,
    message: Message,
    *,
    identity: Identity,
    on_refusal: OnRefusal = ignore,
) -> tuple[StewardState, Message]:
    """Answer `query.hello`, `query.collect`, `query.void` or `query.decrypt`.

    A deployment calls `authorise` and `release` itself and persists the state in between, so
    that a crash cannot lead to a second decryption.
    """
    steps = {headers.HELLO: hello, headers.COLLECT: collect, headers.VOID: void}
    if message.kind in steps:
        return steps[message.kind](state, message, identity=identity, on_refusal=on_refusal)
    if message.kind != headers.DECRYPT:
        raise refusal(f"unknown message kind {message.kind!r}", on_refusal)
    state, ticket = authorise(state, message, identity=identity, on_refusal=on_refusal)
    return state, release(state, ticket, identity=identity, on_refusal=on_refusal)


def hello(
    state: StewardState, message: Message, *, identity: Identity, on_refusal: OnRefusal = ignore
) -> tuple[StewardState, Message]:
    """Draw the run's encryption key (once) and announce its public part, signed."""
    run_id = parsing.text(message.header, "run_id")
    if not run_id or state.run_id not in ("", run_id):
        raise refusal("a steward's state serves one run", on_refusal)
    if not state.run_id:
        public, secret = BfvScheme().generate_keys()
        state = replace(state, run_id=run_id, public_context=public, secret_context=secret)
    header = headers.hello_header(
        run_id=run_id,
        sender=state.name,
        identity=identity.public,
        he_sha256=sha256_hex(state.public_context),
    )
    reply: dict[str, JsonValue] = {
        "name": state.name,
        "role": "steward",
        "identity": identity.public,
        "envelope": seal(identity, header, state.public_context).to_json(),
    }
    return state, Message(kind=message.kind, header=reply, blobs={"context": state.public_context})


def collect(
    state: StewardState, message: Message, *, identity: Identity, on_refusal: OnRefusal = ignore
) -> tuple[StewardState, Message]:
    """Verify some sites' signed ciphertexts of a round and add them; nothing is decrypted.

    A batch that is in the sum already is confirmed again: an aggregator that crashed sends it
    twice.
    """
    _check_open(state, on_refusal)
    manifest = _checked_manifest(state, message, identity, on_refusal)
    state, pending = _with_uploads(state, message, manifest, on_refusal)
    reply: dict[str, JsonValue] = {
        "name": state.name,
        "batch": parsing.integer(message.header, "batch"),
        "attempt": pending.attempt,
    }
    return state, Message(kind=message.kind, header=reply)


def void(
    state: StewardState, message: Message, *, identity: Identity, on_refusal: OnRefusal = ignore
) -> tuple[StewardState, Message]:
    """Give up an attempt for good: sign that none of its sums will be decrypted from now on.

    Refused once anything of the round was decrypted, and in two-steward mode, which has no
    attempts. The roster is not told but shown: the signed keys that its sites advertised.
    """
    _check_open(state, on_refusal)
    manifest = _checked_manifest(state, message, identity, on_refusal)
    attempt = parsing.integer(message.header, "attempt")
    round = parsing.integer(message.header, "round")
    if manifest.mode != "masked" or attempt != state.attempt:
        raise refusal("an attempt to void that is not the present one", on_refusal)
    advertisements = parsing.envelopes(message.header, "advertisements")
    roster = check_advertisements(manifest, advertisements, attempt=attempt, on_refusal=on_refusal)
    roster_hash = roster.digest(manifest)
    if state.roster_hash not in ("", roster_hash):
        raise refusal("the roster to void is not the attempt's", on_refusal)
    if any(spent >= round for spent, _ in state.spent):
        raise refusal("something of the round to void was decrypted", on_refusal)
    header = headers.void_header(
        manifest,
        attempt=attempt,
        roster_hash=roster_hash,
        last_released=max((spent for spent, _ in state.spent), default=0),
        is_released=any(entry.attempt == attempt for entry in state.released),
    )
    state = replace(
        state,
        manifest_digest=manifest.digest(),
        attempt=attempt + 1,
        roster_hash="",
        pending=None,
    )
    reply: dict[str, JsonValue] = {
        "name": state.name,
        "envelope": seal(identity, header).to_json(),
    }
    return state, Message(kind=message.kind, header=reply)


def authorise(
    state: StewardState,
    message: Message,
    *,
    identity: Identity,
    on_refusal: OnRefusal = ignore,
) -> tuple[StewardState, Ticket]:
    """Check a request to decrypt; mark its statistics as spent before anything is decrypted.

    Checked: the manifest is this run's and this steward's; the attempt is not void; every site of
    the roster signed the same roster (masked), or the second steward's pads are for exactly the
    sites in the sum; every site's ciphertext of every statistic is signed for this run, round,
    attempt, roster and specification; this steward's own sum is the aggregator's, byte for byte;
    no difference with an earlier roster shows few sites; nothing of it was decrypted before.
    """
    _check_open(state, on_refusal)
    manifest = _checked_manifest(state, message, identity, on_refusal)
    state, pending = _with_uploads(state, message, manifest, on_refusal)
    if len(state.spent) + len(pending.specs) > MAX_DECRYPTIONS:
        raise refusal("the key reached its number of decryptions", on_refusal)
    sites = pending.sites
    expected = tuple(sorted(parsing.strings(message.header, "sites")))
    if sites != expected or len(sites) < manifest.k_min:
        raise refusal("the sum does not hold one upload of every site of its roster", on_refusal)
    claimed = parsing.texts(message.header, "sums")
    for spec in pending.specs:
        if len(sites) < spec.min_summands:
            raise refusal(f"shares of the noise of {spec.name!r} are missing", on_refusal)
        if sha256_hex(pending.sums[spec.name]) != parsing.text(claimed, spec.name):
            raise refusal(f"the aggregator's sum of {spec.name!r} is another one", on_refusal)
    members = members_of(manifest, sites)
    released = [*state.known, *(entry.members for entry in state.released)]
    check_atoms(released, members, k_min=manifest.k_min, on_refusal=on_refusal)
    sums, hashes = _complete_sums(state, message, manifest, pending, on_refusal)
    ticket = Ticket(
        manifest=manifest,
        sites=sites,
        roster_hashes=hashes,
        round=pending.round,
        attempt=pending.attempt,
        num_summands=len(sites) + (manifest.mode == "two-steward"),
        sums=sums,
    )
    entry = ReleasedRoster(attempt=pending.attempt, members=members)
    is_known = entry in state.released
    state = replace(
        state,
        pending=None,
        spent=state.spent + tuple((pending.round, spec.name) for spec in pending.specs),
        released=state.released if is_known else (*state.released, entry),
    )
    return state, ticket


def release(
    state: StewardState,
    ticket: Ticket,
    *,
    identity: Identity,
    on_refusal: OnRefusal = ignore,
) -> Message:
    """Decrypt each sum once, apply the cell rule, sign the totals and their roster.

    Privacy: what the steward sees is a function of the total modulo the ring, because the sites
    masked (or padded) before they split into limbs. Failures say nothing about residues or noise.
    """
    _check_open(state, on_refusal)
    envelopes: dict[str, JsonValue] = {}
    blobs: dict[str, bytes] = {}
    num_sites = len(ticket.sites)
    for spec, ciphertext in ticket.sums:
        total = _decrypted_total(state, spec, ciphertext, ticket.num_summands, on_refusal)
        if (
            not -num_sites * spec.bound
            <= int(total.min())
            <= int(total.max())
            <= (num_sites * spec.bound)
        ):
            raise refusal(f"the total of {spec.name!r} leaves its public range", on_refusal)
        payload = _payload(apply_cell_rule(total, spec))
        header = headers.release_header(
            ticket.manifest,
            round=ticket.round,
            attempt=ticket.attempt,
            statistic=spec.digest(),
            roster_hash=ticket.roster_hashes[spec.name],
        )
        envelopes[spec.name] = seal(identity, header, payload).to_json()
        blobs[headers.release_blob(spec.name)] = payload
    roster = headers.release_header(
        ticket.manifest, round=ticket.round, attempt=ticket.attempt, statistic="", roster_hash=""
    )
    reply: dict[str, JsonValue] = {
        "name": state.name,
        "envelopes": envelopes,
        "sites": list(ticket.sites),
        "roster": seal(identity, roster, canonical_json(list(ticket.sites))).to_json(),
    }
    return Message(kind=headers.DECRYPT, header=reply, blobs=blobs)


def _check_open(state: StewardState, on_refusal: OnRefusal) -> None:
    if not state.secret_context:
        raise refusal("the run is closed at the steward, or never began", on_refusal)


def _checked_manifest(
    state: StewardState, message: Message, identity: Identity, on_refusal: OnRefusal
) -> Manifest:
    manifest = Manifest.from_json(message.header.get("manifest"))
    if parsing.text(message.header, "run_id") != manifest.run_id:
        raise refusal("a message and its manifest are of two runs", on_refusal)
    own = (state.run_id, state.name, identity.public, sha256_hex(state.public_context))
    steward = manifest.steward
    if own != (manifest.run_id, steward.name, steward.identity, manifest.he_sha256):
        raise refusal("the manifest is not for this steward and its key", on_refusal)
    if state.manifest_digest not in ("", manifest.digest()):
        raise refusal("a second manifest in the same run", on_refusal)
    check_trusted(manifest, state.trusted, on_refusal)
    return manifest


def _with_uploads(
    state: StewardState, message: Message, manifest: Manifest, on_refusal: OnRefusal
) -> tuple[StewardState, PendingSum]:
    """Verify what a message brings and add it to the round's sum."""
    if parsing.integer(message.header, "attempt") != state.attempt:
        raise refusal("an attempt that is void, or that has not begun", on_refusal)
    empty, uploads = collected(message, manifest, on_refusal)
    if state.roster_hash not in ("", empty.roster_hash):
        raise refusal("a second roster in the same attempt", on_refusal)
    if any((empty.round, spec.name) in state.spent for spec in empty.specs):
        raise refusal("a statistic of this round was decrypted before", on_refusal)
    is_going_on = state.pending is not None and state.pending.is_of(empty)
    before = state.pending if is_going_on and state.pending is not None else empty
    if message.kind == headers.COLLECT and before.holds(uploads):
        return state, before
    try:
        pending = before.add(uploads, public_context=state.public_context)
    except ProtocolError as error:
        raise refusal(str(error), on_refusal) from None
    state = replace(
        state,
        manifest_digest=manifest.digest(),
        roster_hash=empty.roster_hash,
        pending=pending,
    )
    return state, pending


def _complete_sums(
    state: StewardState,
    message: Message,
    manifest: Manifest,
    pending: PendingSum,
    on_refusal: OnRefusal,
) -> tuple[tuple[tuple[StatisticSpec, bytes], ...], dict[str, str]]:
    """By statistic the sum to decrypt, and the hash of the roster that it is of."""
    if manifest.mode == "masked":
        hashes = {spec.name: pending.roster_hash for spec in pending.specs}
        return tuple((spec, pending.sums[spec.name]) for spec in pending.specs), hashes
    sums, hashes = [], {}
    for spec in pending.specs:
        pads, hashes[spec.name] = checked_pads(message, manifest, pending, spec, on_refusal)
        try:
            total = BfvScheme().add(
                state.public_context,
                [pending.sums[spec.name], pads],
                length=spec.length * spec.limbs,
            )
        except ProtocolError as error:
            raise refusal(f"{spec.name!r}: {error}", on_refusal) from None
        sums.append((spec, total))
    return tuple(sums), hashes


def _decrypted_total(
    state: StewardState,
    spec: StatisticSpec,
    total: bytes,
    num_summands: int,
    on_refusal: OnRefusal,
) -> IntVector:
    scheme, length = BfvScheme(), spec.length * spec.limbs
    budget = scheme.noise_budget(state.secret_context, total, length=length)
    if budget < MIN_NOISE_BUDGET_BITS:
        raise refusal(f"the sum of {spec.name!r} is too noisy to decrypt exactly", on_refusal)
    residues = scheme.decrypt(state.secret_context, total, length=length)
    if int(residues.max()) >= num_summands * 2**32:
        raise refusal(f"the sum of {spec.name!r} holds more than its sites' limbs", on_refusal)
    return join_limbs(residues, spec.limbs)


def _payload(released: Released) -> bytes:
    return released.totals.astype("<i8").tobytes() + released.withheld.astype(np.uint8).tobytes()
