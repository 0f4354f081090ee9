"""Gaussian noise and coins from a cipher: nobody can replay the noise of a private release."""

import os
from typing import Protocol

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

from fedcausal_privacy.errors import InputError

__all__ = ["NoiseSource", "SecureNoise"]

_KEY_BYTES = 32
# Large requests are cut so that a buffer stays in the processor's cache.
_CHUNK = 2**16
_PAIRS = 4

Vector = NDArray[np.float64]


class NoiseSource(Protocol):
    """Independent random numbers as float64 vectors."""

    def uniform(self, size: int) -> Vector:
        """`size` uniform numbers in the open interval (0, 1)."""
        ...

    def normal(self, size: int) -> Vector:
        """`size` standard normal numbers."""
        ...


class SecureNoise:
    """Uniform and normal numbers from an AES-256-CTR keystream under a fresh secret key.

    Each normal number is the sum of four Box-Muller normals divided by two, so that the gaps of
    floating point cannot be used to rule out neighbouring values.

    Privacy: the key comes from the operating system, is never stored and never leaves this
    object; there is no seed. A process restarted draws other noise.

    References
    ----------
    Holohan and Braghin (2021), "Secure random sampling in differential privacy",
    arXiv:2107.10138, section 4.
    """

    __slots__ = ("_keystream",)

    def __init__(self) -> None:
        self._keystream = _keystream(os.urandom(_KEY_BYTES))

    @classmethod
    def from_key(cls, key: bytes) -> "SecureNoise":
        """A source that repeats itself, for tests only; the key has 32 bytes."""
        if len(key) != _KEY_BYTES:
            raise InputError(f"expected a key of {_KEY_BYTES} bytes, got {len(key)}")
        source = cls()
        source._keystream = _keystream(key)
        return source

    def uniform(self, size: int) -> Vector:
        """`size` uniform numbers on the centres of 2^52 cells of (0, 1)."""
        numbers = np.empty(size)
        for start in range(0, size, _CHUNK):
            part = numbers[start : start + _CHUNK]
            words = np.frombuffer(self._keystream.update(bytes(8 * part.size)), dtype="<u8")
            part[:] = words >> np.uint64(12)
            part += 0.5
            part *= 2.0**-52
        return numbers

    def normal(self, size: int) -> Vector:
        """`size` hardened standard normal numbers."""
        numbers = np.empty(size)
        for start in range(0, size, _CHUNK):
            part = numbers[start : start + _CHUNK]
            part[:] = self._hardened(part.size)
        return numbers

    def _hardened(self, size: int) -> Vector:
        """Sums of four independent Box-Muller pairs sqrt(-2 ln u) (cos, sin)(2 pi v), halved."""
        half = (size + 1) // 2
        u, v = self.uniform(2 * _PAIRS * half).reshape(2, _PAIRS, half)
        radius, angle = np.sqrt(-2.0 * np.log(u)), 2.0 * np.pi * v
        pair = (radius * np.cos(angle), radius * np.sin(angle))
        sums: Vector = np.concatenate([part.sum(axis=0) for part in pair])[:size]
        sums *= _PAIRS**-0.5
        return sums


class _Keystream(Protocol):
    def update(self, data: bytes) -> bytes: ...


def _keystream(key: bytes) -> _Keystream:
    return Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor()
