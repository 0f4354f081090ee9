"""What an upload costs a site: CPU beside raw TenSEAL, masks per value and peer, bytes.

`raw` encrypts and serialises the same limbs with TenSEAL alone, in turns with ours. Ours is the
site's whole upload step: key agreement, masks, limbs, encryption, hash, signature. The roster's
signatures are checked in a run's first upload and stand in a line of their own. What does not grow
with the vector weighs on short ones, so the reach is read from 10^4 values on. Seed 7; K = 10.
"""

import os
import sys

import numpy as np
from measure import Table, least_cpu_seconds, random_vectors, raw_encryption

from fedcausal_privacy.canonical import canonical_json
from fedcausal_privacy.secure_sum import aggregator, site
from fedcausal_privacy.secure_sum.fixed_point import split_limbs, to_words
from fedcausal_privacy.secure_sum.in_process import SecureSum
from fedcausal_privacy.secure_sum.masks import mask_words
from fedcausal_privacy.statistic_spec import StatisticSpec

NUM_SITES = 10


def main() -> None:
    """Print the table."""
    table("--quick" in sys.argv[1:])


def table(quick: bool) -> bool:
    """Print CPU, masks and bytes, for statistics (64 bits) and model updates (32 bits)."""
    rows = Table()
    pool = SecureSum.open([f"site{i}" for i in range(NUM_SITES)])
    pool = _first_upload(rows, pool)
    for length in (2048, 10**4, 10**5) if quick else (2048, 10**4, 10**5, 10**6):
        for limbs in (2, 1):
            _upload(rows, pool, length, limbs)
    for dtype in (np.uint64, np.uint32):
        for length in (10**4, 10**6):
            _masks(rows, np.zeros(length, dtype=dtype))
    return rows.holds


def _first_upload(rows: Table, pool: SecureSum) -> SecureSum:
    """Upload one value, which checks the roster; the run that goes on from there."""
    spec = StatisticSpec(name="first", length=1, bound=1)
    given = {name: {"first": (spec, np.ones(1, dtype=np.int64))} for name in pool.sites}
    _, posts = aggregator.ask(pool.aggregator, specs=[spec])
    (seconds,) = least_cpu_seconds(3, lambda: pool.deliver(posts[0], given))
    rows.row("first upload of a run, one value", f"{seconds * 1e3:.1f} ms")
    return pool.sum(given)[0]


def _upload(rows: Table, pool: SecureSum, length: int, limbs: int) -> None:
    spec = StatisticSpec(
        name="s", length=length, bound=2 ** (27 if limbs == 1 else 58), limbs=limbs
    )
    vector = next(random_vectors(7, 1, length, spec.bound))
    name = next(iter(pool.sites))
    state, identity = pool.sites[name], pool.identities[name]
    _, posts = aggregator.ask(pool.aggregator, specs=[spec])
    request = posts[0].message
    contributions = {"s": (spec, vector)}

    def ours() -> site.SiteState:
        return site.step(state, request, identity=identity, contributions=contributions)[0]

    raw = raw_encryption(state.public_context, split_limbs(to_words(vector, limbs)))
    raw_seconds, seconds = least_cpu_seconds(3 if length > 10**5 else 7, raw, ours)
    _, reply = site.step(state, request, identity=identity, contributions=contributions)
    sent = sum(map(len, reply.blobs.values()))
    sent += len(canonical_json(dict(reply.header)))
    per_value = sent / length
    what = f"{length} values of {32 * limbs} bits"
    ratio = seconds / raw_seconds
    is_full = length * limbs % 4096 == 0 or length >= 10**5
    rows.row(
        f"CPU, {what}: {raw_seconds * 1e3:.1f} ms raw TenSEAL",
        f"{seconds * 1e3:.1f} ms = {ratio:.2f}x",
        "<= 1.5x (from 10^4)",
        ratio <= 1.5 if length >= 10**4 else None,
    )
    if limbs == 2:
        rows.row(
            f"bytes, {what}",
            f"{per_value:.2f} a value",
            "<= 33 in full ciphertexts",
            per_value <= 33 if is_full else None,
        )
        return
    rows.row(
        f"bytes, {what}",
        f"{per_value / 4:.2f}x float32",
        "<= 4.2x (NVFLARE 14.9x)",
        per_value / 4 <= 4.2 if is_full else None,
    )


def _masks(rows: Table, words: np.ndarray) -> None:
    key = os.urandom(32)
    (seconds,) = least_cpu_seconds(7, lambda: mask_words(words, key, 1))
    nanoseconds = seconds / words.size * 1e9
    rows.row(
        f"mask, {words.size} values of {8 * words.itemsize} bits",
        f"{nanoseconds:.1f} ns a value, peer",
        "<= 25 ns",
        nanoseconds <= 25,
    )


if __name__ == "__main__":
    main()
