"""How far encryption and summing divide over the cores there are, and what the hand-over costs.

Beside the wall time (which other programs on the machine lengthen) stands this process's share of
the CPU time of one core alone: with p processes 1/p is ideal. Seed 11.
"""

import os
import sys
import time
from collections.abc import Callable

import numpy as np
from measure import Table

from fedcausal_privacy.secure_sum import chunk_workers
from fedcausal_privacy.secure_sum.bfv import BfvScheme

NUM_SUMMANDS = 10


def main() -> None:
    """Print the table."""
    table("--quick" in sys.argv[1:])


def table(quick: bool) -> bool:
    """Print both for vectors that start the workers and for later ones."""
    rows = Table()
    cores = len(os.sched_getaffinity(0))
    rows.row("cores; load of the machine", f"{cores}; {os.getloadavg()[0]:.1f}")
    if cores == 1:
        return rows.holds
    scheme = BfvScheme()
    public, _ = scheme.generate_keys()
    cases = [(2 * 10**6, "first"), (2 * 10**6, "later"), (2 * 10**5, "later")]
    if quick:
        chunk_workers._CHUNKS_WORTH_STARTING = 32
        cases = [(2 * 10**5, "first"), (4 * 10**5, "later")]
    for length, when in cases:
        limbs = np.random.default_rng(11).integers(0, 2**32, length, dtype=np.uint64)
        sent = scheme.encrypt(public, limbs)
        for name, action in (
            ("encryption", lambda limbs=limbs: scheme.encrypt(public, limbs)),
            (
                f"sum of {NUM_SUMMANDS}",
                lambda sent=sent, n=length: scheme.add(public, [sent] * NUM_SUMMANDS, length=n),
            ),
        ):
            _compare(rows, f"{name}, {length} limbs, {when}", action, cores)
    return rows.holds


def _compare(rows: Table, name: str, action: Callable[[], object], cores: int) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    wall, cpu = _seconds(action)
    del os.environ["OMP_NUM_THREADS"]
    shared_wall, shared_cpu = _seconds(action)
    os.environ["OMP_NUM_THREADS"] = "1"
    rows.row(
        f"{name}: one core {wall:.2f} s, {cpu:.2f} s CPU",
        f"{shared_wall:.2f} s, CPU {shared_cpu / cpu:.0%}",
        f"ideal {1 / cores:.0%}; < 100% later",
        shared_cpu < cpu if name.endswith("later") else None,
    )


def _seconds(action: Callable[[], object]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    action()
    return time.perf_counter() - wall, time.process_time() - cpu


if __name__ == "__main__":
    main()
