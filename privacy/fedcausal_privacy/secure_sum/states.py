"""What each role remembers of one run, as frozen values that become bytes and back."""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from fedcausal_privacy.canonical import JsonValue, canonical_json
from fedcausal_privacy.envelopes import Envelope
from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.manifest import Manifest
from fedcausal_privacy.secure_sum import parsing

__all__ = ["AggregatorState", "SiteState", "StewardState"]

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteState:
    """What a site remembers of one run.

    Privacy: `ephemeral_key` is secret; keep the serialised state in a 0700 folder. `uploaded`
    lists the (round, statistic) pairs whose masks are used up. `study_hash` is the study that
    the site approved, `trusted` the identities it knows (None: any, for simulations).
    """

    name: str
    study_hash: str
    min_sites: int
    trusted: Mapping[str, str] | None
    manifest: Manifest | None = None
    public_context: bytes = b""
    ephemeral_key: bytes = field(default=b"", repr=False)
    peers: tuple[bytes, ...] = ()
    is_confirmed: bool = False
    uploaded: tuple[tuple[int, str], ...] = ()

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
                "manifest": None if self.manifest is None else self.manifest.to_json(),
                "public_context": base64.b64encode(self.public_context).decode(),
                "ephemeral_key": base64.b64encode(self.ephemeral_key).decode(),
                "peers": [base64.b64encode(peer).decode() for peer in self.peers],
                "is_confirmed": self.is_confirmed,
                "uploaded": [list(entry) for entry in self.uploaded],
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
            manifest=_optional(value, "manifest", _manifest),
            public_context=_base64(value, "public_context"),
            ephemeral_key=_base64(value, "ephemeral_key"),
            peers=tuple(base64.b64decode(peer) for peer in parsing.strings(value, "peers")),
            is_confirmed=value.get("is_confirmed") is True,
            uploaded=parsing.marks(value, "uploaded"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StewardState:
    """What the key steward remembers of one run.

    Privacy: `secret_context` opens every ciphertext of the run; keep the serialised state in a
    0700 folder. `spent` is append-only: the (round, statistic) pairs that were decrypted, or
    whose decryption was allowed.
    """

    name: str
    trusted: Mapping[str, str] | None
    run_id: str = ""
    public_context: bytes = b""
    secret_context: bytes = field(default=b"", repr=False)
    manifest_digest: str = ""
    spent: tuple[tuple[int, str], ...] = ()

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
                "spent": [list(entry) for entry in self.spent],
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
            spent=parsing.marks(value, "spent"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AggregatorState:
    """What the aggregator remembers of one run: public values only."""

    run_id: str
    study_hash: str
    k_min: int
    manifest: Manifest | None = None
    public_context: bytes = b""
    freezes: tuple[Envelope, ...] = ()
    advertisements: tuple[Envelope, ...] = ()

    @property
    def sites(self) -> tuple[str, ...]:
        """The sites' names in roster order, empty before there is a manifest."""
        return () if self.manifest is None else self.manifest.sites

    def to_bytes(self) -> bytes:
        """The state as JSON bytes."""
        return canonical_json(
            {
                "run_id": self.run_id,
                "study_hash": self.study_hash,
                "k_min": self.k_min,
                "manifest": None if self.manifest is None else self.manifest.to_json(),
                "public_context": base64.b64encode(self.public_context).decode(),
                "advertisements": [envelope.to_json() for envelope in self.advertisements],
                "freezes": [envelope.to_json() for envelope in self.freezes],
            }
        )

    @classmethod
    def from_bytes(cls, content: bytes) -> "AggregatorState":
        """Rebuild a state from `to_bytes`."""
        value = parsing.json_object(content)
        return cls(
            run_id=parsing.text(value, "run_id"),
            study_hash=parsing.text(value, "study_hash"),
            k_min=parsing.integer(value, "k_min"),
            manifest=_optional(value, "manifest", _manifest),
            public_context=_base64(value, "public_context"),
            advertisements=parsing.envelopes(value, "advertisements"),
            freezes=parsing.envelopes(value, "freezes"),
        )


def _optional(
    value: Mapping[str, JsonValue],
    key: str,
    read: Callable[[Mapping[str, JsonValue], str], _Value],
) -> _Value | None:
    return None if value.get(key) is None else read(value, key)


def _manifest(value: Mapping[str, JsonValue], key: str) -> Manifest:
    return Manifest.from_json(value[key])


def _base64(value: Mapping[str, JsonValue], key: str) -> bytes:
    try:
        return base64.b64decode(parsing.text(value, key), validate=True)
    except ValueError:
        raise ProtocolError("a stored state cannot be read") from None
