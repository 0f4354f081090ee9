"""The aggregator's steps: pass signed messages on and add ciphertexts that it cannot open."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from fedcausal_privacy.bfv import BfvScheme, parse_public
from fedcausal_privacy.canonical import JsonValue, sha256_hex
from fedcausal_privacy.envelopes import Envelope, OnRefusal, ignore, open_envelope, refusal
from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.manifest import MIN_SITES, Manifest, Party
from fedcausal_privacy.messages import Message
from fedcausal_privacy.secure_sum import headers, parsing
from fedcausal_privacy.secure_sum.headers import UploadKind
from fedcausal_privacy.secure_sum.roster import (
    check_advertisements,
    check_freezes,
    roster_hash,
)
from fedcausal_privacy.secure_sum.states import AggregatorState
from fedcausal_privacy.statistic_spec import Released, StatisticSpec

__all__ = [
    "AggregatorState",
    "advertise",
    "begin",
    "combine",
    "confirm",
    "freeze",
    "hello",
    "released",
    "sender",
    "upload",
]


def begin(*, run_id: str, study_hash: str, k_min: int = MIN_SITES) -> AggregatorState:
    """Start a run of a study; `run_id` is never used for another run."""
    return AggregatorState(run_id=run_id, study_hash=study_hash, k_min=k_min)


def hello(state: AggregatorState) -> Message:
    """Ask sites and steward who they are."""
    return Message(kind=headers.HELLO, header={"run_id": state.run_id})


def sender(message: Message) -> str:
    """The name in a reply; a claim until the step that takes the reply has verified it."""
    envelopes = message.header.get("envelopes")
    if isinstance(envelopes, dict) and envelopes:
        return Envelope.from_json(next(iter(envelopes.values()))).header.sender
    return Envelope.from_json(message.header.get("envelope")).header.sender


def advertise(
    state: AggregatorState,
    *,
    sites: Iterable[Message],
    steward: Message,
    on_refusal: OnRefusal = ignore,
) -> tuple[AggregatorState, Message]:
    """Write the manifest from the replies to `hello`; ask the sites for their ephemeral keys."""
    context = parsing.blob(steward, "context")
    steward_envelope, steward_party = _introduced(state, steward, context, on_refusal)
    parse_public(context)
    parties = [_introduced(state, site, b"", on_refusal)[1] for site in sites]
    manifest = Manifest(
        run_id=state.run_id,
        study_hash=state.study_hash,
        roster=tuple(sorted(parties, key=lambda party: party.name)),
        steward=steward_party,
        he_sha256=sha256_hex(context),
        k_min=state.k_min,
    )
    message = Message(
        kind=headers.ADVERTISE,
        header={
            "attempt": headers.FIRST_ATTEMPT,
            "manifest": manifest.to_json(),
            "steward": steward_envelope.to_json(),
        },
        blobs={"context": context},
    )
    return replace(state, manifest=manifest, public_context=context), message


def freeze(
    state: AggregatorState, replies: Iterable[Message], *, on_refusal: OnRefusal = ignore
) -> tuple[AggregatorState, Message]:
    """Fix the roster of ephemeral keys; ask every site to sign it."""
    manifest = _manifest(state)
    advertisements = _one_per_site(manifest, replies, on_refusal)
    check_advertisements(
        manifest, advertisements, attempt=headers.FIRST_ATTEMPT, on_refusal=on_refusal
    )
    message = Message(
        kind=headers.FREEZE,
        header={"advertisements": [envelope.to_json() for envelope in advertisements]},
    )
    return replace(state, advertisements=advertisements), message


def confirm(
    state: AggregatorState, replies: Iterable[Message], *, on_refusal: OnRefusal = ignore
) -> AggregatorState:
    """Check that every site signed the same roster; uploads can be asked for now."""
    manifest = _manifest(state)
    freezes = _one_per_site(manifest, replies, on_refusal)
    check_freezes(
        manifest,
        freezes,
        attempt=headers.FIRST_ATTEMPT,
        roster_hash=_roster_hash(state, manifest),
        on_refusal=on_refusal,
    )
    return replace(state, freezes=freezes)


def upload(
    state: AggregatorState,
    *,
    round: int,
    specs: Sequence[StatisticSpec],
    kind: UploadKind = headers.UPLOAD,
) -> Message:
    """Ask every site for its vectors; a caller may add header entries that say how to compute."""
    if not state.freezes or not specs:
        raise ProtocolError("an upload needs a confirmed roster and at least one statistic")
    return Message(
        kind=kind,
        header={
            "run_id": state.run_id,
            "round": round,
            "attempt": headers.FIRST_ATTEMPT,
            "statistics": {spec.name: spec.digest() for spec in specs},
            "freezes": [envelope.to_json() for envelope in state.freezes],
        },
    )


def combine(
    state: AggregatorState,
    *,
    round: int,
    specs: Sequence[StatisticSpec],
    replies: Iterable[Message],
    kind: UploadKind = headers.UPLOAD,
    on_refusal: OnRefusal = ignore,
) -> Message:
    """Verify every upload, add the ciphertexts blindly, and ask the steward to decrypt.

    The steward gets the signed ciphertexts and adds them again; it decrypts only when its sum is
    byte for byte the aggregator's.

    Raises
    ------
    ProtocolError
        Names the sites whose upload is missing, or the generic refusal. Nothing was revealed.
    """
    manifest = _manifest(state)
    by_site = _by_site(manifest, replies, on_refusal)
    if any(reply.kind != kind for reply in by_site.values()):
        raise refusal("an upload came as a message of another kind", on_refusal)
    uploads: dict[str, JsonValue] = {}
    sums: dict[str, JsonValue] = {}
    blobs: dict[str, bytes] = {}
    for spec in specs:
        opened = _opened_uploads(state, by_site, spec, round, kind, on_refusal)
        uploads[spec.name] = [envelope.to_json() for envelope, _ in opened]
        ciphertexts = [ciphertext for _, ciphertext in opened]
        total = BfvScheme().add(state.public_context, ciphertexts, length=spec.length * spec.limbs)
        sums[spec.name] = sha256_hex(total)
        for position, ciphertext in enumerate(ciphertexts):
            blobs[headers.forwarded_blob(spec.name, position)] = ciphertext
    header: dict[str, JsonValue] = {
        "manifest": manifest.to_json(),
        "round": round,
        "attempt": headers.FIRST_ATTEMPT,
        "kind": kind,
        "specs": [spec.to_json() for spec in specs],
        "freezes": [envelope.to_json() for envelope in state.freezes],
        "uploads": uploads,
        "sums": sums,
    }
    return Message(kind=headers.DECRYPT, header=header, blobs=blobs)


def released(
    state: AggregatorState,
    *,
    round: int,
    specs: Sequence[StatisticSpec],
    reply: Message,
    on_refusal: OnRefusal = ignore,
) -> dict[str, Released]:
    """Verify the steward's signed totals and read them, by statistic name."""
    manifest = _manifest(state)
    if reply.kind != headers.DECRYPT:
        raise refusal("a release came as a message of another kind", on_refusal)
    envelopes = parsing.mapping(reply.header, "envelopes")
    results = {}
    for spec in specs:
        payload = parsing.blob(reply, headers.release_blob(spec.name))
        open_envelope(
            Envelope.from_json(envelopes.get(spec.name)),
            payload,
            signer=manifest.steward.identity,
            expected=headers.release_header(
                manifest,
                round=round,
                attempt=headers.FIRST_ATTEMPT,
                statistic=spec.digest(),
                roster_hash=_roster_hash(state, manifest),
            ),
            on_refusal=on_refusal,
        )
        if len(payload) != 9 * spec.length:
            raise refusal(f"the release of {spec.name!r} has another length", on_refusal)
        results[spec.name] = Released(
            totals=np.frombuffer(payload, dtype="<i8", count=spec.length).astype(np.int64),
            withheld=np.frombuffer(payload, dtype=np.uint8, offset=8 * spec.length) != 0,
        )
    return results


def _introduced(
    state: AggregatorState, message: Message, payload: bytes, on_refusal: OnRefusal
) -> tuple[Envelope, Party]:
    envelope = Envelope.from_json(message.header.get("envelope"))
    party = Party(name=envelope.header.sender, identity=envelope.header.key)
    expected = headers.hello_header(
        run_id=state.run_id,
        sender=party.name,
        identity=party.identity,
        he_sha256=sha256_hex(payload) if payload else "",
    )
    open_envelope(
        envelope, payload, signer=party.identity, expected=expected, on_refusal=on_refusal
    )
    return envelope, party


def _one_per_site(
    manifest: Manifest, replies: Iterable[Message], on_refusal: OnRefusal
) -> tuple[Envelope, ...]:
    by_site = _by_site(manifest, replies, on_refusal)
    return tuple(
        Envelope.from_json(by_site[site].header.get("envelope")) for site in manifest.sites
    )


def _by_site(
    manifest: Manifest, replies: Iterable[Message], on_refusal: OnRefusal
) -> dict[str, Message]:
    by_site: dict[str, Message] = {}
    for reply in replies:
        name = sender(reply)
        if name not in manifest.sites or name in by_site:
            raise refusal(f"{name!r} is not in the roster or answered twice", on_refusal)
        by_site[name] = reply
    missing = [site for site in manifest.sites if site not in by_site]
    if missing:
        raise ProtocolError(
            f"expected an answer of every site, none came from {', '.join(missing)}; "
            "nothing was revealed, start a new run"
        )
    return by_site


def _opened_uploads(
    state: AggregatorState,
    replies: Mapping[str, Message],
    spec: StatisticSpec,
    round: int,
    kind: UploadKind,
    on_refusal: OnRefusal,
) -> list[tuple[Envelope, bytes]]:
    manifest = _manifest(state)
    anyone = headers.upload_header(
        manifest,
        kind=kind,
        round=round,
        attempt=headers.FIRST_ATTEMPT,
        statistic=spec.digest(),
        site="",
        roster_hash=_roster_hash(state, manifest),
    )
    opened = []
    for party in manifest.roster:
        reply = replies[party.name]
        envelopes = parsing.mapping(reply.header, "envelopes")
        envelope = Envelope.from_json(envelopes.get(spec.name))
        ciphertext = parsing.blob(reply, headers.ciphertext_blob(spec.name))
        expected = replace(anyone, sender=party.name)
        open_envelope(
            envelope, ciphertext, signer=party.identity, expected=expected, on_refusal=on_refusal
        )
        opened.append((envelope, ciphertext))
    return opened


def _manifest(state: AggregatorState) -> Manifest:
    if state.manifest is None:
        raise ProtocolError("a step came before the manifest; call advertise first")
    return state.manifest


def _roster_hash(state: AggregatorState, manifest: Manifest) -> str:
    keys = [bytes.fromhex(envelope.header.key) for envelope in state.advertisements]
    return roster_hash(manifest, attempt=headers.FIRST_ATTEMPT, keys=keys)
