"""The private key of an authority at rest: as it is, or encrypted under a passphrase."""

from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from fedcausal_privacy.errors import InputError

__all__ = ["is_locked", "lock_key", "unlock_key"]

_ENCRYPTED = b"BEGIN ENCRYPTED PRIVATE KEY"


def is_locked(key: bytes) -> bool:
    """Whether a private key (PEM) is encrypted."""
    return _ENCRYPTED in key


def lock_key(key: bytes, passphrase: str | None) -> bytes:
    """The key (PEM, in clear) encrypted under a passphrase; as it is without one.

    References: PKCS #8 with PBES2 (RFC 8018), as the cryptography package chooses it: AES-256-CBC
    under PBKDF2-HMAC-SHA256.
    """
    if passphrase is None:
        return key
    if not passphrase:
        raise InputError("the passphrase is empty; write one of several words into the file")
    loaded = load_pem_private_key(key, None)
    protection = BestAvailableEncryption(passphrase.encode())
    return loaded.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection)


def unlock_key(key: bytes, passphrase: str | None) -> bytes:
    """The key (PEM) in clear; one that is not encrypted needs no passphrase.

    Raises
    ------
    InputError
        The passphrase is missing or wrong, or this is no private key.
    """
    if is_locked(key) and not passphrase:
        raise InputError("the key is encrypted; give --passphrase-file with its passphrase")
    password = passphrase.encode() if passphrase and is_locked(key) else None
    try:
        loaded = load_pem_private_key(key, password)
    except ValueError:
        found = "the passphrase is not the key's" if password else "expected a private key (PEM)"
        raise InputError(f"{found}; look which file belongs to this home") from None
    return loaded.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
