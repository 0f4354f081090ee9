"""The public contract of one run: who takes part, under which key, with which guarantees."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from fedcausal_privacy.canonical import JsonValue, json_hash
from fedcausal_privacy.errors import ProtocolError

__all__ = ["MIN_SITES", "Manifest", "Party"]

# With two sites each learns the other's value from the total; three is the least that hides.
MIN_SITES = 3
MAX_SITES = 1000
_HEX_64 = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """A name and the Ed25519 public key (64 hex digits) behind it."""

    name: str
    identity: str

    def __post_init__(self) -> None:
        if not self.name or _HEX_64.match(self.identity) is None:
            raise ProtocolError("a party needs a name and a public key of 64 hexadecimal digits")


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What every party agrees on before it sends a value; agreed by its digest.

    `roster` are the sites sorted by name; a site's place in it is its place in the masks.
    `he_sha256` pins the steward's public encryption context. Every sum of a run is encrypted and
    masked: `secure_aggregation` is written down so that a report can show it, and no other value
    is accepted. `mode` "masked" is the only one of this version.
    """

    run_id: str
    study_hash: str
    roster: tuple[Party, ...]
    steward: Party
    he_sha256: str
    k_min: int = MIN_SITES
    mode: Literal["masked"] = "masked"
    secure_aggregation: bool = True

    def __post_init__(self) -> None:
        names = [party.name for party in self.roster]
        keys = {party.identity for party in (*self.roster, self.steward)}
        if not self.run_id or any(not _HEX_64.match(h) for h in (self.study_hash, self.he_sha256)):
            raise ProtocolError(
                "a manifest needs a run id and two hashes of 64 hexadecimal digits"
            )
        if names != sorted(set(names)) or self.steward.name in names:
            raise ProtocolError("a manifest's parties need distinct names, the sites sorted")
        if len(keys) != len(names) + 1:
            raise ProtocolError("two parties of a manifest share an identity")
        if self.mode != "masked":
            raise ProtocolError(
                f"privacy.mode: expected 'masked', got {self.mode!r}; this version has one mode"
            )
        if self.secure_aggregation is not True:
            raise ProtocolError("privacy.secure_aggregation: only true is supported")
        if not MIN_SITES <= self.k_min <= len(names) <= MAX_SITES:
            raise ProtocolError(
                f"privacy.min_sites: expected {MIN_SITES} <= min_sites <= number of sites <= "
                f"{MAX_SITES}, got min_sites {self.k_min} with {len(names)} sites"
            )

    @property
    def sites(self) -> tuple[str, ...]:
        """The sites' names in roster order."""
        return tuple(party.name for party in self.roster)

    def to_json(self) -> dict[str, JsonValue]:
        """The manifest as a JSON value (what is hashed and signed)."""
        return {
            "run_id": self.run_id,
            "study_hash": self.study_hash,
            "roster": [[party.name, party.identity] for party in self.roster],
            "steward": [self.steward.name, self.steward.identity],
            "he_sha256": self.he_sha256,
            "k_min": self.k_min,
            "mode": self.mode,
            "secure_aggregation": self.secure_aggregation,
        }

    @classmethod
    def from_json(cls, value: JsonValue) -> "Manifest":
        """Rebuild a manifest from `to_json`; anything else is a `ProtocolError`."""
        if not isinstance(value, Mapping) or set(value) != set(cls.__dataclass_fields__):
            raise ProtocolError("a manifest has missing or unknown entries")
        roster, k_min, secure = value["roster"], value["k_min"], value["secure_aggregation"]
        if not isinstance(roster, list) or type(k_min) is not int or secure is not True:
            raise ProtocolError("a manifest cannot be read")
        if value["mode"] != "masked":
            raise ProtocolError("a manifest asks for a mode that this version does not have")
        return cls(
            run_id=_text(value["run_id"]),
            study_hash=_text(value["study_hash"]),
            roster=tuple(_party(entry) for entry in roster),
            steward=_party(value["steward"]),
            he_sha256=_text(value["he_sha256"]),
            k_min=k_min,
        )

    def digest(self) -> str:
        """SHA-256 of the canonical JSON."""
        return json_hash(self.to_json())


def _text(value: JsonValue) -> str:
    if not isinstance(value, str):
        raise ProtocolError("a manifest cannot be read")
    return value


def _party(value: JsonValue) -> Party:
    if not isinstance(value, list) or len(value) != 2:
        raise ProtocolError("a manifest cannot be read")
    return Party(name=_text(value[0]), identity=_text(value[1]))
