"""The secure sum is the plain integer sum, bit for bit, and what it costs per site.

The whole protocol runs in both modes: identities, roster, signatures, masks (or pads), encryption,
blind sum, decryption, cell rule. In masked mode this ends at 100 sites (the full benchmark adds
one run of 300), for 1000 sites check 10^6 signatures each way; beyond it the layers below the
signatures run (key agreement, mask graph, masks, limbs, encryption, addition, decryption).
Two-steward mode has at most 999 sites.
Seeds: 100 + number of sites. Bounds: the largest that the number of sites allows.
"""

import sys
import time
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from measure import Table, random_vectors

from fedcausal_privacy.secure_sum.bfv import BfvScheme
from fedcausal_privacy.secure_sum.fixed_point import join_limbs, split_limbs, to_words
from fedcausal_privacy.secure_sum.in_process import sum_securely
from fedcausal_privacy.secure_sum.manifest import MAX_SITES, Mode
from fedcausal_privacy.secure_sum.mask_graph import neighbours
from fedcausal_privacy.secure_sum.masks import MaskContext, add_mask
from fedcausal_privacy.statistic_spec import IntVector, StatisticSpec

WHOLE_PROTOCOL = 100
WHOLE_ONCE = (300, 2)
Run = Callable[[int, StatisticSpec], tuple[IntVector, IntVector]]
CONTEXT = MaskContext(run_id="run", round=1, attempt=1, statistic="0" * 64, roster_hash="1" * 64)


def main() -> None:
    """Print the table."""
    table("--quick" in sys.argv[1:])


def table(quick: bool) -> bool:
    """Print one line for each number of sites, number of limbs and mode."""
    rows = Table()
    numbers = (3, 10, 30, 70) if quick else (3, 10, 30, 70, 100, 300, 999)
    cases = [(k, 10**4, limbs) for k in numbers for limbs in (2, 1)]
    cases += [(1000, 10**4, 2), (1000, 10**4, 1), (10, 10**6, 2)] if not quick else []
    for num_sites, length, limbs in cases:
        bits = 63 if limbs == 2 else 31
        spec = StatisticSpec(
            name="exact", length=length, bound=(2**bits - 1) // num_sites, limbs=limbs
        )
        for name, run in _ways(num_sites, limbs).items():
            started = time.process_time()
            total, plain = run(num_sites, spec)
            seconds = (time.process_time() - started) / num_sites
            rows.row(
                f"K = {num_sites}, {length} values, {bits} bits ({name})",
                f"{seconds * 1e3:.0f} ms per site",
                "bit-identical",
                bool((total == plain).all()),
            )
    return rows.holds


def _ways(num_sites: int, limbs: int) -> dict[str, Run]:
    """By name the ways in which this many sites are summed here."""
    is_whole = num_sites <= WHOLE_PROTOCOL or (num_sites, limbs) == WHOLE_ONCE
    ways: dict[str, Run] = (
        {"masked": partial(_whole_protocol, "masked")} if is_whole else {"masked, layers": _layers}
    )
    if num_sites <= MAX_SITES["two-steward"]:
        ways["two-steward"] = partial(_whole_protocol, "two-steward")
    return ways


def _vectors(num_sites: int, spec: StatisticSpec) -> Iterator[IntVector]:
    return random_vectors(100 + num_sites, num_sites, spec.length, spec.bound)


def _plain(num_sites: int, spec: StatisticSpec) -> IntVector:
    total = np.zeros(spec.length, dtype=object)
    for vector in _vectors(num_sites, spec):
        total += vector  # Python integers: this sum cannot wrap
    return total.astype(np.int64)


def _whole_protocol(
    mode: Mode, num_sites: int, spec: StatisticSpec
) -> tuple[IntVector, IntVector]:
    named = {f"site{i:04d}": v for i, v in enumerate(_vectors(num_sites, spec))}
    return sum_securely(named, spec, mode=mode).totals, _plain(num_sites, spec)


def _layers(num_sites: int, spec: StatisticSpec) -> tuple[IntVector, IntVector]:
    scheme, keys = BfvScheme(), [X25519PrivateKey.generate() for _ in range(num_sites)]
    public, secret = scheme.generate_keys()
    public_keys = [key.public_key().public_bytes_raw() for key in keys]

    def uploads() -> Iterator[bytes]:
        graph = CONTEXT.roster_hash
        for position, vector in enumerate(_vectors(num_sites, spec)):
            masked = add_mask(
                to_words(vector, spec.limbs),
                position=position,
                private=keys[position],
                peers={i: public_keys[i] for i in neighbours(position, num_sites, graph)},
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
