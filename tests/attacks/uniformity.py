"""What the tests of views share: a view as samples of [0, 1), and the tests for uniformity."""

import struct
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from scipy.stats import chi2, kstest

from fedcausal_privacy.secure_sum.bfv import NUM_SLOTS, parse_public

TWO_32, TWO_64 = 2.0**32, 2.0**64
# SEAL's own header of 16 bytes: magic, its length, version 4.3, zstd; then the total length.
SEAL_HEADER = bytes.fromhex("5ea110040302")


def encrypt_without_noise(public, limbs):
    """Mutant: a ciphertext's bytes with the plain numbers in both polynomials."""
    return np.resize(limbs, 2 * NUM_SLOTS * -(-limbs.size // NUM_SLOTS)).astype("<u8").tobytes()


def coefficients(public, ciphertext):
    """The coefficients of a serialised ciphertext's polynomials over their modulus."""
    modulus = parse_public(public).seal_context().data.first_context_data()
    modulus = modulus.parms().coeff_modulus()[0].value()
    parts, start = [], ciphertext.find(SEAL_HEADER)
    if start < 0:  # the mutant's bytes
        return np.frombuffer(ciphertext, dtype="<u8") / modulus
    while start >= 0:
        (size,) = struct.unpack_from("<Q", ciphertext, start + 8)
        stream = pa.BufferReader(ciphertext[start + 16 : start + size])
        plain = pa.CompressedInputStream(stream, "zstd").read()
        parts.append(np.frombuffer(plain[-2 * NUM_SLOTS * 8 :], dtype="<u8"))
        start = ciphertext.find(SEAL_HEADER, start + size)
    return np.concatenate(parts) / modulus


def uniform_limbs(limbs):
    words = joined(limbs)
    low, high = np.split(limbs, 2)
    return {"words": words / TWO_64, "low limbs": low / TWO_32, "high limbs": high / TWO_32}


def joined(limbs):
    low, high = np.split(limbs, 2)
    return low + (high << np.uint64(32))


def p_values(samples: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Kolmogorov and Smirnov's test and chi-square over 256 cells, for every sample."""
    found = {}
    for name, sample in samples.items():
        counts = np.bincount((sample * 256).astype(np.int64), minlength=256)
        expected = sample.size / 256
        statistic = ((counts - expected) ** 2 / expected).sum()
        found[f"{name}: chi-square"] = float(chi2.sf(statistic, counts.size - 1))
        found[f"{name}: KS"] = float(kstest(sample, "uniform", method="asymp").pvalue)
    return found
