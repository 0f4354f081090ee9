"""Ours beside CKKS as NVIDIA FLARE sets it, on the same model updates of ten sites.

NVIDIA FLARE (app_opt/he): polynomial degree 8192, coefficient bits 60, 40, 40, scale 2^40, one
secret key that ALL sites hold, no masks. Ours: one limb of 32 bits in units of 2^-26, as model
updates have, masked inside BFV under a steward's key. Errors against the sum of the float64
updates, N(0, 0.01^2). Seed 10.
"""

import sys

import numpy as np
import tenseal
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from measure import Table, least_cpu_seconds, library_silent
from numpy.typing import NDArray

from fedcausal_privacy.secure_sum.bfv import BfvScheme
from fedcausal_privacy.secure_sum.fixed_point import (
    decode,
    encode,
    join_limbs,
    split_limbs,
    to_words,
)
from fedcausal_privacy.secure_sum.masks import MaskContext, add_mask

NUM_SITES, FRACTION_BITS, LARGEST = 10, 26, 1.0
CONTEXT = MaskContext(run_id="run", round=1, attempt=1, statistic="0" * 64, roster_hash="1" * 64)
Vectors = NDArray[np.float64]


def main() -> None:
    """Print the table."""
    table("--quick" in sys.argv[1:])


def table(quick: bool) -> bool:
    """Print bytes, CPU and error of both, and their ratios."""
    rows = Table()
    length = 8192 * (2 if quick else 12)  # full ciphertexts for both
    updates = np.random.default_rng(10).normal(0, 0.01, (NUM_SITES, length))
    ours, theirs = _ours(updates), _ckks(updates)
    for name, of_ours, of_theirs in (
        ("bytes a value", ours[0], theirs[0]),
        ("CPU of one site, ms", ours[1], theirs[1]),
        ("CPU of the sum, ms per site", ours[2], theirs[2]),
        ("largest error of the sum", ours[3], theirs[3]),
    ):
        rows.row(f"{name}: CKKS {of_theirs:.3g}", f"{of_ours:.3g} = {of_ours / of_theirs:.2f}x")
    of_float32 = ours[0] / 4
    rows.row(
        f"bytes beside float32: CKKS {theirs[0] / 4:.1f}x",
        f"{of_float32:.2f}x",
        "<= 4.2x",
        of_float32 <= 4.2,
    )
    rounding = NUM_SITES * 2.0 ** -(FRACTION_BITS + 1)
    rows.row(
        "our error is rounding alone", f"{ours[3]:.1e}", f"<= {rounding:.1e}", ours[3] <= rounding
    )
    return rows.holds


def _ours(updates: Vectors) -> tuple[float, float, float, float]:
    scheme, keys = BfvScheme(), [X25519PrivateKey.generate() for _ in range(NUM_SITES)]
    public, secret = scheme.generate_keys()
    public_keys = [key.public_key().public_bytes_raw() for key in keys]
    bound, length = int(LARGEST * 2**FRACTION_BITS), updates.shape[1]

    def upload(position: int) -> bytes:
        integers = encode(updates[position], fraction_bits=FRACTION_BITS, bound=bound)
        masked = add_mask(
            to_words(integers, 1),
            position=position,
            private=keys[position],
            peers={i: key for i, key in enumerate(public_keys) if i != position},
            context=CONTEXT,
        )
        return scheme.encrypt(public, split_limbs(masked))

    uploads = [upload(position) for position in range(NUM_SITES)]
    site, adding = least_cpu_seconds(
        5, lambda: upload(0), lambda: scheme.add(public, uploads, length=length)
    )
    total = scheme.add(public, uploads, length=length)
    summed = join_limbs(scheme.decrypt(secret, total, length=length), 1)
    error = np.abs(decode(summed, fraction_bits=FRACTION_BITS) - updates.sum(axis=0)).max()
    return len(uploads[0]) / length, site * 1e3, adding / NUM_SITES * 1e3, float(error)


def _ckks(updates: Vectors) -> tuple[float, float, float, float]:
    context = tenseal.context(
        tenseal.SCHEME_TYPE.CKKS, 8192, coeff_mod_bit_sizes=[60, 40, 40], n_threads=1
    )
    context.global_scale = 2**40
    lists = updates.tolist()

    def upload(position: int) -> bytes:
        content: bytes = tenseal.ckks_vector(context, lists[position]).serialize()
        return content

    def add(contents: list[bytes]) -> tenseal.CKKSVector:
        total = tenseal.ckks_vector_from(context, contents[0])
        for content in contents[1:]:
            total += tenseal.ckks_vector_from(context, content)
        return total

    with library_silent():
        uploads = [upload(position) for position in range(NUM_SITES)]
        site, adding = least_cpu_seconds(5, lambda: upload(0), lambda: add(uploads))
        error = np.abs(np.array(add(uploads).decrypt()) - updates.sum(axis=0)).max()
    return len(uploads[0]) / updates.shape[1], site * 1e3, adding / NUM_SITES * 1e3, float(error)


if __name__ == "__main__":
    main()
