"""The public contract of one run: who takes part, under which key, with which guarantees."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Final, Literal, get_args

from fedcausal_privacy.canonical import JsonValue, json_hash
from fedcausal_privacy.errors import ProtocolError

__all__ = ["MIN_SITES", "MODES", "Manifest", "Mode", "Party"]

Mode = Literal["masked", "two-steward"]
MODES: Final[tuple[Mode, ...]] = get_args(Mode)

# With two sites each learns the other's value from the total; three is the least that hides.
MIN_SITES = 3
# One sum holds at most 1000 ciphertexts; the second steward's pads are one of them.
MAX_SITES: Final[Mapping[str, int]] = {"masked": 1000, "two-steward": 999}
_HEX_64 = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """A name, the Ed25519 public key (64 hex digits) behind it, and the version of its data.

    `data_version` is the label that a site's operator gave to the rows; stewards have none.
    """

    name: str
    identity: str
    data_version: str = ""

    def __post_init__(self) -> None:
        if not self.name or _HEX_64.match(self.identity) is None:
            raise ProtocolError("a party needs a name and a public key of 64 hexadecimal digits")


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What every party agrees on before it sends a value; agreed by its digest.

    `roster` are the sites sorted by name: those who may take part. `he_sha256` pins the steward's
    public encryption context. `second_steward` and its X25519 key `pad_key` (64 hex digits) exist
    in two-steward mode only. Every sum of a run is encrypted and hidden by masks or pads:
    `secure_aggregation` is written down so that a report can show it; no other value is accepted.
    """

    run_id: str
    study_hash: str
    roster: tuple[Party, ...]
    steward: Party
    he_sha256: str
    k_min: int = MIN_SITES
    mode: Mode = "masked"
    second_steward: Party | None = None
    pad_key: str = ""
    secure_aggregation: bool = True
    _digest: str = field(default="", init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        names = [party.name for party in self.roster]
        if not self.run_id or any(not _HEX_64.match(h) for h in (self.study_hash, self.he_sha256)):
            raise ProtocolError(
                "a manifest needs a run id and two hashes of 64 hexadecimal digits"
            )
        if names != sorted(set(names)):
            raise ProtocolError("a manifest's parties need distinct names, the sites sorted")
        parties = self.parties
        if len({party.name for party in parties}) != len(parties):
            raise ProtocolError("a manifest's parties need distinct names, the sites sorted")
        if len({party.identity for party in parties}) != len(parties):
            raise ProtocolError("two parties of a manifest share an identity")
        self._check_mode()
        most = MAX_SITES[self.mode]
        if not MIN_SITES <= self.k_min <= len(names) <= most:
            raise ProtocolError(
                f"privacy.min_sites: expected {MIN_SITES} <= min_sites <= number of sites <= "
                f"{most}, got min_sites {self.k_min} with {len(names)} sites"
            )

    def _check_mode(self) -> None:
        if self.mode not in MODES:
            raise ProtocolError(
                f"privacy.mode: expected one of {', '.join(MODES)}, got {self.mode!r}"
            )
        if self.secure_aggregation is not True:
            raise ProtocolError("privacy.secure_aggregation: only true is supported")
        has_second = self.second_steward is not None and _HEX_64.match(self.pad_key) is not None
        has_none = self.second_steward is None and not self.pad_key
        if not (has_second if self.mode == "two-steward" else has_none):
            raise ProtocolError(
                "privacy.mode: two-steward needs a second steward with its key, masked has none"
            )

    @property
    def sites(self) -> tuple[str, ...]:
        """The sites' names in roster order."""
        return tuple(party.name for party in self.roster)

    @property
    def parties(self) -> tuple[Party, ...]:
        """Sites and stewards."""
        second = () if self.second_steward is None else (self.second_steward,)
        return (*self.roster, self.steward, *second)

    def party(self, site: str) -> Party:
        """The site of this name; `ProtocolError` when it is not in the roster."""
        for party in self.roster:
            if party.name == site:
                return party
        raise ProtocolError("a site is not in the manifest's roster")

    def to_json(self) -> dict[str, JsonValue]:
        """The manifest as a JSON value (what is hashed and signed)."""
        second = self.second_steward
        return {
            "run_id": self.run_id,
            "study_hash": self.study_hash,
            "roster": [_entry(party) for party in self.roster],
            "steward": _entry(self.steward),
            "he_sha256": self.he_sha256,
            "k_min": self.k_min,
            "mode": self.mode,
            "second_steward": None if second is None else _entry(second),
            "pad_key": self.pad_key,
            "secure_aggregation": self.secure_aggregation,
        }

    @classmethod
    def from_json(cls, value: JsonValue) -> "Manifest":
        """Rebuild a manifest from `to_json`; anything else is a `ProtocolError`."""
        entries = {entry.name for entry in fields(cls) if entry.init}
        if not isinstance(value, Mapping) or set(value) != entries:
            raise ProtocolError("a manifest has missing or unknown entries")
        roster, k_min, secure = value["roster"], value["k_min"], value["secure_aggregation"]
        if not isinstance(roster, list) or type(k_min) is not int or secure is not True:
            raise ProtocolError("a manifest cannot be read")
        modes: dict[JsonValue, Mode] = {mode: mode for mode in MODES}
        mode = modes.get(_text(value["mode"]))
        if mode is None:
            raise ProtocolError("a manifest asks for a mode that this version does not have")
        second = value["second_steward"]
        return cls(
            run_id=_text(value["run_id"]),
            study_hash=_text(value["study_hash"]),
            roster=tuple(_party(entry) for entry in roster),
            steward=_party(value["steward"]),
            he_sha256=_text(value["he_sha256"]),
            k_min=k_min,
            mode=mode,
            second_steward=None if second is None else _party(second),
            pad_key=_text(value["pad_key"]),
        )

    def digest(self) -> str:
        """SHA-256 of the canonical JSON; computed once, for every header names it."""
        if not self._digest:
            object.__setattr__(self, "_digest", json_hash(self.to_json()))
        return self._digest


def _entry(party: Party) -> list[JsonValue]:
    return [party.name, party.identity, party.data_version]


def _text(value: JsonValue) -> str:
    if not isinstance(value, str):
        raise ProtocolError("a manifest cannot be read")
    return value


def _party(value: JsonValue) -> Party:
    if not isinstance(value, list) or len(value) != 3:
        raise ProtocolError("a manifest cannot be read")
    return Party(name=_text(value[0]), identity=_text(value[1]), data_version=_text(value[2]))
