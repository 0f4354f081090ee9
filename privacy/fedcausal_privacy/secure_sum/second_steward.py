"""The second steward's steps (two-steward mode): one sum of pads for one roster per statistic."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from fedcausal_privacy.canonical import JsonValue, sha256_hex
from fedcausal_privacy.envelopes import Envelope, OnRefusal, ignore, open_envelope, refusal, seal
from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.keys.identity import Identity
from fedcausal_privacy.messages import Message
from fedcausal_privacy.secure_sum import headers, parsing
from fedcausal_privacy.secure_sum.atoms import check_atoms, members_of
from fedcausal_privacy.secure_sum.bfv import BfvScheme, parse_public
from fedcausal_privacy.secure_sum.collecting import checked_specs
from fedcausal_privacy.secure_sum.fixed_point import WordVector, split_limbs, to_words
from fedcausal_privacy.secure_sum.manifest import Manifest
from fedcausal_privacy.secure_sum.masks import mask_words
from fedcausal_privacy.secure_sum.pads import PadContext, open_seed
from fedcausal_privacy.secure_sum.roster import check_trusted, padded_roster_hash
from fedcausal_privacy.secure_sum.states import ReleasedRoster, SecondStewardState
from fedcausal_privacy.statistic_spec import StatisticSpec

__all__ = ["SecondStewardState", "begin", "close", "hello", "pads", "step"]


def begin(*, name: str, trusted: Mapping[str, str] | None = None) -> SecondStewardState:
    """Start a run at the second steward; `trusted` are the identities it serves."""
    return SecondStewardState(name=name, trusted=trusted)


def close(state: SecondStewardState) -> SecondStewardState:
    """Forget the run's key; every later request is refused."""
    return replace(state, pad_key=b"")


def step(
    state: SecondStewardState,
    message: Message,
    *,
    identity: Identity,
    on_refusal: OnRefusal = ignore,
) -> tuple[SecondStewardState, Message]:
    """Answer `query.hello` or `query.pads`."""
    steps = {headers.HELLO: hello, headers.PADS: pads}
    if message.kind not in steps:
        raise refusal(f"unknown message kind {message.kind!r}", on_refusal)
    return steps[message.kind](state, message, identity=identity, on_refusal=on_refusal)


def hello(
    state: SecondStewardState,
    message: Message,
    *,
    identity: Identity,
    on_refusal: OnRefusal = ignore,
) -> tuple[SecondStewardState, Message]:
    """Draw the run's key for pad seeds (once) and announce its public half, signed."""
    run_id = parsing.text(message.header, "run_id")
    if not run_id or state.run_id not in ("", run_id):
        raise refusal("a steward's state serves one run", on_refusal)
    if not state.run_id:
        fresh = X25519PrivateKey.generate().private_bytes_raw()
        state = replace(state, run_id=run_id, pad_key=fresh)
    public = _key(state, on_refusal).public_key().public_bytes_raw()
    header = headers.hello_header(
        run_id=run_id,
        sender=state.name,
        identity=identity.public,
        he_sha256=sha256_hex(public),
    )
    reply: dict[str, JsonValue] = {
        "name": state.name,
        "role": "second-steward",
        "identity": identity.public,
        "envelope": seal(identity, header, public).to_json(),
    }
    return state, Message(kind=message.kind, header=reply, blobs={"pad_key": public})


def pads(
    state: SecondStewardState,
    message: Message,
    *,
    identity: Identity,
    on_refusal: OnRefusal = ignore,
) -> tuple[SecondStewardState, Message]:
    """Add the pads of one roster and encrypt their negative under the steward's key, once.

    The reply is one more summand: the steward's decryption then is the total itself, and nobody
    else can open it.

    Raises
    ------
    ProtocolError
        Another manifest, too few sites, a roster whose total could be subtracted from earlier
        ones, a seed for somebody or something else, or a statistic whose pads were added before.

    Notes
    -----
    Privacy: this steward sees seeds and never a ciphertext of a site. A caller persists the new
    state before it sends the reply.
    """
    manifest = _checked_manifest(state, message, identity, on_refusal)
    specs = checked_specs(message, manifest, on_refusal)
    round = parsing.integer(message.header, "round")
    sites = parsing.strings(message.header, "sites")
    if list(sites) != sorted(set(sites)) or not set(sites) <= set(manifest.sites):
        raise refusal("the roster of a sum of pads is not one of the manifest's", on_refusal)
    if len(sites) < manifest.k_min:
        raise refusal("fewer sites in the roster than k_min", on_refusal)
    if any((round, spec.name) in state.spent for spec in specs):
        raise refusal("pads of this round were added before", on_refusal)
    members = members_of(manifest, sites)
    released = [*state.known, *(entry.members for entry in state.released)]
    check_atoms(released, members, k_min=manifest.k_min, on_refusal=on_refusal)
    envelopes: dict[str, JsonValue] = {}
    blobs: dict[str, bytes] = {}
    context = _checked_context(message, manifest, on_refusal)
    for spec in specs:
        total, roster_hash = _pad_total(state, message, manifest, spec, on_refusal)
        payload = BfvScheme().encrypt(context, split_limbs(total))
        header = headers.pads_header(
            manifest, round=round, statistic=spec.digest(), roster_hash=roster_hash
        )
        envelopes[spec.name] = seal(identity, header, payload).to_json()
        blobs[headers.pads_blob(spec.name)] = payload
    entry = ReleasedRoster(attempt=headers.FIRST_ATTEMPT, members=members)
    state = replace(
        state,
        manifest_digest=manifest.digest(),
        spent=state.spent + tuple((round, spec.name) for spec in specs),
        released=state.released if entry in state.released else (*state.released, entry),
    )
    reply: dict[str, JsonValue] = {"name": state.name, "pads": envelopes}
    return state, Message(kind=message.kind, header=reply, blobs=blobs)


def _checked_manifest(
    state: SecondStewardState, message: Message, identity: Identity, on_refusal: OnRefusal
) -> Manifest:
    manifest = Manifest.from_json(message.header.get("manifest"))
    if parsing.text(message.header, "run_id") != manifest.run_id:
        raise refusal("a message and its manifest are of two runs", on_refusal)
    second = manifest.second_steward
    public = _key(state, on_refusal).public_key().public_bytes_raw().hex()
    own = (state.run_id, state.name, identity.public, public)
    if second is None or own != (
        manifest.run_id,
        second.name,
        second.identity,
        manifest.pad_key,
    ):
        raise refusal("the manifest is not for this steward and its key", on_refusal)
    if state.manifest_digest not in ("", manifest.digest()):
        raise refusal("a second manifest in the same run", on_refusal)
    check_trusted(manifest, state.trusted, on_refusal)
    return manifest


def _checked_context(message: Message, manifest: Manifest, on_refusal: OnRefusal) -> bytes:
    context = parsing.blob(message, "context")
    if sha256_hex(context) != manifest.he_sha256:
        raise refusal("the encryption context is not the manifest's", on_refusal)
    try:
        parse_public(context)
    except ProtocolError as error:
        raise refusal(str(error), on_refusal) from None
    return context


def _pad_total(
    state: SecondStewardState,
    message: Message,
    manifest: Manifest,
    spec: StatisticSpec,
    on_refusal: OnRefusal,
) -> tuple[WordVector, str]:
    """The negative sum of the pads of one statistic, and the hash of who is in it."""
    round = parsing.integer(message.header, "round")
    kind = parsing.text(message.header, "kind")
    if kind not in headers.SUM_KINDS:
        raise refusal("not pads of uploads", on_refusal)
    seeds = parsing.mapping(parsing.mapping(message.header, "seeds"), spec.name)
    sites = parsing.strings(message.header, "sites")
    anyone = headers.seed_header(
        manifest, kind=kind, round=round, statistic=spec.digest(), site=""
    )
    entries, opened, private = [], [], _key(state, on_refusal)
    digest = manifest.digest()
    for site in sites:
        sealed = parsing.blob(message, headers.forwarded_seed_blob(spec.name, site))
        header = open_envelope(
            Envelope.from_json(seeds.get(site)),
            sealed,
            signer=manifest.party(site).identity,
            expected=replace(anyone, sender=site),
            on_refusal=on_refusal,
        )
        context = PadContext(
            run_id=manifest.run_id,
            manifest=digest,
            kind=kind,
            round=round,
            statistic=spec.digest(),
            site=site,
        )
        try:
            opened.append(open_seed(sealed, private, context))
        except ProtocolError as error:
            raise refusal(str(error), on_refusal) from None
        entries.append((site, header.key, header.payload_sha256))
    # Only now is the length what the sites signed, and not what somebody asks memory for.
    total = to_words(np.zeros(spec.length, dtype=np.int64), spec.limbs)
    for seed in opened:
        mask_words(total, seed, -1)
    roster_hash = padded_roster_hash(
        manifest, round=round, statistic=spec.digest(), entries=sorted(entries)
    )
    return total, roster_hash


def _key(state: SecondStewardState, on_refusal: OnRefusal) -> X25519PrivateKey:
    if not state.pad_key:
        raise refusal("the run is closed at the second steward, or never began", on_refusal)
    return X25519PrivateKey.from_private_bytes(state.pad_key)
