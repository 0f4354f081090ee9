"""What sites and stewards remember of one run, as frozen values that become bytes and back."""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from fedcausal_privacy.canonical import JsonValue, canonical_json
from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.secure_sum import parsing
from fedcausal_privacy.secure_sum.atoms import Members
from fedcausal_privacy.secure_sum.headers import FIRST_ATTEMPT
from fedcausal_privacy.secure_sum.manifest import MODES, Manifest, Mode
from fedcausal_privacy.secure_sum.pending import PendingSum
from fedcausal_privacy.secure_sum.roster import Roster

__all__ = ["ReleasedRoster", "SecondStewardState", "SiteState", "StewardState"]

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleasedRoster:
    """A roster over which totals of this run were released, or may have been, in an attempt."""

    attempt: int
    members: Members

    def to_json(self) -> JsonValue:
        """The entry as a JSON value."""
        return {"attempt": self.attempt, "members": dict(self.members)}


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteState:
    """What a site remembers of one run.

    Privacy: `ephemeral_key` is secret; keep the serialised state in a 0700 folder. `uploaded`
    lists the (round, statistic) pairs of this attempt whose masks or pads are used up.
    `study_hash` is the study that the site approved and `mode` the study's (None: either),
    `trusted` the identities it knows (None: any, for simulations). `released` are this run's
    rosters whose totals may be out, `known` those of other runs over the same data (the adapter
    keeps them from run to run).
    """

    name: str
    study_hash: str
    min_sites: int
    trusted: Mapping[str, str] | None
    mode: Mode | None = None
    data_version: str = ""
    known: tuple[Members, ...] = ()
    manifest: Manifest | None = None
    public_context: bytes = b""
    attempt: int = FIRST_ATTEMPT
    ephemeral_key: bytes = field(default=b"", repr=False)
    roster: Roster | None = None
    is_confirmed: bool = False
    is_closed: bool = False
    uploaded: tuple[tuple[int, str], ...] = ()
    released: tuple[ReleasedRoster, ...] = ()

    @property
    def run_id(self) -> str:
        """The run of the manifest, empty before there is one."""
        return "" if self.manifest is None else self.manifest.run_id

    def to_bytes(self) -> bytes:
        """The state as JSON bytes (secret)."""
        return canonical_json(
            {
                "name": self.name,
                "study_hash": self.study_hash,
                "min_sites": self.min_sites,
                "trusted": None if self.trusted is None else dict(self.trusted),
                "mode": self.mode,
                "data_version": self.data_version,
                "known": [dict(members) for members in self.known],
                "manifest": None if self.manifest is None else self.manifest.to_json(),
                "public_context": base64.b64encode(self.public_context).decode(),
                "attempt": self.attempt,
                "ephemeral_key": base64.b64encode(self.ephemeral_key).decode(),
                "roster": None if self.roster is None else self.roster.to_json(),
                "is_confirmed": self.is_confirmed,
                "is_closed": self.is_closed,
                "uploaded": [list(entry) for entry in self.uploaded],
                "released": [entry.to_json() for entry in self.released],
            }
        )

    @classmethod
    def from_bytes(cls, content: bytes) -> "SiteState":
        """Rebuild a state from `to_bytes`."""
        value = parsing.json_object(content)
        return cls(
            name=parsing.text(value, "name"),
            study_hash=parsing.text(value, "study_hash"),
            min_sites=parsing.integer(value, "min_sites"),
            trusted=_optional(value, "trusted", parsing.texts),
            mode=_optional(value, "mode", _mode),
            data_version=parsing.text(value, "data_version"),
            known=_known(value),
            manifest=_optional(value, "manifest", _manifest),
            public_context=_base64(value, "public_context"),
            attempt=parsing.integer(value, "attempt"),
            ephemeral_key=_base64(value, "ephemeral_key"),
            roster=_optional(value, "roster", _roster),
            is_confirmed=value.get("is_confirmed") is True,
            is_closed=value.get("is_closed") is True,
            uploaded=parsing.marks(value, "uploaded"),
            released=_released(value),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StewardState:
    """What the key steward remembers of one run.

    Privacy: `secret_context` opens every ciphertext of the run; keep the serialised state in a
    0700 folder. `spent` is append-only: the (round, statistic) pairs that were decrypted, or
    whose decryption was allowed. Attempts before `attempt` are void. `released` and `known` are
    as at a site.
    """

    name: str
    trusted: Mapping[str, str] | None
    run_id: str = ""
    public_context: bytes = b""
    secret_context: bytes = field(default=b"", repr=False)
    manifest_digest: str = ""
    attempt: int = FIRST_ATTEMPT
    roster_hash: str = ""
    pending: PendingSum | None = None
    spent: tuple[tuple[int, str], ...] = ()
    released: tuple[ReleasedRoster, ...] = ()
    known: tuple[Members, ...] = ()

    def to_bytes(self) -> bytes:
        """The state as JSON bytes (secret)."""
        return canonical_json(
            {
                "name": self.name,
                "trusted": None if self.trusted is None else dict(self.trusted),
                "run_id": self.run_id,
                "public_context": base64.b64encode(self.public_context).decode(),
                "secret_context": base64.b64encode(self.secret_context).decode(),
                "manifest_digest": self.manifest_digest,
                "attempt": self.attempt,
                "roster_hash": self.roster_hash,
                "pending": None if self.pending is None else self.pending.to_json(),
                "spent": [list(entry) for entry in self.spent],
                "released": [entry.to_json() for entry in self.released],
                "known": [dict(members) for members in self.known],
            }
        )

    @classmethod
    def from_bytes(cls, content: bytes) -> "StewardState":
        """Rebuild a state from `to_bytes`."""
        value = parsing.json_object(content)
        return cls(
            name=parsing.text(value, "name"),
            trusted=_optional(value, "trusted", parsing.texts),
            run_id=parsing.text(value, "run_id"),
            public_context=_base64(value, "public_context"),
            secret_context=_base64(value, "secret_context"),
            manifest_digest=parsing.text(value, "manifest_digest"),
            attempt=parsing.integer(value, "attempt"),
            roster_hash=parsing.text(value, "roster_hash"),
            pending=_optional(value, "pending", _pending),
            spent=parsing.marks(value, "spent"),
            released=_released(value),
            known=_known(value),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondStewardState:
    """What the second steward (two-steward mode) remembers of one run.

    Privacy: `pad_key` opens every pad seed of the run; keep the serialised state in a 0700
    folder. `spent` is append-only: one sum of pads for each (round, statistic).
    """

    name: str
    trusted: Mapping[str, str] | None
    run_id: str = ""
    pad_key: bytes = field(default=b"", repr=False)
    manifest_digest: str = ""
    spent: tuple[tuple[int, str], ...] = ()
    released: tuple[ReleasedRoster, ...] = ()
    known: tuple[Members, ...] = ()

    def to_bytes(self) -> bytes:
        """The state as JSON bytes (secret)."""
        return canonical_json(
            {
                "name": self.name,
                "trusted": None if self.trusted is None else dict(self.trusted),
                "run_id": self.run_id,
                "pad_key": base64.b64encode(self.pad_key).decode(),
                "manifest_digest": self.manifest_digest,
                "spent": [list(entry) for entry in self.spent],
                "released": [entry.to_json() for entry in self.released],
                "known": [dict(members) for members in self.known],
            }
        )

    @classmethod
    def from_bytes(cls, content: bytes) -> "SecondStewardState":
        """Rebuild a state from `to_bytes`."""
        value = parsing.json_object(content)
        return cls(
            name=parsing.text(value, "name"),
            trusted=_optional(value, "trusted", parsing.texts),
            run_id=parsing.text(value, "run_id"),
            pad_key=_base64(value, "pad_key"),
            manifest_digest=parsing.text(value, "manifest_digest"),
            spent=parsing.marks(value, "spent"),
            released=_released(value),
            known=_known(value),
        )


def _optional(
    value: Mapping[str, JsonValue],
    key: str,
    read: Callable[[Mapping[str, JsonValue], str], _Value],
) -> _Value | None:
    return None if value.get(key) is None else read(value, key)


def _manifest(value: Mapping[str, JsonValue], key: str) -> Manifest:
    return Manifest.from_json(value[key])


def _mode(value: Mapping[str, JsonValue], key: str) -> Mode:
    modes: dict[JsonValue, Mode] = {mode: mode for mode in MODES}
    text = parsing.text(value, key)
    if text not in modes:
        raise ProtocolError("a stored state cannot be read")
    return modes[text]


def _roster(value: Mapping[str, JsonValue], key: str) -> Roster:
    return Roster.from_json(value[key])


def _pending(value: Mapping[str, JsonValue], key: str) -> PendingSum:
    return PendingSum.from_json(value[key])


def _released(value: Mapping[str, JsonValue]) -> tuple[ReleasedRoster, ...]:
    return tuple(
        ReleasedRoster(
            attempt=parsing.integer(entry, "attempt"), members=parsing.texts(entry, "members")
        )
        for entry in parsing.objects(value, "released")
    )


def _known(value: Mapping[str, JsonValue]) -> tuple[Members, ...]:
    return tuple(
        {name: parsing.text(entry, name) for name in entry}
        for entry in parsing.objects(value, "known")
    )


def _base64(value: Mapping[str, JsonValue], key: str) -> bytes:
    try:
        return base64.b64decode(parsing.text(value, key), validate=True)
    except ValueError:
        raise ProtocolError("a stored state cannot be read") from None
