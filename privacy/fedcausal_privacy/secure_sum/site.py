"""The site's steps: agree on manifest and roster, then hide, encrypt and sign each vector once."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from fedcausal_privacy.canonical import JsonValue, sha256_hex
from fedcausal_privacy.envelopes import Envelope, OnRefusal, ignore, open_envelope, refusal, seal
from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.keys.identity import Identity
from fedcausal_privacy.messages import Message
from fedcausal_privacy.secure_sum import headers, parsing
from fedcausal_privacy.secure_sum.attempts import (
    check_roster,
    forget_void,
    learnt,
    next_attempt,
    with_released,
)
from fedcausal_privacy.secure_sum.bfv import parse_public
from fedcausal_privacy.secure_sum.contribution import (
    Contributions,
    Occasion,
    masked_reply,
    own_reply,
    padded_reply,
)
from fedcausal_privacy.secure_sum.manifest import MIN_SITES, Manifest, Mode, Party
from fedcausal_privacy.secure_sum.roster import (
    Roster,
    check_advertisements,
    check_freezes,
    check_trusted,
)
from fedcausal_privacy.secure_sum.states import SiteState
from fedcausal_privacy.statistic_spec import StatisticSpec

__all__ = [
    "Contributions",
    "SiteState",
    "advertise",
    "asked_sites",
    "begin",
    "close",
    "freeze",
    "hello",
    "learn",
    "ready",
    "requested",
    "step",
    "upload",
]


def begin(
    *,
    name: str,
    study_hash: str,
    min_sites: int = MIN_SITES,
    trusted: Mapping[str, str] | None = None,
    mode: Mode | None = None,
    data_version: str = "",
) -> SiteState:
    """Start a run at a site which approved the study with this hash and mode (None: either)."""
    if min_sites < MIN_SITES:
        raise ProtocolError(f"privacy.min_sites: expected {MIN_SITES} or more, got {min_sites}")
    return SiteState(
        name=name,
        study_hash=study_hash,
        min_sites=min_sites,
        trusted=trusted,
        mode=mode,
        data_version=data_version,
    )


def learn(state: SiteState, message: Message, *, on_refusal: OnRefusal = ignore) -> SiteState:
    """Take the steward's word at the end of a run, which a message brings along.

    In two-steward mode the roster of the last release, in masked mode that the open attempt is
    void, so that its roster need not be remembered.
    """
    if state.manifest is None:
        return state
    take = forget_void if state.manifest.mode == "masked" else learnt
    return take(state, state.manifest, message, on_refusal)


def close(state: SiteState) -> SiteState:
    """Forget the keys when a run ends; every later step of the run is refused."""
    return replace(state, ephemeral_key=b"", roster=None, is_confirmed=False, is_closed=True)


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
    """Say who this site is and which version of its data it has, signed for the run that asks."""
    header = headers.hello_header(
        run_id=parsing.text(message.header, "run_id"),
        sender=state.name,
        identity=identity.public,
    )
    reply: dict[str, JsonValue] = {
        "name": state.name,
        "role": "site",
        "identity": identity.public,
        "data_version": state.data_version,
        "envelope": seal(identity, header, state.data_version.encode()).to_json(),
    }
    return state, Message(kind=message.kind, header=reply)


def advertise(
    state: SiteState, message: Message, *, identity: Identity, on_refusal: OnRefusal = ignore
) -> tuple[SiteState, Message]:
    """Check the manifest and the encryption context; announce an ephemeral key (masked mode).

    The same manifest again gets the same answer; another one in the same run is refused. A later
    attempt needs the steward's word that the one before is void; its keys are forgotten first.
    """
    manifest = Manifest.from_json(message.header.get("manifest"))
    context = parsing.blob(message, "context")
    if parsing.text(message.header, "run_id") != manifest.run_id:
        raise refusal("a message and its manifest are of two runs", on_refusal)
    if state.is_closed:
        raise refusal("the run is closed at this site", on_refusal)
    if state.manifest is None:
        _check_manifest(state, manifest, identity, on_refusal)
        _check_keys(manifest, context, message, on_refusal)
        state = replace(state, manifest=manifest, public_context=context)
    if manifest != state.manifest or context != state.public_context:
        raise refusal("a second manifest or context in the same run", on_refusal)
    attempt = parsing.integer(message.header, "attempt")
    if attempt != state.attempt:
        state = next_attempt(state, manifest, message, attempt, on_refusal)
    key = ""
    if manifest.mode == "masked":
        if not state.ephemeral_key:
            fresh = X25519PrivateKey.generate().private_bytes_raw()
            state = replace(state, ephemeral_key=fresh)
        key = _ephemeral(state, on_refusal).public_key().public_bytes_raw().hex()
    header = headers.advertise_header(manifest, attempt=attempt, site=state.name, key=key)
    return state, _signed_reply(message, seal(identity, header))


def freeze(
    state: SiteState, message: Message, *, identity: Identity, on_refusal: OnRefusal = ignore
) -> tuple[SiteState, Message]:
    """Check every site's announced key and sign the hash of the roster, once per attempt."""
    manifest = _manifest(state, on_refusal)
    own = _ephemeral(state, on_refusal).public_key().public_bytes_raw()
    roster = check_advertisements(
        manifest,
        parsing.envelopes(message.header, "advertisements"),
        attempt=state.attempt,
        on_refusal=on_refusal,
    )
    if own not in roster.keys or roster.sites[roster.keys.index(own)] != state.name:
        raise refusal("this site's own key was exchanged for another", on_refusal)
    if state.roster is not None and state.roster != roster:
        raise refusal("a second roster in the same attempt", on_refusal)
    check_roster(state, manifest, roster.sites, on_refusal)
    header = headers.freeze_header(
        manifest,
        attempt=roster.attempt,
        site=state.name,
        roster_hash=roster.digest(manifest),
    )
    return replace(state, roster=roster), _signed_reply(message, seal(identity, header))


def requested(message: Message) -> dict[str, str]:
    """The statistics that an upload message asks for: name to specification digest."""
    return parsing.texts(message.header, "statistics")


def asked_sites(state: SiteState, message: Message) -> tuple[str, ...]:
    """Over which sites an upload's total will be: the roster's, or those that the message names.

    In two-steward mode the total may yet be over fewer. A site's own vector is over itself.
    """
    if message.kind == headers.OWN_UPLOAD:
        return (state.name,)
    if state.roster is not None:
        return state.roster.sites
    return tuple(sorted(set(parsing.strings(message.header, "sites"))))


def ready(
    state: SiteState,
    message: Message,
    specs: Mapping[str, StatisticSpec],
    *,
    on_refusal: OnRefusal = ignore,
) -> SiteState:
    """Check all of a request to upload that can be checked without a vector.

    A caller charges its budget after this and before it computes: what is refused here costs
    nothing. Checked: the run, round and attempt, the roster's signatures and what it would show
    together with released ones, the specifications, and that nothing is hidden twice the same way.
    """
    manifest = _manifest(state, on_refusal)
    round = parsing.integer(message.header, "round")
    if state.is_closed:
        raise refusal("the run is closed at this site", on_refusal)
    if parsing.integer(message.header, "attempt") != state.attempt:
        raise refusal("an upload of another attempt", on_refusal)
    _check_request(state, message, specs, round, on_refusal)
    for spec in specs.values():
        spec.check_range(len(manifest.roster))
    if message.kind == headers.OWN_UPLOAD:
        return state  # no total over a roster, no mask or pad
    if manifest.mode == "masked":
        _ephemeral(state, on_refusal)
        state, roster = _confirmed(state, message, on_refusal)
        sites: Sequence[str] = roster.sites
    else:
        state = learnt(state, manifest, message, on_refusal)
        sites = parsing.strings(message.header, "sites")
    check_roster(state, manifest, sites, on_refusal)
    for spec in specs.values():
        spec.check_summands(len(sites))
    return state


def upload(
    state: SiteState,
    message: Message,
    contributions: Contributions,
    *,
    identity: Identity,
    on_refusal: OnRefusal = ignore,
) -> tuple[SiteState, Message]:
    """Hide, encrypt and sign (own vectors: only sign) one vector for each requested statistic.

    Parameters
    ----------
    contributions : mapping
        Statistic name to (specification, int64 vector), exactly the requested ones. The site
        derives the specification itself; it must have the requested digest. In a later attempt
        of a round the caller gives the same vectors again.

    Raises
    ------
    ProtocolError
        When anything differs from what was agreed, a value exceeds its public bound, or the
        statistic was uploaded before: one mask or pad hides one vector.

    Notes
    -----
    Privacy: what leaves is uniform to everyone who lacks the masks (or the pad), and encrypted on
    top; the caller's gate decides before this step, and persists the new state before it sends
    the reply.
    """
    specs = {name: spec for name, (spec, _) in contributions.items()}
    state = ready(state, message, specs, on_refusal=on_refusal)
    manifest = _manifest(state, on_refusal)
    round = parsing.integer(message.header, "round")
    occasion = Occasion(
        manifest=manifest,
        site=state.name,
        identity=identity,
        public_context=state.public_context,
        kind=message.kind,
        round=round,
    )
    if message.kind == headers.OWN_UPLOAD:
        reply = own_reply(occasion, contributions, attempt=state.attempt)
    elif manifest.mode == "masked":
        state, roster = _confirmed(state, message, on_refusal)
        private = _ephemeral(state, on_refusal)
        reply = masked_reply(occasion, contributions, roster=roster, private=private)
        state = with_released(state, manifest, roster.sites)
    else:
        reply = padded_reply(occasion, contributions)
    used = tuple((round, name) for name in sorted(contributions))
    return replace(state, uploaded=state.uploaded + used), reply


def _check_manifest(
    state: SiteState, manifest: Manifest, identity: Identity, on_refusal: OnRefusal
) -> None:
    if manifest.study_hash != state.study_hash:
        raise refusal("the manifest is for a study that this site did not approve", on_refusal)
    if state.mode not in (None, manifest.mode):
        raise refusal("the manifest's mode is not the study's privacy.mode", on_refusal)
    own = Party(name=state.name, identity=identity.public, data_version=state.data_version)
    if own not in manifest.roster:
        raise refusal("this site is not in the roster under its own key", on_refusal)
    if len(manifest.roster) < state.min_sites:
        raise refusal("fewer sites in the roster than this site's policy asks for", on_refusal)
    if manifest.k_min < state.min_sites:
        raise refusal("the manifest's k_min is below the study's privacy.min_sites", on_refusal)
    check_trusted(manifest, state.trusted, on_refusal)


def _check_keys(
    manifest: Manifest, context: bytes, message: Message, on_refusal: OnRefusal
) -> None:
    """The stewards' keys are the manifest's, signed by the stewards for this run."""
    _check_introduction(
        manifest, manifest.steward, message.header.get("steward"), context, on_refusal
    )
    if sha256_hex(context) != manifest.he_sha256:
        raise refusal("the encryption context is not the manifest's", on_refusal)
    try:
        parse_public(context)
    except ProtocolError as error:
        raise refusal(str(error), on_refusal) from None
    if manifest.second_steward is not None:
        introduction = message.header.get("second_steward")
        pad_key = bytes.fromhex(manifest.pad_key)
        _check_introduction(manifest, manifest.second_steward, introduction, pad_key, on_refusal)


def _check_introduction(
    manifest: Manifest, party: Party, envelope: JsonValue, key: bytes, on_refusal: OnRefusal
) -> None:
    open_envelope(
        Envelope.from_json(envelope),
        key,
        signer=party.identity,
        expected=headers.hello_header(
            run_id=manifest.run_id,
            sender=party.name,
            identity=party.identity,
            he_sha256=sha256_hex(key),
        ),
        on_refusal=on_refusal,
    )


def _confirmed(
    state: SiteState, message: Message, on_refusal: OnRefusal
) -> tuple[SiteState, Roster]:
    manifest = _manifest(state, on_refusal)
    if state.roster is None:
        raise refusal("an upload was asked for before the roster was frozen", on_refusal)
    if not state.is_confirmed:
        freezes = parsing.envelopes(message.header, "freezes")
        check_freezes(manifest, freezes, roster=state.roster, on_refusal=on_refusal)
    return replace(state, is_confirmed=True), state.roster


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
        raise refusal("there is no ephemeral key: the run is closed, or never began", on_refusal)
    return X25519PrivateKey.from_private_bytes(state.ephemeral_key)


def _signed_reply(message: Message, envelope: Envelope) -> Message:
    return Message(kind=message.kind, header={"envelope": envelope.to_json()})
