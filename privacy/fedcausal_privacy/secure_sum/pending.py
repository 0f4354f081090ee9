"""A sum that is being added: some ciphertexts at a time, each site once, in bounded memory."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from fedcausal_privacy.canonical import JsonValue
from fedcausal_privacy.envelopes import Envelope
from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.secure_sum import parsing
from fedcausal_privacy.secure_sum.bfv import BfvScheme
from fedcausal_privacy.statistic_spec import StatisticSpec

__all__ = ["BATCH_BYTES", "PendingSum", "Upload"]

BATCH_BYTES: Final = 2**25
"""Ciphertexts are verified, added and passed on when so many bytes of them have come."""

# (site, ciphertext's hash, sealed seed's hash), as the site signed them.
Entry = tuple[str, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """One site's verified contribution to one round, by statistic."""

    site: str
    envelopes: Mapping[str, Envelope]
    ciphertexts: Mapping[str, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingSum:
    """Ciphertext sums of one round, as far as uploads have come.

    The memory does not depend on the number of sites but for their names and hashes: what was
    added is dropped.

    Attributes
    ----------
    specs
        The statistics of the round.
    sums
        By statistic, the encrypted sum so far.
    entries
        By statistic, who is in it, in the order of arrival.
    """

    round: int
    attempt: int
    kind: str
    roster_hash: str
    specs: tuple[StatisticSpec, ...]
    sums: Mapping[str, bytes]
    entries: Mapping[str, tuple[Entry, ...]]

    @classmethod
    def begin(
        cls, specs: Sequence[StatisticSpec], *, round: int, attempt: int, kind: str, roster: str
    ) -> "PendingSum":
        """A sum of nothing yet."""
        return cls(
            round=round,
            attempt=attempt,
            kind=kind,
            roster_hash=roster,
            specs=tuple(specs),
            sums={},
            entries={spec.name: () for spec in specs},
        )

    @property
    def sites(self) -> tuple[str, ...]:
        """Who is in the sum, sorted."""
        return tuple(sorted(entry[0] for entry in self.entries[self.specs[0].name]))

    def is_of(self, other: "PendingSum") -> bool:
        """Whether two sums are of the same round, attempt, roster and statistics."""
        empty = [replace(pending, sums={}, entries={}) for pending in (self, other)]
        return empty[0] == empty[1]

    def add(self, uploads: Sequence[Upload], *, public_context: bytes) -> "PendingSum":
        """Add some sites' verified ciphertexts to every statistic.

        Raises
        ------
        ProtocolError
            A site is in the sum already, or a ciphertext cannot be read.
        """
        names = [*self.sites, *(upload.site for upload in uploads)]
        if len(set(names)) != len(names):
            raise ProtocolError("a site is twice in one sum")
        sums, entries = dict(self.sums), dict(self.entries)
        for spec in self.specs:
            new = [upload.ciphertexts[spec.name] for upload in uploads]
            before = [sums[spec.name]] if spec.name in sums else []
            if new:
                sums[spec.name] = BfvScheme().add(
                    public_context, [*before, *new], length=spec.length * spec.limbs
                )
            headers = [(u.site, u.envelopes[spec.name].header) for u in uploads]
            entries[spec.name] += tuple(
                (site, header.payload_sha256, header.key) for site, header in headers
            )
        return replace(self, sums=sums, entries=entries)

    def holds(self, uploads: Sequence[Upload]) -> bool:
        """Whether these very ciphertexts are in the sum already, all of them."""
        return bool(uploads) and all(
            (upload.site, header.payload_sha256, header.key) in self.entries[spec.name]
            for spec in self.specs
            for upload in uploads
            for header in [upload.envelopes[spec.name].header]
        )

    def to_json(self) -> JsonValue:
        """The sum as a JSON value."""
        return {
            "round": self.round,
            "attempt": self.attempt,
            "kind": self.kind,
            "roster_hash": self.roster_hash,
            "specs": [spec.to_json() for spec in self.specs],
            "sums": {n: base64.b64encode(total).decode() for n, total in self.sums.items()},
            "entries": {n: [list(e) for e in entries] for n, entries in self.entries.items()},
        }

    @classmethod
    def from_json(cls, value: JsonValue) -> "PendingSum":
        """Rebuild a sum from `to_json`; anything else is a `ProtocolError`."""
        if not isinstance(value, Mapping):
            raise ProtocolError("a stored state cannot be read")
        specs = tuple(StatisticSpec.from_json(spec) for spec in parsing.objects(value, "specs"))
        sums, entries = parsing.texts(value, "sums"), parsing.mapping(value, "entries")
        return cls(
            round=parsing.integer(value, "round"),
            attempt=parsing.integer(value, "attempt"),
            kind=parsing.text(value, "kind"),
            roster_hash=parsing.text(value, "roster_hash"),
            specs=specs,
            sums={name: base64.b64decode(total) for name, total in sums.items()},
            entries={spec.name: _entries(entries, spec.name) for spec in specs},
        )


def _entries(value: Mapping[str, JsonValue], name: str) -> tuple[Entry, ...]:
    listed = value.get(name)
    if not isinstance(listed, list) or any(
        not isinstance(e, list) or len(e) != 3 or not all(isinstance(t, str) for t in e)
        for e in listed
    ):
        raise ProtocolError("a stored state cannot be read")
    return tuple((str(a), str(b), str(c)) for a, b, c in listed)
