"""The frozen roster: which ephemeral keys take part, and that every site signed the same ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from fedcausal_privacy.canonical import JsonValue, json_hash
from fedcausal_privacy.envelopes import Envelope, OnRefusal, open_envelope, refusal
from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.secure_sum import parsing
from fedcausal_privacy.secure_sum.headers import advertise_header, freeze_header
from fedcausal_privacy.secure_sum.manifest import Manifest
from fedcausal_privacy.secure_sum.mask_graph import neighbours

__all__ = [
    "Roster",
    "check_advertisements",
    "check_freezes",
    "check_trusted",
    "padded_roster_hash",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Roster:
    """The sites of one attempt, sorted by name, and their ephemeral X25519 public keys."""

    attempt: int
    sites: tuple[str, ...]
    keys: tuple[bytes, ...]

    def __post_init__(self) -> None:
        if len(self.sites) != len(self.keys) or list(self.sites) != sorted(set(self.sites)):
            raise ProtocolError("a roster needs one key for each of its sites, sorted by name")

    def digest(self, manifest: Manifest) -> str:
        """SHA-256 over the manifest, the attempt, the sites and their keys."""
        return json_hash([manifest.digest(), self.to_json()])

    def peers(self, site: str, manifest: Manifest) -> dict[int, bytes]:
        """A site's neighbours in the mask graph: roster position to ephemeral key."""
        position = self.sites.index(site)
        around = neighbours(position, len(self.sites), self.digest(manifest))
        return {other: self.keys[other] for other in around}

    def to_json(self) -> dict[str, JsonValue]:
        """The roster as a JSON value."""
        return {
            "attempt": self.attempt,
            "sites": list(self.sites),
            "keys": [key.hex() for key in self.keys],
        }

    @classmethod
    def from_json(cls, value: JsonValue) -> "Roster":
        """Rebuild a roster from `to_json`; anything else is a `ProtocolError`."""
        if not isinstance(value, Mapping):
            raise ProtocolError("a roster cannot be read")
        try:
            keys = tuple(bytes.fromhex(key) for key in parsing.strings(value, "keys"))
        except ValueError:
            raise ProtocolError("a roster cannot be read") from None
        return cls(
            attempt=parsing.integer(value, "attempt"),
            sites=tuple(parsing.strings(value, "sites")),
            keys=keys,
        )


def padded_roster_hash(
    manifest: Manifest, *, round: int, statistic: str, entries: Sequence[tuple[str, str, str]]
) -> str:
    """SHA-256 of who is in one padded sum: (site, ciphertext's hash, sealed seed's hash) each.

    Both stewards compute it from what the sites signed; they act for the same one or not at all.
    """
    listed: list[JsonValue] = [list(entry) for entry in entries]
    return json_hash([manifest.digest(), round, statistic, listed])


def check_trusted(
    manifest: Manifest, trusted: Mapping[str, str] | None, on_refusal: OnRefusal
) -> None:
    """Refuse a manifest with a party that is unknown or known under another identity.

    Privacy: this is what stops a coordinator from filling a roster with sites of its own making.
    With `None` any identity is accepted, which only a simulation can afford.
    """
    if trusted is None:
        return
    for party in manifest.parties:
        if trusted.get(party.name) != party.identity:
            raise refusal(f"{party.name!r} is not a trusted party or changed its key", on_refusal)


def check_advertisements(
    manifest: Manifest,
    advertisements: Sequence[Envelope],
    *,
    attempt: int,
    on_refusal: OnRefusal,
) -> Roster:
    """Verify the signed ephemeral keys of `k_min` or more sites, in roster order."""
    sites = tuple(envelope.header.sender for envelope in advertisements)
    if list(sites) != sorted(set(sites)) or not set(sites) <= set(manifest.sites):
        raise refusal("signatures are not one per site in roster order", on_refusal)
    if len(sites) < manifest.k_min:
        raise refusal("fewer sites in the roster than k_min", on_refusal)
    keys = []
    anyone = advertise_header(manifest, attempt=attempt, site="")
    parties = {party.name: party for party in manifest.roster}
    for envelope in advertisements:
        party = parties[envelope.header.sender]
        expected = replace(anyone, sender=party.name)
        header = open_envelope(
            envelope, signer=party.identity, expected=expected, on_refusal=on_refusal
        )
        keys.append(_key_bytes(header.key, on_refusal))
    if any(a == b for a, b in pairwise(sorted(keys))):
        raise refusal("two sites advertised the same ephemeral key", on_refusal)
    return Roster(attempt=attempt, sites=sites, keys=tuple(keys))


def check_freezes(
    manifest: Manifest, freezes: Sequence[Envelope], *, roster: Roster, on_refusal: OnRefusal
) -> None:
    """Verify that every site of the roster signed this roster."""
    parties = {party.name: party for party in manifest.roster}
    if tuple(envelope.header.sender for envelope in freezes) != roster.sites or not (
        parties.keys() >= set(roster.sites)
    ):
        raise refusal("signatures are not one per site in roster order", on_refusal)
    anyone = freeze_header(
        manifest, attempt=roster.attempt, site="", roster_hash=roster.digest(manifest)
    )
    for envelope in freezes:
        party = parties[envelope.header.sender]
        expected = replace(anyone, sender=party.name)
        open_envelope(envelope, signer=party.identity, expected=expected, on_refusal=on_refusal)


def _key_bytes(key: str, on_refusal: OnRefusal) -> bytes:
    try:
        content = bytes.fromhex(key)
    except ValueError:
        content = b""
    if len(content) != 32:
        raise refusal("an advertised key is not 32 bytes", on_refusal)
    return content
