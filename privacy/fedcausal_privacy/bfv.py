"""Exact encrypted addition: BFV behind five methods, one fixed parameter set, own framing."""

import struct
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any, Final

import numpy as np
import tenseal
from numpy.typing import NDArray
from tenseal import sealapi  # noqa: F401  (registers the types of parms())

from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.fixed_point import LimbVector

__all__ = [
    "COEFFICIENT_BITS",
    "MAX_SUMMANDS",
    "MIN_NOISE_BUDGET_BITS",
    "NUM_SLOTS",
    "PLAIN_MODULUS",
    "BfvScheme",
    "parse_public",
]

# The one allowed parameter set (SEAL's 128-bit security table admits 109 coefficient bits at
# N = 4096). The plaintext modulus is PlainModulus.Batching(4096, 42); 1000 fresh ciphertexts
# added up leave 6 bits of noise budget.
NUM_SLOTS: Final = 4096
COEFFICIENT_BITS: Final = (60, 49)
PLAIN_MODULUS: Final = 4398046486529
MAX_SUMMANDS: Final = 1000
MIN_NOISE_BUDGET_BITS: Final = 2

# Sizes are checked before any byte reaches the deserialiser (honest ones: 125 kB, 65.7 kB).
_MAX_CONTEXT_BYTES: Final = 400_000
_MAX_CHUNK_BYTES: Final = 80_000
# What TenSEAL raises on bytes that it cannot read.
_LIBRARY_ERRORS: Final = (ValueError, RuntimeError, TypeError, IndexError, MemoryError)
_COUNT: Final = struct.Struct("<I")


class BfvScheme:
    """Additively homomorphic vectors over the integers modulo `PLAIN_MODULUS`.

    A ciphertext is a sequence of chunks of `NUM_SLOTS` slots: the number of chunks, then each
    chunk's byte length and bytes. Keys and ciphertexts are plain bytes, so that no state of the
    library outlives a call.

    Assumptions: ring learning with errors at the parameters above; decryption never fails, which
    `MAX_SUMMANDS` and the check of the noise budget ensure.
    Privacy: ciphertexts carry no integrity of their own; open signed envelopes first.
    References: Fan and Vercauteren (2012), ePrint 2012/144; Li and Micciancio (2021) for why an
    approximate scheme is not used.
    """

    def generate_keys(self) -> tuple[bytes, bytes]:
        """Draw a fresh key pair: the public context for everyone, the secret one for its owner."""
        context = tenseal.context(
            tenseal.SCHEME_TYPE.BFV,
            NUM_SLOTS,
            plain_modulus=PLAIN_MODULUS,
            coeff_mod_bit_sizes=list(COEFFICIENT_BITS),
            n_threads=1,
        )
        return _context_bytes(context, secret=False), _context_bytes(context, secret=True)

    def encrypt(self, public: bytes, residues: LimbVector) -> bytes:
        """Encrypt integers of [0, PLAIN_MODULUS) under a checked public context."""
        context = parse_public(public)
        if residues.ndim != 1 or residues.size == 0 or int(residues.max()) >= PLAIN_MODULUS:
            raise ProtocolError("a vector to encrypt is empty or leaves the plaintext modulus")
        chunks = []
        for start in range(0, residues.size, NUM_SLOTS):
            slots = residues[start : start + NUM_SLOTS].astype(np.int64)
            chunks.append(tenseal.bfv_vector(context, slots).serialize())
        return _frame(chunks)

    def add(self, public: bytes, ciphertexts: Iterable[bytes], *, length: int) -> bytes:
        """Add ciphertexts of `length` values one by one; only the running sum is kept.

        The result does not depend on the order, not even in its bytes.
        """
        context = parse_public(public)
        total: list[Any] = []
        for number, ciphertext in enumerate(ciphertexts):
            if number >= MAX_SUMMANDS:
                raise ProtocolError(f"more than {MAX_SUMMANDS} ciphertexts in one sum")
            chunks = _load_chunks(context, ciphertext, length)
            total = [a + b for a, b in zip(total, chunks, strict=True)] if total else list(chunks)
        if not total:
            raise ProtocolError("a sum of no ciphertexts")
        return _frame([chunk.serialize() for chunk in total])

    def decrypt(self, secret: bytes, ciphertext: bytes, *, length: int) -> LimbVector:
        """Decrypt to residues of [0, PLAIN_MODULUS), shape (length,)."""
        chunks = _load_chunks(_parse_secret(secret), ciphertext, length)
        parts = [np.array(chunk.decrypt(), dtype=np.int64) for chunk in chunks]
        residues: NDArray[np.int64] = np.concatenate(parts) % PLAIN_MODULUS
        return residues.astype(np.uint64)

    def noise_budget(self, secret: bytes, ciphertext: bytes, *, length: int) -> int:
        """Bits of noise left in the worst chunk; below `MIN_NOISE_BUDGET_BITS`, do not decrypt."""
        context = _parse_secret(secret)
        budget = context.decryptor().data.invariant_noise_budget
        chunks = _load_chunks(context, ciphertext, length)
        return min(int(budget(chunk.ciphertext()[0])) for chunk in chunks)


@lru_cache(maxsize=8)
def parse_public(content: bytes) -> Any:
    """Open a public context and prove that it has the allowed parameters and no secret key.

    Nothing about the parameters is believed because it was sent: they are derived again from the
    opened context and compared with the constants of this module.
    """
    if len(content) > _MAX_CONTEXT_BYTES:
        raise ProtocolError("a public context is larger than any allowed one")
    context = _parse_context(content)
    if context.has_secret_key() or not context.has_public_key():
        raise ProtocolError("a public context must hold a public key and no secret key")
    return context


def _parse_secret(content: bytes) -> Any:
    context = _parse_context(content)
    if not context.has_secret_key():
        raise ProtocolError("a secret context holds no secret key")
    return context


def _parse_context(content: bytes) -> Any:
    try:
        context = tenseal.context_from(content, n_threads=1)
        data = context.seal_context().data
        parms = data.key_context_data().parms()
        found = (
            parms.scheme().name,
            parms.poly_modulus_degree(),
            tuple(modulus.bit_count() for modulus in parms.coeff_modulus()),
            parms.plain_modulus().value(),
            bool(data.parameters_set()),
        )
    except _LIBRARY_ERRORS:
        raise ProtocolError("an encryption context cannot be read") from None
    if found != ("BFV", NUM_SLOTS, COEFFICIENT_BITS, PLAIN_MODULUS, True):
        raise ProtocolError("an encryption context has parameters outside the allow-list")
    return context


def _context_bytes(context: Any, *, secret: bool) -> bytes:
    content: bytes = context.serialize(
        save_public_key=not secret,
        save_secret_key=secret,
        save_galois_keys=False,
        save_relin_keys=False,
    )
    return content


def _load_chunks(context: Any, ciphertext: bytes, length: int) -> Iterator[Any]:
    sizes = [min(NUM_SLOTS, length - start) for start in range(0, length, NUM_SLOTS)]
    chunks = _unframe(ciphertext, len(sizes))
    return (_load_chunk(context, chunk, size) for chunk, size in zip(chunks, sizes, strict=True))


def _load_chunk(context: Any, content: bytes, size: int) -> Any:
    try:
        vector = tenseal.bfv_vector_from(context, content)
        parts = vector.ciphertext()
        is_fresh_sum = len(parts) == 1 and parts[0].size() == 2 and not parts[0].is_transparent()
    except _LIBRARY_ERRORS:
        raise ProtocolError("a ciphertext cannot be read") from None
    if vector.size() != size or not is_fresh_sum:
        raise ProtocolError("a ciphertext is not a sum of fresh ciphertexts of the stated length")
    return vector


def _frame(chunks: list[bytes]) -> bytes:
    parts = [_COUNT.pack(len(chunks))]
    for chunk in chunks:
        parts += [_COUNT.pack(len(chunk)), chunk]
    return b"".join(parts)


def _unframe(content: bytes, num_chunks: int) -> list[bytes]:
    if len(content) > _COUNT.size + num_chunks * (_COUNT.size + _MAX_CHUNK_BYTES):
        raise ProtocolError("a ciphertext is larger than its length allows")
    try:
        (count,) = _COUNT.unpack_from(content, 0)
        chunks, offset = [], _COUNT.size
        for _ in range(num_chunks):
            (size,) = _COUNT.unpack_from(content, offset)
            chunks.append(content[offset + _COUNT.size : offset + _COUNT.size + size])
            offset += _COUNT.size + size
    except struct.error:
        raise ProtocolError("a ciphertext's framing is broken") from None
    if count != num_chunks or offset != len(content):
        raise ProtocolError("a ciphertext's framing is broken")
    return chunks
