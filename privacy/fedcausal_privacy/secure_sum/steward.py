"""The key steward's steps: a fresh key per run, and one decryption of each complete sum."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from fedcausal_privacy.bfv import MIN_NOISE_BUDGET_BITS, BfvScheme
from fedcausal_privacy.canonical import JsonValue, sha256_hex
from fedcausal_privacy.disclosure import apply_cell_rule
from fedcausal_privacy.envelopes import OnRefusal, ignore, open_envelope, refusal, seal
from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.fixed_point import join_limbs
from fedcausal_privacy.identity import Identity
from fedcausal_privacy.manifest import Manifest
from fedcausal_privacy.messages import Message
from fedcausal_privacy.secure_sum import headers, parsing
from fedcausal_privacy.secure_sum.roster import check_freezes, check_trusted
from fedcausal_privacy.secure_sum.states import StewardState
from fedcausal_privacy.statistic_spec import IntVector, Released, StatisticSpec

__all__ = ["StewardState", "Ticket", "authorise", "begin", "close", "hello", "release", "step"]

# A fresh key serves one run; a run of this many sums is either a mistake or an attack.
MAX_DECRYPTIONS: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """A checked request to decrypt: for each statistic all the sites' signed ciphertexts."""

    manifest: Manifest
    roster_hash: str
    round: int
    sums: tuple[tuple[StatisticSpec, tuple[bytes, ...], str], ...]


def begin(*, name: str, trusted: Mapping[str, str] | None = None) -> StewardState:
    """Start a run at the steward; `trusted` are the identities of the sites it serves."""
    return StewardState(name=name, trusted=trusted)


def close(state: StewardState) -> StewardState:
    """Forget the run's keys; every later request is refused."""
    return replace(state, secret_context=b"")


def step(
    state: StewardState,
    message: Message,
    *,
    identity: Identity,
    on_refusal: OnRefusal = ignore,
) -> tuple[StewardState, Message]:
    """Answer `query.hello` or `query.decrypt`.

    A deployment calls `authorise` and `release` itself and persists the state in between, so
    that a crash cannot lead to a second decryption.
    """
    if message.kind == headers.HELLO:
        return hello(state, message, identity=identity, on_refusal=on_refusal)
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


def authorise(
    state: StewardState,
    message: Message,
    *,
    identity: Identity,
    on_refusal: OnRefusal = ignore,
) -> tuple[StewardState, Ticket]:
    """Check a request to decrypt without touching a ciphertext; mark its statistics as spent.

    Checked: the manifest is this run's and this steward's; every site signed the same roster;
    every site's ciphertext of every statistic is signed for this run, round, attempt, roster and
    specification; nothing of it was decrypted before.
    """
    manifest = _checked_manifest(state, message, identity, on_refusal)
    round = parsing.integer(message.header, "round")
    specs = _checked_specs(state, message, manifest, round, on_refusal)
    freezes = parsing.envelopes(message.header, "freezes")
    roster = freezes[0].header.roster_hash if freezes else ""
    check_freezes(
        manifest,
        freezes,
        attempt=headers.FIRST_ATTEMPT,
        roster_hash=roster,
        on_refusal=on_refusal,
    )
    sums = parsing.texts(message.header, "sums")
    ticket = Ticket(
        manifest=manifest,
        roster_hash=roster,
        round=round,
        sums=tuple(
            (
                spec,
                _checked_uploads(message, manifest, spec, round, roster, on_refusal),
                parsing.text(sums, spec.name),
            )
            for spec in specs
        ),
    )
    spent = state.spent + tuple((round, spec.name) for spec in specs)
    return replace(state, manifest_digest=manifest.digest(), spent=spent), ticket


def release(
    state: StewardState,
    ticket: Ticket,
    *,
    identity: Identity,
    on_refusal: OnRefusal = ignore,
) -> Message:
    """Add the ciphertexts, decrypt each sum once, apply the cell rule, sign the totals.

    Privacy: what the steward sees is a function of the total modulo the ring, because the sites
    masked before they split into limbs. Failures say nothing about residues or noise.
    """
    if not state.secret_context:
        raise refusal("the run is closed at the steward", on_refusal)
    envelopes: dict[str, JsonValue] = {}
    blobs: dict[str, bytes] = {}
    for spec, ciphertexts, claimed in ticket.sums:
        total = _decrypted_total(state, spec, ciphertexts, claimed, on_refusal)
        if int(total.max()) > len(ciphertexts) * spec.bound or (
            int(total.min()) < -len(ciphertexts) * spec.bound
        ):
            raise refusal(f"the total of {spec.name!r} leaves its public range", on_refusal)
        payload = _payload(apply_cell_rule(total, spec))
        header = headers.release_header(
            ticket.manifest,
            round=ticket.round,
            attempt=headers.FIRST_ATTEMPT,
            statistic=spec.digest(),
            roster_hash=ticket.roster_hash,
        )
        envelopes[spec.name] = seal(identity, header, payload).to_json()
        blobs[headers.release_blob(spec.name)] = payload
    return Message(kind=headers.DECRYPT, header={"envelopes": envelopes}, blobs=blobs)


def _checked_manifest(
    state: StewardState, message: Message, identity: Identity, on_refusal: OnRefusal
) -> Manifest:
    manifest = Manifest.from_json(message.header.get("manifest"))
    own = (state.run_id, state.name, identity.public, sha256_hex(state.public_context))
    steward = manifest.steward
    if own != (manifest.run_id, steward.name, steward.identity, manifest.he_sha256):
        raise refusal("the manifest is not for this steward and its key", on_refusal)
    if state.manifest_digest not in ("", manifest.digest()):
        raise refusal("a second manifest in the same run", on_refusal)
    if parsing.integer(message.header, "attempt") != headers.FIRST_ATTEMPT:
        raise refusal("a second attempt", on_refusal)
    check_trusted(manifest, state.trusted, on_refusal)
    return manifest


def _checked_specs(
    state: StewardState,
    message: Message,
    manifest: Manifest,
    round: int,
    on_refusal: OnRefusal,
) -> list[StatisticSpec]:
    specs = [StatisticSpec.from_json(v) for v in parsing.objects(message.header, "specs")]
    names = [spec.name for spec in specs]
    if not names or len(set(names)) != len(names):
        raise refusal("statistics to decrypt are absent or named twice", on_refusal)
    if any((round, name) in state.spent for name in names):
        raise refusal("a statistic of this round was decrypted before", on_refusal)
    if len(state.spent) + len(names) > MAX_DECRYPTIONS:
        raise refusal("the key reached its number of decryptions", on_refusal)
    for spec in specs:
        spec.check_range(len(manifest.roster))
    return specs


def _checked_uploads(
    message: Message,
    manifest: Manifest,
    spec: StatisticSpec,
    round: int,
    roster: str,
    on_refusal: OnRefusal,
) -> tuple[bytes, ...]:
    kind = parsing.text(message.header, "kind")
    envelopes = parsing.envelopes(parsing.mapping(message.header, "uploads"), spec.name)
    if len(envelopes) != len(manifest.roster) or kind not in headers.UPLOAD_KINDS:
        raise refusal(f"{spec.name!r} has not one upload per site", on_refusal)
    anyone = headers.upload_header(
        manifest,
        kind=kind,
        round=round,
        attempt=headers.FIRST_ATTEMPT,
        statistic=spec.digest(),
        site="",
        roster_hash=roster,
    )
    ciphertexts = []
    for position, (party, envelope) in enumerate(zip(manifest.roster, envelopes, strict=True)):
        ciphertext = parsing.blob(message, headers.forwarded_blob(spec.name, position))
        expected = replace(anyone, sender=party.name)
        open_envelope(
            envelope, ciphertext, signer=party.identity, expected=expected, on_refusal=on_refusal
        )
        ciphertexts.append(ciphertext)
    return tuple(ciphertexts)


def _decrypted_total(
    state: StewardState,
    spec: StatisticSpec,
    ciphertexts: tuple[bytes, ...],
    claimed: str,
    on_refusal: OnRefusal,
) -> IntVector:
    scheme, length = BfvScheme(), spec.length * spec.limbs
    try:
        total = scheme.add(state.public_context, ciphertexts, length=length)
    except ProtocolError as error:
        raise refusal(f"{spec.name!r}: {error}", on_refusal) from None
    if sha256_hex(total) != claimed:
        raise refusal(f"the aggregator's sum of {spec.name!r} is another one", on_refusal)
    budget = scheme.noise_budget(state.secret_context, total, length=length)
    if budget < MIN_NOISE_BUDGET_BITS:
        raise refusal(f"the sum of {spec.name!r} is too noisy to decrypt exactly", on_refusal)
    residues = scheme.decrypt(state.secret_context, total, length=length)
    if int(residues.max()) >= len(ciphertexts) * 2**32:
        raise refusal(f"the sum of {spec.name!r} holds more than its sites' limbs", on_refusal)
    return join_limbs(residues, spec.limbs)


def _payload(released: Released) -> bytes:
    return released.totals.astype("<i8").tobytes() + released.withheld.astype(np.uint8).tobytes()
