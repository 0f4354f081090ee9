"""The aggregator's messages of one round: to sites, to the stewards, and what comes back.

Uploads are verified when they come. As soon as enough bytes have come they are added to the
round's sum, passed on to the steward and dropped, so that memory does not grow with the sites.
"""

from dataclasses import replace

import numpy as np

from fedcausal_privacy.canonical import JsonValue, canonical_json, sha256_hex
from fedcausal_privacy.envelopes import Envelope, OnRefusal, open_envelope, refusal
from fedcausal_privacy.messages import Message
from fedcausal_privacy.secure_sum import headers, parsing
from fedcausal_privacy.secure_sum import pending as pending_module
from fedcausal_privacy.secure_sum.aggregator_state import AggregatorState, Question
from fedcausal_privacy.secure_sum.bfv import most_bytes
from fedcausal_privacy.secure_sum.collecting import upload_expected
from fedcausal_privacy.secure_sum.manifest import Manifest
from fedcausal_privacy.secure_sum.pads import SEALED_BYTES
from fedcausal_privacy.secure_sum.pending import PendingSum, Upload
from fedcausal_privacy.secure_sum.roster import padded_roster_hash
from fedcausal_privacy.statistic_spec import Released, StatisticSpec

__all__ = [
    "checked_upload",
    "collect",
    "decrypt_request",
    "is_full",
    "is_stale",
    "is_stale_pads",
    "is_stale_release",
    "pads_request",
    "released",
    "seeds_of",
    "upload_request",
    "without_seeds",
]

_SITE = "site"


def upload_request(state: AggregatorState, question: Question) -> Message:
    """Ask the members for their vectors of this round and attempt.

    Raises
    ------
    ProtocolError
        Members are missing among whom a statistic's noise is divided.
    """
    for spec in question.specs:
        spec.check_summands(len(state.members))
    header: dict[str, JsonValue] = {
        **question.header,
        "run_id": state.run_id,
        "round": state.round,
        "attempt": state.attempt,
        "statistics": {spec.name: spec.digest() for spec in question.specs},
        "sites": list(state.members),
    }
    if state.mode == "masked":
        header["freezes"] = [envelope.to_json() for envelope in state.freezes]
    elif state.released:
        header["released"] = list(state.released[-1])
        header["released_envelope"] = state.released_envelope
    return Message(kind=question.kind, header=header, blobs=question.blobs)


def is_stale(state: AggregatorState, reply: Message) -> bool:
    """Whether an upload is of an earlier round or attempt."""
    envelopes = parsing.mapping(reply.header, "envelopes").values()
    read = [Envelope.from_json(envelope).header for envelope in envelopes]
    return any((h.round, h.attempt) != (state.round, state.attempt) for h in read)


def is_stale_pads(state: AggregatorState, reply: Message) -> bool:
    """Whether a sum of pads is of an earlier round."""
    envelopes = parsing.mapping(reply.header, "pads").values()
    return any(Envelope.from_json(e).header.round != state.round for e in envelopes)


def is_stale_release(state: AggregatorState, reply: Message) -> bool:
    """Whether a release is of an earlier round."""
    envelopes = parsing.mapping(reply.header, "envelopes").values()
    return any(Envelope.from_json(e).header.round != state.round for e in envelopes)


def checked_upload(
    state: AggregatorState, site: str, reply: Message, on_refusal: OnRefusal
) -> None:
    """Verify a site's signatures over every vector, and over every sealed seed.

    What is kept until the round ends is no larger than what was asked for.
    """
    manifest, pending = state.agreed_manifest, state.open_sum
    envelopes = parsing.mapping(reply.header, "envelopes")
    _check_blobs(state, reply, on_refusal)
    for spec in pending.specs:
        envelope = Envelope.from_json(envelopes.get(spec.name))
        open_envelope(
            envelope,
            parsing.blob(reply, headers.ciphertext_blob(spec.name)),
            signer=manifest.party(site).identity,
            expected=replace(upload_expected(manifest, pending, spec), sender=site),
            on_refusal=on_refusal,
        )
        if state.mode == "two-steward":
            _check_seed(manifest, pending, spec, site, reply, envelope, on_refusal)


def without_seeds(reply: Message, site: str) -> Message:
    """An upload as it is kept until it is added: envelopes and ciphertexts, and whose it is."""
    blobs = {n: b for n, b in reply.blobs.items() if n.startswith(headers.ciphertext_blob(""))}
    header = {"envelopes": reply.header["envelopes"], _SITE: site}
    return Message(kind=reply.kind, header=header, blobs=blobs)


def seeds_of(state: AggregatorState, site: str, reply: Message) -> dict[str, Message]:
    """A site's sealed seeds, kept until the roster is known (two-steward mode)."""
    if state.mode == "masked":
        return {}
    blobs = {n: b for n, b in reply.blobs.items() if n.startswith(headers.seed_blob(""))}
    seeds = Message(kind=reply.kind, header={"seeds": reply.header["seeds"]}, blobs=blobs)
    return {site: seeds}


def is_full(state: AggregatorState) -> bool:
    """Whether enough bytes have come to be passed on."""
    size = sum(len(blob) for upload in state.batch for blob in upload.blobs.values())
    return size >= pending_module.BATCH_BYTES


def collect(state: AggregatorState) -> tuple[AggregatorState, Message]:
    """Add the uploads that have come and pass them on to the steward."""
    number = state.num_batches + 1
    after, header, blobs = _added(state)
    after = replace(after, num_batches=number, outstanding=(*state.outstanding, number))
    message = Message(kind=headers.COLLECT, header={**header, "batch": number}, blobs=blobs)
    return after, message


def pads_request(state: AggregatorState) -> Message:
    """Ask the second steward for the pads of exactly the sites that uploaded."""
    manifest, pending = state.agreed_manifest, state.open_sum
    listed: dict[str, dict[str, JsonValue]] = {spec.name: {} for spec in pending.specs}
    blobs = {"context": state.public_context}
    for site in state.members:
        seeds = parsing.mapping(state.seeds[site].header, "seeds")
        for spec in pending.specs:
            listed[spec.name][site] = seeds[spec.name]
            blobs[headers.forwarded_seed_blob(spec.name, site)] = parsing.blob(
                state.seeds[site], headers.seed_blob(spec.name)
            )
    header: dict[str, JsonValue] = {
        "run_id": state.run_id,
        "manifest": manifest.to_json(),
        "round": state.round,
        "kind": pending.kind,
        "specs": [spec.to_json() for spec in pending.specs],
        "sites": list(state.members),
        "seeds": dict(listed),
    }
    return Message(kind=headers.PADS, header=header, blobs=blobs)


def decrypt_request(
    state: AggregatorState, pads: Message | None
) -> tuple[AggregatorState, Message]:
    """Pass the last uploads on and ask the steward for the totals."""
    state, header, blobs = _added(state)
    sums = state.open_sum.sums
    header["sums"] = {name: sha256_hex(total) for name, total in sums.items()}
    header["sites"] = list(state.members)
    if pads is not None:
        header["pads"] = parsing.mapping(pads.header, "pads")
        blobs |= pads.blobs
    return state, Message(kind=headers.DECRYPT, header=header, blobs=blobs)


def released(state: AggregatorState, reply: Message, on_refusal: OnRefusal) -> dict[str, Released]:
    """Verify the steward's signed totals and read them, by statistic name."""
    manifest, pending = state.agreed_manifest, state.open_sum
    envelopes = parsing.mapping(reply.header, "envelopes")
    unsigned = parsing.text(reply.header, "name"), tuple(parsing.strings(reply.header, "sites"))
    if unsigned != (manifest.steward.name, state.members):
        raise refusal("a release names another steward or another roster", on_refusal)
    results = {}
    for spec in pending.specs:
        payload = parsing.blob(reply, headers.release_blob(spec.name))
        expected = headers.release_header(
            manifest,
            round=state.round,
            attempt=state.attempt,
            statistic=spec.digest(),
            roster_hash=_roster_hash(state, manifest, spec),
        )
        open_envelope(
            Envelope.from_json(envelopes.get(spec.name)),
            payload,
            signer=manifest.steward.identity,
            expected=expected,
            on_refusal=on_refusal,
        )
        if len(payload) != 9 * spec.length:
            raise refusal(f"the release of {spec.name!r} has another length", on_refusal)
        results[spec.name] = Released(
            totals=np.frombuffer(payload, dtype="<i8", count=spec.length).astype(np.int64),
            withheld=np.frombuffer(payload, dtype=np.uint8, offset=8 * spec.length) != 0,
        )
    open_envelope(
        Envelope.from_json(reply.header.get("roster")),
        canonical_json(list(state.members)),
        signer=manifest.steward.identity,
        expected=headers.release_header(
            manifest, round=state.round, attempt=state.attempt, statistic="", roster_hash=""
        ),
        on_refusal=on_refusal,
    )
    return results


def _check_blobs(state: AggregatorState, reply: Message, on_refusal: OnRefusal) -> None:
    """Exactly the ciphertexts and sealed seeds of the round, none larger than it can be."""
    most = {
        headers.ciphertext_blob(s.name): most_bytes(s.length * s.limbs)
        for s in state.open_sum.specs
    }
    if state.mode == "two-steward":
        most |= {headers.seed_blob(spec.name): SEALED_BYTES for spec in state.open_sum.specs}
    if reply.blobs.keys() != most.keys():
        raise refusal("an upload brings other blobs than were asked for", on_refusal)
    if any(len(blob) > most[name] for name, blob in reply.blobs.items()):
        raise refusal("an upload brings a blob that is larger than its length allows", on_refusal)


def _check_seed(
    manifest: Manifest,
    pending: PendingSum,
    spec: StatisticSpec,
    site: str,
    reply: Message,
    upload: Envelope,
    on_refusal: OnRefusal,
) -> None:
    sealed = parsing.blob(reply, headers.seed_blob(spec.name))
    open_envelope(
        Envelope.from_json(parsing.mapping(reply.header, "seeds").get(spec.name)),
        sealed,
        signer=manifest.party(site).identity,
        expected=headers.seed_header(
            manifest,
            kind=pending.kind,
            round=pending.round,
            statistic=spec.digest(),
            site=site,
            ciphertext_sha256=upload.header.payload_sha256,
        ),
        on_refusal=on_refusal,
    )
    if upload.header.key != sha256_hex(sealed):
        raise refusal("an upload and its sealed seed do not belong together", on_refusal)


def _added(
    state: AggregatorState,
) -> tuple[AggregatorState, dict[str, JsonValue], dict[str, bytes]]:
    """Add the batch to the round's sum; the header and blobs that carry it to the steward."""
    manifest, pending = state.agreed_manifest, state.open_sum
    uploads: dict[str, JsonValue] = {}
    blobs: dict[str, bytes] = {}
    parsed = []
    for kept in state.batch:
        site, envelopes = (
            parsing.text(kept.header, _SITE),
            parsing.mapping(kept.header, "envelopes"),
        )
        uploads[site] = {spec.name: envelopes[spec.name] for spec in pending.specs}
        ciphertexts = {
            spec.name: parsing.blob(kept, headers.ciphertext_blob(spec.name))
            for spec in pending.specs
        }
        blobs |= {headers.forwarded_blob(n, site): c for n, c in ciphertexts.items()}
        read = {spec.name: Envelope.from_json(envelopes[spec.name]) for spec in pending.specs}
        parsed.append(Upload(site=site, envelopes=read, ciphertexts=ciphertexts))
    total = pending.add(parsed, public_context=state.public_context)
    header: dict[str, JsonValue] = {
        "run_id": state.run_id,
        "manifest": manifest.to_json(),
        "round": state.round,
        "attempt": state.attempt,
        "kind": pending.kind,
        "specs": [spec.to_json() for spec in pending.specs],
        "uploads": uploads,
    }
    if state.roster is not None:
        header["roster"] = state.roster.to_json()
        header["freezes"] = [envelope.to_json() for envelope in state.freezes]
    return replace(state, pending=total, batch=()), header, blobs


def _roster_hash(state: AggregatorState, manifest: Manifest, spec: StatisticSpec) -> str:
    if state.roster is not None:
        return state.roster.digest(manifest)
    entries = sorted(state.open_sum.entries[spec.name])
    return padded_roster_hash(
        manifest, round=state.round, statistic=spec.digest(), entries=entries
    )
