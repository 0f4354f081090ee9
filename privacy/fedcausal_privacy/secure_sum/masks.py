"""Pairwise masks: uniform words that two sites derive alike and that cancel in the full sum."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from fedcausal_privacy.canonical import JsonValue, canonical_json
from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.secure_sum.fixed_point import WordVector

__all__ = ["MaskContext", "add_mask", "mask_words", "pair_key"]

_INFO = b"fedcausal/mask/v1"
_WORDS_PER_CHUNK = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskContext:
    """What one mask is for: two different contexts never share a mask key."""

    run_id: str
    round: int
    attempt: int
    statistic: str
    roster_hash: str

    def salt(self) -> bytes:
        """SHA-256 of the context, the salt of the key derivation."""
        digest = hashes.Hash(hashes.SHA256())
        fields: list[JsonValue] = [
            self.run_id,
            self.round,
            self.attempt,
            self.statistic,
            self.roster_hash,
        ]
        digest.update(canonical_json(fields))
        return digest.finalize()


def pair_key(
    private: X25519PrivateKey, peer: bytes, context: MaskContext, pair: tuple[int, int]
) -> bytes:
    """Derive the 256-bit mask key of two sites from their X25519 agreement.

    `pair` are the two sites' positions in the sorted roster; the order does not matter.

    References: RFC 7748 (X25519), RFC 5869 (HKDF-SHA256).
    """
    try:
        shared = private.exchange(X25519PublicKey.from_public_bytes(peer))
    except ValueError:
        raise ProtocolError("a site advertised a key that is not a usable X25519 key") from None
    info = _INFO + b"".join(position.to_bytes(4, "big") for position in sorted(pair))
    return HKDF(hashes.SHA256(), 32, salt=context.salt(), info=info).derive(shared)


def mask_words(words: WordVector, key: bytes, sign: int) -> None:
    """Add (sign = 1) or subtract (sign = -1) the key's AES-256-CTR stream, in place.

    The stream's bytes are the words themselves (little endian), hence exactly uniform on Z_2^64
    or Z_2^32; the zero nonce is safe because a key is used for one mask only.
    """
    stream = Cipher(algorithms.AES256(key), modes.CTR(bytes(16))).encryptor()
    dtype = words.dtype.newbyteorder("<")
    combine = np.add if sign > 0 else np.subtract
    zeros = bytes(_WORDS_PER_CHUNK * words.dtype.itemsize)
    for start in range(0, words.size, _WORDS_PER_CHUNK):
        part = words[start : start + _WORDS_PER_CHUNK]
        mask = np.frombuffer(stream.update(zeros[: part.nbytes]), dtype=dtype)
        combine(part, mask, out=part)


def add_mask(
    words: WordVector,
    *,
    position: int,
    private: X25519PrivateKey,
    peers: Mapping[int, bytes],
    context: MaskContext,
) -> WordVector:
    """Hide a site's words behind one mask per neighbour; the full sum of all sites is unchanged.

    Parameters
    ----------
    words : array of uint64 or uint32, shape (length,)
    position : int
        The site's own place in the roster.
    private : X25519PrivateKey
        The site's ephemeral key of this roster.
    peers : mapping of int to bytes
        Roster position of each neighbour in the mask graph (see `mask_graph`) and its advertised
        X25519 public key. Every site must have this one among its own neighbours.
    context : MaskContext
        What the sum is for.

    Returns
    -------
    array of the same type and shape
        Uniform to everyone who lacks a mask key, also given the words of all sites but those
        which are connected with this one over honest sites.

    Notes
    -----
    Assumptions: decisional Diffie-Hellman on Curve25519, AES-256 is a pseudo-random function, at
    least two neighbours keep their common mask to themselves.
    Privacy: a sum with one site missing is uniform; so is every partial sum.
    References: Bonawitz et al. (2017), doi:10.1145/3133956.3133982, section 4.0.1.
    """
    if position in peers or not peers:
        raise ProtocolError("a site needs neighbours other than itself")
    masked = words.copy()
    for other, peer in peers.items():
        key = pair_key(private, peer, context, (position, other))
        mask_words(masked, key, 1 if position < other else -1)
    return masked
