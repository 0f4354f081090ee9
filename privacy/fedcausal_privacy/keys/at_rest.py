"""Secrets at rest: AES-256-GCM under a key that only the role's identity key yields."""

import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from fedcausal_privacy.canonical import canonical_json
from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.keys.identity import Identity

__all__ = ["open_at_rest", "seal_at_rest", "storage_key"]

_INFO: Final = b"fedcausal/state-at-rest/v1"
_NONCE_BYTES: Final = 12


def storage_key(identity: Identity) -> bytes:
    """The 256-bit key under which a role's run states rest.

    It is derived from the private signing key, so that a passphrase on that key protects the
    states as well, and whoever copies the states without the key copies nothing.

    References: RFC 5869 (HKDF-SHA256).
    """
    private = identity.private_key.private_bytes_raw()
    return HKDF(hashes.SHA256(), 32, salt=None, info=_INFO).derive(private)


def seal_at_rest(key: bytes, content: bytes, *, run_id: str, context_sha256: str) -> bytes:
    """Encrypt a run's state; it opens for the same run and encryption context only.

    References: NIST SP 800-38D (GCM, a random nonce of 96 bits; far fewer than 2^32 per key).
    """
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, content, _bound_to(run_id, context_sha256))


def open_at_rest(key: bytes, sealed: bytes, *, run_id: str, context_sha256: str) -> bytes:
    """Decrypt what `seal_at_rest` made; anything changed, moved or foreign is refused."""
    nonce, content = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
    try:
        return AESGCM(key).decrypt(nonce, content, _bound_to(run_id, context_sha256))
    except (InvalidTag, ValueError):
        raise ProtocolError(
            "a run's stored state was changed, or written under another identity key; "
            "start a new run"
        ) from None


def _bound_to(run_id: str, context_sha256: str) -> bytes:
    return canonical_json([run_id, context_sha256])
