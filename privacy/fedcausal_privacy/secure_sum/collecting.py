"""What the aggregator passes on to the stewards: read, and verified against the sites' keys."""

from dataclasses import replace

from fedcausal_privacy.canonical import JsonValue
from fedcausal_privacy.envelopes import Envelope, Header, OnRefusal, open_envelope, refusal
from fedcausal_privacy.messages import Message
from fedcausal_privacy.secure_sum import headers, parsing
from fedcausal_privacy.secure_sum.manifest import Manifest
from fedcausal_privacy.secure_sum.pending import PendingSum, Upload
from fedcausal_privacy.secure_sum.roster import Roster, check_freezes, padded_roster_hash
from fedcausal_privacy.statistic_spec import StatisticSpec

__all__ = ["checked_pads", "checked_specs", "collected", "upload_expected"]


def collected(
    message: Message, manifest: Manifest, on_refusal: OnRefusal
) -> tuple[PendingSum, tuple[Upload, ...]]:
    """The sum that a message is about, still empty, and the verified uploads that it brings.

    Raises
    ------
    ProtocolError
        A signature, a hash or a name is wrong; no ciphertext was touched.
    """
    kind = parsing.text(message.header, "kind")
    attempt = parsing.integer(message.header, "attempt")
    specs = checked_specs(message, manifest, on_refusal)
    if kind not in headers.SUM_KINDS:
        raise refusal("not a sum of uploads", on_refusal)
    sites, roster_hash = manifest.sites, ""
    if manifest.mode == "masked":
        roster = Roster.from_json(message.header.get("roster"))
        freezes = parsing.envelopes(message.header, "freezes")
        if roster.attempt != attempt or len(roster.sites) < manifest.k_min:
            raise refusal("a roster of another attempt, or of too few sites", on_refusal)
        check_freezes(manifest, freezes, roster=roster, on_refusal=on_refusal)
        sites, roster_hash = roster.sites, roster.digest(manifest)
    empty = PendingSum.begin(
        specs,
        round=parsing.integer(message.header, "round"),
        attempt=attempt,
        kind=kind,
        roster=roster_hash,
    )
    listed = parsing.mapping(message.header, "uploads")
    strangers = set(listed) - set(sites)
    if strangers:
        raise refusal("an upload of a site that is not in the roster", on_refusal)
    uploads = tuple(
        _upload(message, manifest, empty, site, listed[site], on_refusal) for site in listed
    )
    return empty, uploads


def checked_specs(
    message: Message, manifest: Manifest, on_refusal: OnRefusal
) -> tuple[StatisticSpec, ...]:
    """The statistics of a round, each once, whose totals stay inside the ring."""
    specs = tuple(StatisticSpec.from_json(v) for v in parsing.objects(message.header, "specs"))
    names = [spec.name for spec in specs]
    if not names or len(set(names)) != len(names):
        raise refusal("statistics to sum are absent or named twice", on_refusal)
    for spec in specs:
        spec.check_range(len(manifest.roster))
    return specs


def upload_expected(manifest: Manifest, pending: PendingSum, spec: StatisticSpec) -> Header:
    """What a site must have signed, but for its name and (two-steward) its seed's hash."""
    return headers.upload_header(
        manifest,
        kind=pending.kind,
        round=pending.round,
        attempt=pending.attempt,
        statistic=spec.digest(),
        site="",
        roster_hash=pending.roster_hash,
    )


def checked_pads(
    message: Message,
    manifest: Manifest,
    pending: PendingSum,
    spec: StatisticSpec,
    on_refusal: OnRefusal,
) -> tuple[bytes, str]:
    """The second steward's pads of one statistic, for exactly the uploads in the sum."""
    roster_hash = padded_roster_hash(
        manifest,
        round=pending.round,
        statistic=spec.digest(),
        entries=sorted(pending.entries[spec.name]),
    )
    if manifest.second_steward is None:
        raise refusal("pads in a run without a second steward", on_refusal)
    pads = parsing.blob(message, headers.pads_blob(spec.name))
    open_envelope(
        Envelope.from_json(parsing.mapping(message.header, "pads").get(spec.name)),
        pads,
        signer=manifest.second_steward.identity,
        expected=headers.pads_header(
            manifest, round=pending.round, statistic=spec.digest(), roster_hash=roster_hash
        ),
        on_refusal=on_refusal,
    )
    return pads, roster_hash


def _upload(
    message: Message,
    manifest: Manifest,
    pending: PendingSum,
    site: str,
    listed: JsonValue,
    on_refusal: OnRefusal,
) -> Upload:
    envelopes, ciphertexts = {}, {}
    by_statistic = parsing.mapping({"uploads": listed}, "uploads")
    for spec in pending.specs:
        envelope = Envelope.from_json(by_statistic.get(spec.name))
        ciphertext = parsing.blob(message, headers.forwarded_blob(spec.name, site))
        if manifest.mode == "masked" and envelope.header.key:
            raise refusal("a masked upload names a seed", on_refusal)
        open_envelope(
            envelope,
            ciphertext,
            signer=manifest.party(site).identity,
            expected=replace(upload_expected(manifest, pending, spec), sender=site),
            on_refusal=on_refusal,
        )
        envelopes[spec.name], ciphertexts[spec.name] = envelope, ciphertext
    return Upload(site=site, envelopes=envelopes, ciphertexts=ciphertexts)
