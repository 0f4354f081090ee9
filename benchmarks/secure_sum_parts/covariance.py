"""One covariance of 60 variables over 10 sites: CPU at one site beyond adding plain integers.

1891 entries (a count, 60 sums, 1830 products) fit into one ciphertext. Counted at one site are all
of its steps (greeting, one-time key, roster, upload); the peer is the plain sum of the vectors.
Seed 9.
"""

import sys

import numpy as np
from measure import Table, least_cpu_seconds, random_vectors

from fedcausal_privacy.secure_sum import aggregator, site
from fedcausal_privacy.secure_sum.in_process import SecureSum
from fedcausal_privacy.secure_sum.oracle import plain_sum
from fedcausal_privacy.statistic_spec import StatisticSpec

NUM_SITES, NUM_VARIABLES = 10, 60
LENGTH = (NUM_VARIABLES + 1) * (NUM_VARIABLES + 2) // 2


def main() -> None:
    """Print the table."""
    table("--quick" in sys.argv[1:])


def table(quick: bool) -> bool:
    """Print the cost of the steps at one site and of a whole sum in one process."""
    rows = Table()
    spec = StatisticSpec(name="gram", length=LENGTH, bound=2**58)
    vectors = list(random_vectors(9, NUM_SITES, LENGTH, spec.bound))
    names = [f"site{i}" for i in range(NUM_SITES)]
    contributions = {n: {"gram": (spec, v)} for n, v in zip(names, vectors, strict=True)}
    pool = SecureSum.open(names)
    _, posts = aggregator.ask(pool.aggregator, specs=[spec])
    upload = posts[0].message
    state, identity = pool.sites[names[0]], pool.identities[names[0]]

    def step() -> object:
        return site.step(state, upload, identity=identity, contributions=contributions[names[0]])

    repeats = 5 if quick else 15
    plain, one_upload, whole, opening = least_cpu_seconds(
        repeats,
        lambda: plain_sum(vectors, spec),
        step,
        lambda: SecureSum.open(names).sum(contributions),
        lambda: SecureSum.open(names),
    )
    _, totals = pool.sum(contributions)
    exact = (totals["gram"].totals == np.sum(vectors, axis=0)).all()
    rows.row("plain sum of ten vectors", f"{plain * 1e3:.3f} ms")
    rows.row("one site's upload", f"{one_upload * 1e3:.1f} ms")
    rows.row("opening a run (keys, roster), all parties / 10", f"{opening * 100:.1f} ms")
    per_site = (whole - plain) / NUM_SITES
    rows.row(
        "whole protocol, all parties, per site, beyond the plain sum",
        f"{per_site * 1e3:.1f} ms",
        "<= 50 ms CPU",
        per_site <= 0.05,
    )
    rows.row("total", "", "bit-identical", bool(exact))
    return rows.holds


if __name__ == "__main__":
    main()
