"""The site's steps: agree on manifest and roster, then mask, encrypt and sign each vector once."""

from collections.abc import Mapping
from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from fedcausal_privacy.bfv import BfvScheme, parse_public
from fedcausal_privacy.canonical import JsonValue, sha256_hex
from fedcausal_privacy.envelopes import Envelope, OnRefusal, ignore, open_envelope, refusal, seal
from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.fixed_point import WordVector, check_contribution, split_limbs, to_words
from fedcausal_privacy.identity import Identity
from fedcausal_privacy.manifest import MIN_SITES, Manifest
from fedcausal_privacy.masks import MaskContext, add_mask
from fedcausal_privacy.messages import Message
from fedcausal_privacy.secure_sum import headers, parsing
from fedcausal_privacy.secure_sum.roster import (
    check_advertisements,
    check_freezes,
    check_trusted,
    roster_hash,
)
from fedcausal_privacy.secure_sum.states import SiteState
from fedcausal_privacy.statistic_spec import IntVector, StatisticSpec

__all__ = [
    "Contributions",
    "SiteState",
    "advertise",
    "begin",
    "close",
    "freeze",
    "hello",
    "ready",
    "requested",
    "step",
    "upload",
]

Contributions = Mapping[str, tuple[StatisticSpec, IntVector]]


def begin(
    *,
    name: str,
    study_hash: str,
    min_sites: int = MIN_SITES,
    trusted: Mapping[str, str] | None = None,
) -> SiteState:
    """Start a run at a site which approved the study with this hash."""
    if min_sites < MIN_SITES:
        raise ProtocolError(f"privacy.min_sites: expected {MIN_SITES} or more, got {min_sites}")
    return SiteState(name=name, study_hash=study_hash, min_sites=min_sites, trusted=trusted)


def close(state: SiteState) -> SiteState:
    """Forget the keys when a run ends; every later step of the run is refused."""
    return replace(state, ephemeral_key=b"", peers=(), is_confirmed=False)


def step(
    state: SiteState,
    message: Message,
    *,
    identity: Identity,
    contributions: Contributions | None = None,
    on_refusal: OnRefusal = ignore,
) -> tuple[SiteState, Message]:
    """Answer any message of the protocol; `contributions` belong to uploads only."""
    if message.kind in headers.UPLOAD_KINDS:
        return upload(
            state, message, contributions or {}, identity=identity, on_refusal=on_refusal
        )
    steps = {headers.HELLO: hello, headers.ADVERTISE: advertise, headers.FREEZE: freeze}
    if message.kind not in steps:
        raise refusal(f"unknown message kind {message.kind!r}", on_refusal)
    return steps[message.kind](state, message, identity=identity, on_refusal=on_refusal)


def hello(
    state: SiteState, message: Message, *, identity: Identity, on_refusal: OnRefusal = ignore
) -> tuple[SiteState, Message]:
    """Say who this site is, signed for the run that asks."""
    header = headers.hello_header(
        run_id=parsing.text(message.header, "run_id"),
        sender=state.name,
        identity=identity.public,
    )
    reply: dict[str, JsonValue] = {
        "name": state.name,
        "role": "site",
        "identity": identity.public,
        "envelope": seal(identity, header).to_json(),
    }
    return state, Message(kind=message.kind, header=reply)


def advertise(
    state: SiteState, message: Message, *, identity: Identity, on_refusal: OnRefusal = ignore
) -> tuple[SiteState, Message]:
    """Check the manifest and the encryption context; announce an ephemeral key.

    The same manifest again gets the same answer; another one in the same run is refused.
    """
    manifest = Manifest.from_json(message.header.get("manifest"))
    context = parsing.blob(message, "context")
    _check_attempt(message, on_refusal)
    if state.manifest is None:
        _check_manifest(state, manifest, identity, on_refusal)
        _check_context(manifest, context, message, on_refusal)
        fresh = X25519PrivateKey.generate().private_bytes_raw()
        state = replace(state, manifest=manifest, public_context=context, ephemeral_key=fresh)
    if manifest != state.manifest or context != state.public_context:
        raise refusal("a second manifest or context in the same run", on_refusal)
    public = _ephemeral(state, on_refusal).public_key().public_bytes_raw()
    header = headers.advertise_header(
        manifest, attempt=headers.FIRST_ATTEMPT, site=state.name, key=public.hex()
    )
    return state, _signed_reply(message, seal(identity, header))


def freeze(
    state: SiteState, message: Message, *, identity: Identity, on_refusal: OnRefusal = ignore
) -> tuple[SiteState, Message]:
    """Check every site's announced key and sign the hash of the roster, once per run."""
    manifest = _manifest(state, on_refusal)
    own = _ephemeral(state, on_refusal).public_key().public_bytes_raw()
    keys = check_advertisements(
        manifest,
        parsing.envelopes(message.header, "advertisements"),
        attempt=headers.FIRST_ATTEMPT,
        on_refusal=on_refusal,
    )
    if keys[manifest.sites.index(state.name)] != own:
        raise refusal("this site's own key was exchanged for another", on_refusal)
    if state.peers and state.peers != keys:
        raise refusal("a second roster in the same run", on_refusal)
    header = headers.freeze_header(
        manifest,
        attempt=headers.FIRST_ATTEMPT,
        site=state.name,
        roster_hash=roster_hash(manifest, attempt=headers.FIRST_ATTEMPT, keys=keys),
    )
    return replace(state, peers=keys), _signed_reply(message, seal(identity, header))


def requested(message: Message) -> dict[str, str]:
    """The statistics that an upload message asks for: name to specification digest."""
    return parsing.texts(message.header, "statistics")


def ready(
    state: SiteState,
    message: Message,
    specs: Mapping[str, StatisticSpec],
    *,
    on_refusal: OnRefusal = ignore,
) -> SiteState:
    """Check all of a request to upload that can be checked without a vector.

    A caller charges its budget after this and before it computes: what is refused here costs
    nothing. Checked: the roster's signatures, the run, the round and the specifications, and
    that no mask would be used twice.
    """
    manifest = _manifest(state, on_refusal)
    round = parsing.integer(message.header, "round")
    _check_attempt(message, on_refusal)
    _ephemeral(state, on_refusal)
    state = _confirmed(state, message, on_refusal)
    _check_request(state, message, specs, round, on_refusal)
    for spec in specs.values():
        spec.check_range(len(manifest.roster))
    return state


def upload(
    state: SiteState,
    message: Message,
    contributions: Contributions,
    *,
    identity: Identity,
    on_refusal: OnRefusal = ignore,
) -> tuple[SiteState, Message]:
    """Mask, encrypt and sign one vector for each requested statistic.

    Parameters
    ----------
    contributions : mapping
        Statistic name to (specification, int64 vector), exactly the requested ones. The site
        derives the specification itself; it must have the requested digest.

    Raises
    ------
    ProtocolError
        When anything differs from what was agreed, a value exceeds its public bound, or the
        statistic was uploaded before: one mask hides one vector.

    Notes
    -----
    Privacy: what leaves is uniform to everyone who lacks the masks, and encrypted on top; the
    caller's gate decides before this step, and persists the new state before it sends the reply.
    """
    specs = {name: spec for name, (spec, _) in contributions.items()}
    state = ready(state, message, specs, on_refusal=on_refusal)
    manifest = _manifest(state, on_refusal)
    round = parsing.integer(message.header, "round")
    digests = {name: spec.digest() for name, spec in specs.items()}
    roster = _roster_hash(state, manifest)
    envelopes: dict[str, JsonValue] = {}
    blobs: dict[str, bytes] = {}
    for name, (spec, vector) in contributions.items():
        check_contribution(vector, spec)
        mask_context = MaskContext(
            run_id=manifest.run_id,
            round=round,
            attempt=headers.FIRST_ATTEMPT,
            statistic=digests[name],
            roster_hash=roster,
        )
        ciphertext = _hide(state, to_words(vector, spec.limbs), mask_context, on_refusal)
        header = headers.upload_header(
            manifest,
            kind=message.kind,
            round=round,
            attempt=headers.FIRST_ATTEMPT,
            statistic=digests[name],
            site=state.name,
            roster_hash=roster,
        )
        envelopes[name] = seal(identity, header, ciphertext).to_json()
        blobs[headers.ciphertext_blob(name)] = ciphertext
    used = tuple((round, name) for name in sorted(contributions))
    reply = Message(kind=message.kind, header={"envelopes": envelopes}, blobs=blobs)
    return replace(state, uploaded=state.uploaded + used), reply


def _hide(
    state: SiteState, words: WordVector, context: MaskContext, on_refusal: OnRefusal
) -> bytes:
    masked = add_mask(
        words,
        position=_manifest(state, on_refusal).sites.index(state.name),
        private=_ephemeral(state, on_refusal),
        peers=state.peers,
        context=context,
    )
    return BfvScheme().encrypt(state.public_context, split_limbs(masked))


def _check_manifest(
    state: SiteState, manifest: Manifest, identity: Identity, on_refusal: OnRefusal
) -> None:
    if manifest.study_hash != state.study_hash:
        raise refusal("the manifest is for a study that this site did not approve", on_refusal)
    if (state.name, identity.public) not in {(p.name, p.identity) for p in manifest.roster}:
        raise refusal("this site is not in the roster under its own key", on_refusal)
    if len(manifest.roster) < state.min_sites:
        raise refusal("fewer sites in the roster than this site's policy asks for", on_refusal)
    if manifest.k_min < state.min_sites:
        raise refusal("the manifest's k_min is below the study's privacy.min_sites", on_refusal)
    check_trusted(manifest, state.trusted, on_refusal)


def _check_context(
    manifest: Manifest, context: bytes, message: Message, on_refusal: OnRefusal
) -> None:
    if sha256_hex(context) != manifest.he_sha256:
        raise refusal("the encryption context is not the manifest's", on_refusal)
    steward = manifest.steward
    open_envelope(
        Envelope.from_json(message.header.get("steward")),
        context,
        signer=steward.identity,
        expected=headers.hello_header(
            run_id=manifest.run_id,
            sender=steward.name,
            identity=steward.identity,
            he_sha256=manifest.he_sha256,
        ),
        on_refusal=on_refusal,
    )
    try:
        parse_public(context)
    except ProtocolError as error:
        raise refusal(str(error), on_refusal) from None


def _check_attempt(message: Message, on_refusal: OnRefusal) -> None:
    if parsing.integer(message.header, "attempt") != headers.FIRST_ATTEMPT:
        raise refusal(
            "a second attempt: this version ends a run when a site drops out", on_refusal
        )


def _confirmed(state: SiteState, message: Message, on_refusal: OnRefusal) -> SiteState:
    if state.is_confirmed:
        return state
    manifest = _manifest(state, on_refusal)
    if not state.peers:
        raise refusal("an upload was asked for before the roster was frozen", on_refusal)
    check_freezes(
        manifest,
        parsing.envelopes(message.header, "freezes"),
        attempt=headers.FIRST_ATTEMPT,
        roster_hash=_roster_hash(state, manifest),
        on_refusal=on_refusal,
    )
    return replace(state, is_confirmed=True)


def _check_request(
    state: SiteState,
    message: Message,
    specs: Mapping[str, StatisticSpec],
    round: int,
    on_refusal: OnRefusal,
) -> None:
    digests = {name: spec.digest() for name, spec in specs.items()}
    if (
        message.kind not in headers.UPLOAD_KINDS
        or parsing.text(message.header, "run_id") != state.run_id
    ):
        raise refusal("not an upload of this run", on_refusal)
    if not digests or digests != requested(message):
        raise refusal("the requested statistics are not the ones derived here", on_refusal)
    if any(name != spec.name for name, spec in specs.items()):
        raise refusal("a statistic is filed under another name than its own", on_refusal)
    if any((round, name) in state.uploaded for name in digests):
        raise refusal("a statistic of this round was uploaded before", on_refusal)


def _manifest(state: SiteState, on_refusal: OnRefusal) -> Manifest:
    if state.manifest is None:
        raise refusal("a step came before the manifest", on_refusal)
    return state.manifest


def _ephemeral(state: SiteState, on_refusal: OnRefusal) -> X25519PrivateKey:
    if not state.ephemeral_key:
        raise refusal("the run is closed at this site", on_refusal)
    return X25519PrivateKey.from_private_bytes(state.ephemeral_key)


def _roster_hash(state: SiteState, manifest: Manifest) -> str:
    return roster_hash(manifest, attempt=headers.FIRST_ATTEMPT, keys=state.peers)


def _signed_reply(message: Message, envelope: Envelope) -> Message:
    return Message(kind=message.kind, header={"envelope": envelope.to_json()})
