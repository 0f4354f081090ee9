"""Signed envelopes: who says what about which sum, checked before any payload is touched."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace

from fedcausal_privacy.canonical import JsonValue, canonical_json, sha256_hex
from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.keys.identity import Identity, verify

__all__ = ["Envelope", "Header", "OnRefusal", "ignore", "open_envelope", "refusal", "seal"]

OnRefusal = Callable[[str], None]

# One way to write it: capital letters would be the same signature in other bytes.
_SIGNATURE = re.compile(r"[0-9a-f]{128}")
# Signatures of this protocol can never be mistaken for signatures of another use of the key.
_DOMAIN = b"fedcausal/envelope/v1\0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a signature vouches for.

    `statistic` is a specification's digest, `manifest` the manifest's digest, `key` a public key
    which the message announces; entries that a message does not need are empty or zero.
    """

    kind: str
    run_id: str
    sender: str
    round: int = 0
    attempt: int = 0
    statistic: str = ""
    manifest: str = ""
    roster_hash: str = ""
    he_sha256: str = ""
    key: str = ""
    payload_sha256: str = sha256_hex(b"")

    def to_json(self) -> dict[str, JsonValue]:
        """The header as a JSON value (what is signed)."""
        return {entry.name: getattr(self, entry.name) for entry in fields(self)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """A header and its Ed25519 signature; the payload travels beside it as bytes."""

    header: Header
    signature: bytes

    def to_json(self) -> dict[str, JsonValue]:
        """The envelope as a JSON value."""
        return {"header": self.header.to_json(), "signature": self.signature.hex()}

    @classmethod
    def from_json(cls, value: JsonValue) -> "Envelope":
        """Rebuild an envelope from `to_json`; anything else is a `ProtocolError`."""
        if not isinstance(value, Mapping) or set(value) != {"header", "signature"}:
            raise ProtocolError("an envelope has missing or unknown entries")
        signature = value["signature"]
        if not isinstance(signature, str) or _SIGNATURE.fullmatch(signature) is None:
            raise ProtocolError("an envelope's signature cannot be read")
        return cls(header=_header(value["header"]), signature=bytes.fromhex(signature))


def seal(identity: Identity, header: Header, payload: bytes = b"") -> Envelope:
    """Sign a header, completed by the hash of its payload."""
    complete = replace(header, payload_sha256=sha256_hex(payload))
    return Envelope(header=complete, signature=identity.sign(_signed_bytes(complete)))


def open_envelope(
    envelope: Envelope,
    payload: bytes = b"",
    *,
    signer: str,
    expected: Header,
    on_refusal: OnRefusal,
) -> Header:
    """Check signature, header and payload hash, in this order; return the header.

    Parameters
    ----------
    envelope, payload
        What came. The payload is only hashed.
    signer : str
        The public key (hex) that must have signed.
    expected : Header
        The header that must have been signed. Its `payload_sha256` is not compared (it is
        computed); its `key`, when empty, may be anything.
    on_refusal : callable
        Told the reason, for the party's own audit.

    Raises
    ------
    ProtocolError
        The same for every reason.
    """
    header = envelope.header
    if not verify(signer, _signed_bytes(header), envelope.signature):
        raise refusal(f"signature of {expected.sender!r} does not verify", on_refusal)
    complete = replace(
        expected, key=expected.key or header.key, payload_sha256=header.payload_sha256
    )
    if header != complete:
        wrong = [
            f.name for f in fields(Header) if getattr(header, f.name) != getattr(complete, f.name)
        ]
        raise refusal(f"header of {expected.sender!r} differs in {', '.join(wrong)}", on_refusal)
    if sha256_hex(payload) != header.payload_sha256:
        raise refusal(f"payload of {expected.sender!r} is not the signed one", on_refusal)
    return header


def refusal(reason: str, on_refusal: OnRefusal) -> ProtocolError:
    """Tell the local audit the reason; give back the one error that others may see."""
    on_refusal(reason)
    return ProtocolError("a message was refused; nothing was revealed")


def ignore(reason: str) -> None:
    """Keep no audit of refusals (the default of tests and of one-process runs)."""


def _signed_bytes(header: Header) -> bytes:
    return _DOMAIN + canonical_json(header.to_json())


def _header(value: JsonValue) -> Header:
    names = {entry.name for entry in fields(Header)}
    if not isinstance(value, Mapping) or set(value) != names:
        raise ProtocolError("an envelope's header has missing or unknown entries")
    numbers = {name: value[name] for name in ("round", "attempt")}
    texts = {name: value[name] for name in names - set(numbers)}
    if any(type(n) is not int for n in numbers.values()) or not all(
        isinstance(text, str) for text in texts.values()
    ):
        raise ProtocolError("an envelope's header has an entry of the wrong type")
    return Header(**{**numbers, **texts})  # type: ignore[arg-type]
