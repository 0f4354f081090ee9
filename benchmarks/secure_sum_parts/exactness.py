"""The secure sum is the plain integer sum, bit for bit, and what it costs per site.

Up to 100 sites the whole protocol runs: identities, roster, signatures, masks, encryption, blind
sum, decryption, cell rule. Beyond that the layers below the signatures run (key agreement, masks,
limbs, encryption, addition, decryption), for 1000 sites check 10^6 signatures each way.
Seeds: 100 + number of sites. Bounds: the largest that the number of sites allows.
"""

import sys
import time
from collections.abc import Iterator

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from measure import Table, random_vectors

from fedcausal_privacy.bfv import BfvScheme
from fedcausal_privacy.fixed_point import join_limbs, split_limbs, to_words
from fedcausal_privacy.masks import MaskContext, add_mask
from fedcausal_privacy.secure_sum.in_process import sum_securely
from fedcausal_privacy.statistic_spec import IntVector, StatisticSpec

WHOLE_PROTOCOL = 100
CONTEXT = MaskContext(run_id="run", round=1, attempt=1, statistic="0" * 64, roster_hash="1" * 64)


def main() -> None:
    """Print the table."""
    table("--quick" in sys.argv[1:])


def table(quick: bool) -> bool:
    """Print one line for each number of sites and mode."""
    rows = Table()
    lengths = {3: 10**4, 10: 10**4, 30: 10**4}
    if not quick:
        lengths |= {100: 10**4, 300: 10**4, 1000: 10**4}
    cases = [(k, n, limbs) for k, n in lengths.items() for limbs in (2, 1)]
    cases += [(10, 10**6, 2)] if not quick else []
    for num_sites, length, limbs in cases:
        bits = 63 if limbs == 2 else 31
        spec = StatisticSpec(
            name="exact", length=length, bound=(2**bits - 1) // num_sites, limbs=limbs
        )
        started = time.process_time()
        run = _whole_protocol if num_sites <= WHOLE_PROTOCOL else _layers
        total, plain = run(num_sites, spec)
        seconds = (time.process_time() - started) / num_sites
        equal = bool((total == plain).all())
        rows.row(
            f"K = {num_sites}, {length} values, {bits} bits ({run.__name__[1:]})",
            f"{seconds * 1e3:.0f} ms per site",
            "bit-identical",
            equal,
        )
    return rows.holds


def _vectors(num_sites: int, spec: StatisticSpec) -> Iterator[IntVector]:
    return random_vectors(100 + num_sites, num_sites, spec.length, spec.bound)


def _plain(num_sites: int, spec: StatisticSpec) -> IntVector:
    total = np.zeros(spec.length, dtype=object)
    for vector in _vectors(num_sites, spec):
        total += vector  # Python integers: this sum cannot wrap
    return total.astype(np.int64)


def _whole_protocol(num_sites: int, spec: StatisticSpec) -> tuple[IntVector, IntVector]:
    named = {f"site{i:04d}": v for i, v in enumerate(_vectors(num_sites, spec))}
    return sum_securely(named, spec).totals, _plain(num_sites, spec)


def _layers(num_sites: int, spec: StatisticSpec) -> tuple[IntVector, IntVector]:
    scheme, keys = BfvScheme(), [X25519PrivateKey.generate() for _ in range(num_sites)]
    public, secret = scheme.generate_keys()
    peers = [key.public_key().public_bytes_raw() for key in keys]

    def uploads() -> Iterator[bytes]:
        for position, vector in enumerate(_vectors(num_sites, spec)):
            masked = add_mask(
                to_words(vector, spec.limbs),
                position=position,
                private=keys[position],
                peers=peers,
                context=CONTEXT,
            )
            yield scheme.encrypt(public, split_limbs(masked))

    length = spec.length * spec.limbs
    total = scheme.add(public, uploads(), length=length)
    assert scheme.noise_budget(secret, total, length=length) >= 2
    limb_sums = scheme.decrypt(secret, total, length=length)
    return join_limbs(limb_sums, spec.limbs), _plain(num_sites, spec)


if __name__ == "__main__":
    main()
