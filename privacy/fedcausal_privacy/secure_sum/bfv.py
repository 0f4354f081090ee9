"""Exact encrypted addition: BFV behind five methods, one fixed parameter set, own framing."""

import os
import struct
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache, partial
from typing import IO, Any, Final

import numpy as np
import tenseal
from numpy.typing import NDArray
from tenseal import sealapi  # noqa: F401  (registers the types of parms())

from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.secure_sum import chunk_workers
from fedcausal_privacy.secure_sum.fixed_point import LimbVector

__all__ = [
    "COEFFICIENT_BITS",
    "MAX_SUMMANDS",
    "MIN_NOISE_BUDGET_BITS",
    "NUM_SLOTS",
    "PLAIN_MODULUS",
    "BfvScheme",
    "most_bytes",
    "parse_public",
    "serve",
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
        chunks = [
            residues[start : start + NUM_SLOTS].astype("<u8").tobytes()
            for start in range(0, residues.size, NUM_SLOTS)
        ]
        with chunk_workers.spare_workers(len(chunks)) as workers:
            encrypt = partial(_encrypt, context)
            return _frame(chunk_workers.share(workers, public, chunks, encrypt))

    def add(self, public: bytes, ciphertexts: Iterable[bytes], *, length: int) -> bytes:
        """Add ciphertexts of `length` values one by one; only the running sum is kept.

        The result does not depend on the order, not even in its bytes, nor on the number of
        cores: each adds its own range of chunks.
        """
        context, sizes = parse_public(public), _chunk_sizes(length)
        with chunk_workers.spare_workers(len(sizes)) as lent:
            workers = [worker for worker in lent if worker.is_ready]
            own, *others = chunk_workers.divide_here_first(len(sizes), len(workers))
            pairs = zip(workers, others, strict=True)
            shared = [(worker, part) for worker, part in pairs if part.start < part.stop]
            here = _RunningSum(context, sizes[own])
            for worker, part in shared:
                worker.send(chunk_workers.SET_CONTEXT, public)
                worker.send(chunk_workers.BEGIN_SUM, *map(_COUNT.pack, sizes[part]))
            for number, ciphertext in enumerate(ciphertexts):
                if number >= MAX_SUMMANDS:
                    raise ProtocolError(f"more than {MAX_SUMMANDS} ciphertexts in one sum")
                spans = _framed_spans(ciphertext, len(sizes))
                for worker, part in shared:
                    start, end = spans[part][0][0], spans[part][-1][1]
                    worker.send(chunk_workers.ADD, memoryview(ciphertext)[start:end])
                here.add(_contents(ciphertext, spans[own]))
            total = here.chunks()
            for worker, part in shared:
                worker.send(chunk_workers.FINISH_SUM)
                total += _unframe(worker.receive(), len(sizes[part]))
        return _frame(total)

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
    opened context and compared with the constants of this module. The bytes must be the ones that
    this module would write, so that no other key and no unread rest travels along.
    """
    if len(content) > _MAX_CONTEXT_BYTES:
        raise ProtocolError("a public context is larger than any allowed one")
    context = _parse_context(content)
    if context.has_secret_key() or not context.has_public_key():
        raise ProtocolError("a public context must hold a public key and no secret key")
    if _context_bytes(context, secret=False) != content:
        raise ProtocolError("a public context must hold its public key and nothing else")
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


class _RunningSum:
    """The sum so far of some chunks; a ciphertext that was added is dropped."""

    def __init__(self, context: Any, sizes: Sequence[int]) -> None:
        self._context = context
        self._sizes = sizes
        self._total: list[Any] = []

    def add(self, chunks: Sequence[bytes]) -> None:
        loaded = (
            _load_chunk(self._context, chunk, size)
            for chunk, size in zip(chunks, self._sizes, strict=True)
        )
        if not self._total:
            self._total = list(loaded)
            return
        for total, chunk in zip(self._total, loaded, strict=True):
            total.add_(chunk)

    def __len__(self) -> int:
        return len(self._sizes)

    def chunks(self) -> list[bytes]:
        if not self._total:
            raise ProtocolError("a sum of no ciphertexts")
        return [chunk.serialize() for chunk in self._total]


def serve() -> None:
    """Answer the frames of `chunk_workers` until the pipe ends: a worker's whole life."""
    # Nothing but frames may be written to the pipe, also not by the library.
    sink = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    chunk_workers.write_frame(sink, chunk_workers.READY)
    worker = _Server(sink)
    try:
        while True:
            worker.take(*chunk_workers.read_frame(sys.stdin.buffer))
    except (EOFError, OSError, KeyboardInterrupt):
        return


class _Server:
    """What a worker remembers: a context, a sum, and why the sum was refused."""

    def __init__(self, sink: IO[bytes]) -> None:
        self._sink = sink
        self._context: Any = None
        self._sum = _RunningSum(None, ())
        self._refused = ""

    def take(self, operation: bytes, body: bytes) -> None:
        try:
            answer = self._answer(operation, body)
        except ProtocolError as error:
            self._refused = str(error)
            answer = None
        if operation in (chunk_workers.ENCRYPT, chunk_workers.FINISH_SUM):
            kind = chunk_workers.FAILURE if answer is None else chunk_workers.RESULT
            content = self._refused.encode() if answer is None else answer
            chunk_workers.write_frame(self._sink, kind, content)

    def _answer(self, operation: bytes, body: bytes) -> bytes | None:
        if operation == chunk_workers.SET_CONTEXT:
            self._context, self._refused = parse_public(body), ""
        elif operation == chunk_workers.ENCRYPT:
            return _encrypt(self._context, body)
        elif operation == chunk_workers.BEGIN_SUM:
            sizes = [size for (size,) in _COUNT.iter_unpack(body)]
            self._sum = _RunningSum(self._context, sizes)
        elif operation == chunk_workers.ADD and not self._refused:
            self._sum.add(_contents(body, _spans(body, len(self._sum), 0)))
        elif operation == chunk_workers.FINISH_SUM and not self._refused:
            return _frame(self._sum.chunks())
        return None


def _encrypt(context: Any, chunk: bytes) -> bytes:
    slots = np.frombuffer(chunk, dtype="<i8")
    content: bytes = tenseal.bfv_vector(context, slots).serialize()
    return content


def most_bytes(length: int) -> int:
    """No ciphertext of so many values is larger."""
    return _most_bytes(-(-length // NUM_SLOTS))


def _most_bytes(num_chunks: int) -> int:
    return _COUNT.size + num_chunks * (_COUNT.size + _MAX_CHUNK_BYTES)


def _chunk_sizes(length: int) -> list[int]:
    return [min(NUM_SLOTS, length - start) for start in range(0, length, NUM_SLOTS)]


def _load_chunks(context: Any, ciphertext: bytes, length: int) -> Iterator[Any]:
    sizes = _chunk_sizes(length)
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
    return _contents(content, _framed_spans(content, num_chunks))


def _framed_spans(content: bytes, num_chunks: int) -> list[tuple[int, int]]:
    """Where the chunks are, each with its length before it; wrong sizes and counts are refused."""
    if len(content) > _most_bytes(num_chunks):
        raise ProtocolError("a ciphertext is larger than its length allows")
    if content[: _COUNT.size] != _COUNT.pack(num_chunks):
        raise ProtocolError("a ciphertext's framing is broken")
    return _spans(content, num_chunks, _COUNT.size)


def _spans(content: bytes, num_chunks: int, start: int) -> list[tuple[int, int]]:
    spans = []
    try:
        for _ in range(num_chunks):
            (size,) = _COUNT.unpack_from(content, start)
            spans.append((start, start + _COUNT.size + size))
            start = spans[-1][1]
    except struct.error:
        raise ProtocolError("a ciphertext's framing is broken") from None
    if start != len(content):
        raise ProtocolError("a ciphertext's framing is broken")
    return spans


def _contents(content: bytes, spans: Sequence[tuple[int, int]]) -> list[bytes]:
    return [content[start + _COUNT.size : end] for start, end in spans]
