"""The frozen roster: which ephemeral keys take part, and that every site signed the same ones."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import replace
from itertools import pairwise

from fedcausal_privacy.canonical import json_hash
from fedcausal_privacy.envelopes import Envelope, OnRefusal, open_envelope, refusal
from fedcausal_privacy.manifest import Manifest
from fedcausal_privacy.secure_sum.headers import advertise_header, freeze_header

__all__ = [
    "check_advertisements",
    "check_freezes",
    "check_trusted",
    "roster_hash",
    "smallest_atom",
]


def roster_hash(manifest: Manifest, *, attempt: int, keys: Sequence[bytes]) -> str:
    """SHA-256 over the manifest, the attempt and the ephemeral keys in roster order."""
    return json_hash([manifest.digest(), attempt, [key.hex() for key in keys]])


def smallest_atom(rosters: Iterable[Set[str]]) -> int:
    """Fewest sites in a cell of the Boolean algebra that some rosters generate.

    Privacy: totals over several rosters can be added and subtracted, and two sites that are in
    the same rosters cannot be told apart by that. A smallest cell of one site is that site's
    value. Differences of pairs do not find it: {1,2,3}, {4,5,6} and {1,...,7} show site 7.

    >>> smallest_atom([{"a", "b", "c", "d"}, {"a", "b", "c"}])
    1
    """
    known = list(rosters)
    memberships = Counter(
        tuple(site in roster for roster in known) for site in set().union(*known)
    )
    return min(memberships.values(), default=0)


def check_trusted(
    manifest: Manifest, trusted: Mapping[str, str] | None, on_refusal: OnRefusal
) -> None:
    """Refuse a manifest with a party that is unknown or known under another identity.

    Privacy: this is what stops a coordinator from filling a roster with sites of its own making.
    With `None` any identity is accepted, which only a simulation can afford.
    """
    if trusted is None:
        return
    for party in (*manifest.roster, manifest.steward):
        if trusted.get(party.name) != party.identity:
            raise refusal(f"{party.name!r} is not a trusted party or changed its key", on_refusal)


def check_advertisements(
    manifest: Manifest,
    advertisements: Sequence[Envelope],
    *,
    attempt: int,
    on_refusal: OnRefusal,
) -> tuple[bytes, ...]:
    """Verify one signed ephemeral key per site, in roster order; return the keys."""
    _check_senders(manifest, advertisements, on_refusal)
    keys = []
    anyone = advertise_header(manifest, attempt=attempt, site="")
    for party, envelope in zip(manifest.roster, advertisements, strict=True):
        expected = replace(anyone, sender=party.name)
        header = open_envelope(
            envelope, signer=party.identity, expected=expected, on_refusal=on_refusal
        )
        keys.append(_key_bytes(header.key, on_refusal))
    if any(a == b for a, b in pairwise(sorted(keys))):
        raise refusal("two sites advertised the same ephemeral key", on_refusal)
    return tuple(keys)


def check_freezes(
    manifest: Manifest,
    freezes: Sequence[Envelope],
    *,
    attempt: int,
    roster_hash: str,
    on_refusal: OnRefusal,
) -> None:
    """Verify that every site of the manifest signed this roster hash."""
    _check_senders(manifest, freezes, on_refusal)
    anyone = freeze_header(manifest, attempt=attempt, site="", roster_hash=roster_hash)
    for party, envelope in zip(manifest.roster, freezes, strict=True):
        expected = replace(anyone, sender=party.name)
        open_envelope(envelope, signer=party.identity, expected=expected, on_refusal=on_refusal)


def _check_senders(
    manifest: Manifest, envelopes: Sequence[Envelope], on_refusal: OnRefusal
) -> None:
    if tuple(envelope.header.sender for envelope in envelopes) != manifest.sites:
        raise refusal("signatures are not one per site in roster order", on_refusal)


def _key_bytes(key: str, on_refusal: OnRefusal) -> bytes:
    try:
        content = bytes.fromhex(key)
    except ValueError:
        content = b""
    if len(content) != 32:
        raise refusal("an advertised key is not 32 bytes", on_refusal)
    return content
