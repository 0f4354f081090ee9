"""One-time pads: a site hides its words alone, and only the second steward can take pads off.

A pad is the AES-256-CTR stream of a fresh seed. The seed travels sealed: to the second steward's
X25519 key of the run, bound to what it is for.
"""

import os
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from fedcausal_privacy.canonical import canonical_json
from fedcausal_privacy.errors import ProtocolError

__all__ = ["SEALED_BYTES", "SEED_BYTES", "PadContext", "fresh_seed", "open_seed", "seal_seed"]

SEED_BYTES: Final = 32
SEALED_BYTES: Final = 32 + SEED_BYTES + 16
_INFO: Final = b"fedcausal/pad-seed/v1"
# A zero nonce is safe: every seed is sealed under a key of its own (fresh ephemeral X25519).
_NONCE: Final = bytes(12)


@dataclass(frozen=True, slots=True, kw_only=True)
class PadContext:
    """What one pad is for: a seed that was sealed for one context opens in no other."""

    run_id: str
    manifest: str
    kind: str
    round: int
    statistic: str
    site: str

    def to_bytes(self) -> bytes:
        """The context's canonical bytes, which the seal authenticates."""
        return canonical_json(
            [self.run_id, self.manifest, self.kind, self.round, self.statistic, self.site]
        )


def fresh_seed() -> bytes:
    """A 256-bit seed from the operating system; one seed pads one vector."""
    return os.urandom(SEED_BYTES)


def seal_seed(seed: bytes, recipient: bytes, context: PadContext) -> bytes:
    """Seal a seed to an X25519 public key: ephemeral key, then ciphertext with its tag.

    Privacy: only the holder of the recipient's private key opens it, and only for this context.
    References: RFC 7748 (X25519), RFC 5869 (HKDF-SHA256), NIST SP 800-38D (AES-GCM).
    """
    ephemeral = X25519PrivateKey.generate()
    own = ephemeral.public_key().public_bytes_raw()
    key = _sealing_key(ephemeral, recipient, own, recipient)
    return own + AESGCM(key).encrypt(_NONCE, seed, context.to_bytes())


def open_seed(sealed: bytes, private: X25519PrivateKey, context: PadContext) -> bytes:
    """The seed of `seal_seed`; `ProtocolError` under another key or for another context."""
    if len(sealed) != SEALED_BYTES:
        raise ProtocolError("a sealed seed has another length")
    own = private.public_key().public_bytes_raw()
    key = _sealing_key(private, sealed[:32], sealed[:32], own)
    try:
        return AESGCM(key).decrypt(_NONCE, sealed[32:], context.to_bytes())
    except InvalidTag:
        raise ProtocolError("a sealed seed does not open for this key and context") from None


def _sealing_key(
    private: X25519PrivateKey, peer: bytes, ephemeral: bytes, recipient: bytes
) -> bytes:
    try:
        shared = private.exchange(X25519PublicKey.from_public_bytes(peer))
    except ValueError:
        raise ProtocolError("a key to seal with is not a usable X25519 key") from None
    return HKDF(hashes.SHA256(), 32, salt=ephemeral + recipient, info=_INFO).derive(shared)
