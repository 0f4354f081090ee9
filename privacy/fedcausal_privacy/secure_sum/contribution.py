"""How a site's vectors leave: hidden by masks or by a pad, encrypted, and signed."""

from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from fedcausal_privacy.canonical import JsonValue, sha256_hex
from fedcausal_privacy.envelopes import Envelope, seal
from fedcausal_privacy.keys.identity import Identity
from fedcausal_privacy.messages import Message
from fedcausal_privacy.secure_sum import headers
from fedcausal_privacy.secure_sum.bfv import BfvScheme
from fedcausal_privacy.secure_sum.fixed_point import check_contribution, split_limbs, to_words
from fedcausal_privacy.secure_sum.manifest import Manifest
from fedcausal_privacy.secure_sum.masks import MaskContext, add_mask, mask_words
from fedcausal_privacy.secure_sum.pads import PadContext, fresh_seed, seal_seed
from fedcausal_privacy.secure_sum.roster import Roster
from fedcausal_privacy.statistic_spec import IntVector, StatisticSpec

__all__ = ["Contributions", "Occasion", "masked_reply", "own_reply", "padded_reply"]

Contributions = Mapping[str, tuple[StatisticSpec, IntVector]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Occasion:
    """For whom, when and as what a site uploads."""

    manifest: Manifest
    site: str
    identity: Identity
    public_context: bytes
    kind: str
    round: int


def masked_reply(
    occasion: Occasion, contributions: Contributions, *, roster: Roster, private: X25519PrivateKey
) -> Message:
    """Masked, encrypted and signed vectors, one for each statistic.

    Raises
    ------
    ProtocolError
        A value exceeds its public bound, or totals could leave the ring.
    """
    manifest, digest = occasion.manifest, roster.digest(occasion.manifest)
    position = roster.sites.index(occasion.site)
    peers = roster.peers(occasion.site, manifest)
    envelopes: dict[str, JsonValue] = {}
    blobs: dict[str, bytes] = {}
    for name, (spec, vector) in contributions.items():
        spec.check_range(len(roster.sites))
        check_contribution(vector, spec)
        context = MaskContext(
            run_id=manifest.run_id,
            round=occasion.round,
            attempt=roster.attempt,
            statistic=spec.digest(),
            roster_hash=digest,
        )
        masked = add_mask(
            to_words(vector, spec.limbs),
            position=position,
            private=private,
            peers=peers,
            context=context,
        )
        ciphertext = BfvScheme().encrypt(occasion.public_context, split_limbs(masked))
        header = headers.upload_header(
            manifest,
            kind=occasion.kind,
            round=occasion.round,
            attempt=roster.attempt,
            statistic=spec.digest(),
            site=occasion.site,
            roster_hash=digest,
        )
        envelopes[name] = seal(occasion.identity, header, ciphertext).to_json()
        blobs[headers.ciphertext_blob(name)] = ciphertext
    return Message(kind=occasion.kind, header={"envelopes": envelopes}, blobs=blobs)


def padded_reply(occasion: Occasion, contributions: Contributions) -> Message:
    """Padded, encrypted and signed vectors, each with its seed sealed to the second steward.

    The cost does not depend on the number of sites.

    Raises
    ------
    ProtocolError
        A value exceeds its public bound, or totals could leave the ring.
    """
    envelopes: dict[str, JsonValue] = {}
    seeds: dict[str, JsonValue] = {}
    blobs: dict[str, bytes] = {}
    for name, (spec, vector) in contributions.items():
        spec.check_range(len(occasion.manifest.roster))
        check_contribution(vector, spec)
        seed = fresh_seed()
        words = to_words(vector, spec.limbs)
        mask_words(words, seed, 1)
        ciphertext = BfvScheme().encrypt(occasion.public_context, split_limbs(words))
        sealed = seal_seed(
            seed, bytes.fromhex(occasion.manifest.pad_key), _pad_context(occasion, spec)
        )
        upload, seed_envelope = _signed_pair(occasion, spec, ciphertext, sealed)
        envelopes[name], seeds[name] = upload.to_json(), seed_envelope.to_json()
        blobs[headers.ciphertext_blob(name)] = ciphertext
        blobs[headers.seed_blob(name)] = sealed
    header: dict[str, JsonValue] = {"envelopes": envelopes, "seeds": seeds}
    return Message(kind=occasion.kind, header=header, blobs=blobs)


def own_reply(occasion: Occasion, contributions: Contributions, *, attempt: int) -> Message:
    """Open and signed vectors: nothing hides them, so that each site's can be checked.

    Privacy: exact values of one site, for the coordinator to read. The caller's policy decides.

    Raises
    ------
    ProtocolError
        A value exceeds its public bound.
    """
    envelopes: dict[str, JsonValue] = {}
    blobs: dict[str, bytes] = {}
    for name, (spec, vector) in contributions.items():
        check_contribution(vector, spec)
        payload = vector.astype("<i8").tobytes()
        header = headers.upload_header(
            occasion.manifest,
            kind=occasion.kind,
            round=occasion.round,
            attempt=attempt,
            statistic=spec.digest(),
            site=occasion.site,
            roster_hash="",
        )
        envelopes[name] = seal(occasion.identity, header, payload).to_json()
        blobs[headers.own_blob(name)] = payload
    return Message(kind=occasion.kind, header={"envelopes": envelopes}, blobs=blobs)


def _pad_context(occasion: Occasion, spec: StatisticSpec) -> PadContext:
    return PadContext(
        run_id=occasion.manifest.run_id,
        manifest=occasion.manifest.digest(),
        kind=occasion.kind,
        round=occasion.round,
        statistic=spec.digest(),
        site=occasion.site,
    )


def _signed_pair(
    occasion: Occasion, spec: StatisticSpec, ciphertext: bytes, sealed: bytes
) -> tuple[Envelope, Envelope]:
    """The two envelopes, each of which names the other's payload: neither can be exchanged."""
    upload = headers.upload_header(
        occasion.manifest,
        kind=occasion.kind,
        round=occasion.round,
        attempt=headers.FIRST_ATTEMPT,
        statistic=spec.digest(),
        site=occasion.site,
        roster_hash="",
        seed_sha256=sha256_hex(sealed),
    )
    seed = headers.seed_header(
        occasion.manifest,
        kind=occasion.kind,
        round=occasion.round,
        statistic=spec.digest(),
        site=occasion.site,
        ciphertext_sha256=sha256_hex(ciphertext),
    )
    identity = occasion.identity
    return seal(identity, upload, ciphertext), seal(identity, seed, sealed)
