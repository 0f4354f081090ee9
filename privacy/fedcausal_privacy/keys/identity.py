"""Ed25519 identities: who signs a message, and how the key rests on disk."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from fedcausal_privacy.canonical import fingerprint, sha256_hex
from fedcausal_privacy.errors import InputError

__all__ = ["Identity", "verify"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The long-lived signing key of one party; `public` (64 hex digits) is its name to others.

    Privacy: the private key signs headers and never leaves the process except through `store`.
    """

    private_key: Ed25519PrivateKey = field(repr=False)

    @classmethod
    def generate(cls) -> "Identity":
        """Draw a fresh identity from the operating system's randomness."""
        return cls(private_key=Ed25519PrivateKey.generate())

    @property
    def public(self) -> str:
        """The public key as 64 hexadecimal digits."""
        return self.private_key.public_key().public_bytes_raw().hex()

    def fingerprint(self) -> str:
        """Eight groups of four digits which two administrators compare by voice."""
        return fingerprint(sha256_hex(bytes.fromhex(self.public)))

    def sign(self, message: bytes) -> bytes:
        """Sign some bytes (64 bytes, deterministic)."""
        return self.private_key.sign(message)

    def store(self, path: Path, passphrase: str | None) -> None:
        """Write the key as PKCS#8 PEM into a new file that only its owner can read (0600).

        With a passphrase the key is encrypted. `None` stores it UNENCRYPTED: for simulations,
        and for services whose disk is encrypted by other means. An existing file is refused,
        so that an identity is never overwritten.
        """
        content = self.private_key.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, _encryption(passphrase)
        )
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise InputError(
                f"{path}: expected no file, found one; an identity is never overwritten, "
                "name another file or move this one away"
            ) from None
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

    @classmethod
    def load(cls, path: Path, passphrase: str | None) -> "Identity":
        """Read a key written by `store`; `InputError` when it is absent, other, or locked."""
        secret = None if passphrase is None else passphrase.encode()
        try:
            key = load_pem_private_key(Path(path).read_bytes(), secret)
        except FileNotFoundError:
            raise InputError(f"{path}: expected an identity key, found no file") from None
        except (ValueError, TypeError):
            raise InputError(
                f"{path}: expected an identity key that opens with this passphrase; "
                "check the passphrase (none for an unencrypted key)"
            ) from None
        if not isinstance(key, Ed25519PrivateKey):
            raise InputError(f"{path}: expected an Ed25519 key, found another kind of key")
        return cls(private_key=key)


def verify(public: str, message: bytes, signature: bytes) -> bool:
    """Tell whether `signature` over `message` was made by the holder of the key `public` (hex)."""
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public))
        key.verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _encryption(passphrase: str | None) -> KeySerializationEncryption:
    if passphrase is None:
        return NoEncryption()
    if not passphrase:
        raise InputError("expected a passphrase of at least one character, got an empty one")
    return BestAvailableEncryption(passphrase.encode())
