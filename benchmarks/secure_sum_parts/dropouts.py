"""Sites that fall silent while their vectors are awaited: an exact total of the others, or none.

The whole protocol, 10^3 values, ten sites, in one process; a site in `silent` answers nothing from
the upload on. Two-steward mode goes on with those who answered. Masked mode gives the attempt up
and asks the survivors once more with fresh keys, so it costs about another upload. After a first
release a roster less few sites is refused in both modes. Seed 13.
"""

import sys
import time

import numpy as np
from measure import Table, random_vectors

from fedcausal_privacy.errors import DeadlineError
from fedcausal_privacy.secure_sum.in_process import SecureSum
from fedcausal_privacy.secure_sum.manifest import Mode
from fedcausal_privacy.statistic_spec import StatisticSpec

NUM_SITES = 10
SPEC = StatisticSpec(name="s", length=10**3, bound=2**50)
MODES: tuple[Mode, ...] = ("two-steward", "masked")


def main() -> None:
    """Print the table."""
    table("--quick" in sys.argv[1:])


def table(quick: bool) -> bool:
    """Print, for numbers of silent sites, who is in the total and whether it is exact."""
    rows = Table()
    for mode in MODES:
        for num_silent in (0, 1, 5, 7) if quick else range(8):
            _drop(rows, mode, num_silent)
        rows.row(f"{mode}: 8 of {NUM_SITES} silent", "", "no total", _fails(mode, 8))
        rows.row(
            f"{mode}: 1 of {NUM_SITES} silent after a release",
            "",
            "no total",
            _fails(mode, 1, rounds_before=1),
        )
    return rows.holds


def _drop(rows: Table, mode: Mode, num_silent: int) -> None:
    pool, vectors = _opened(mode)
    silent = sorted(vectors)[-num_silent:] if num_silent else []
    started = time.process_time()
    pool, totals = pool.sum({n: {"s": (SPEC, v)} for n, v in vectors.items()}, silent=silent)
    seconds = time.process_time() - started
    there = [name for name in vectors if name not in silent]
    plain = np.sum([vectors[name] for name in there], axis=0)
    exact = pool.aggregator.summed == tuple(there) and (totals["s"].totals == plain).all()
    rows.row(
        f"{mode}: {num_silent} of {NUM_SITES} silent, attempt {pool.aggregator.attempt}",
        f"{seconds * 1e3:.0f} ms all parties",
        f"exact over the other {len(there)}",
        bool(exact),
    )


def _fails(mode: Mode, num_silent: int, rounds_before: int = 0) -> bool:
    pool, vectors = _opened(mode)
    given = {n: {"s": (SPEC, v)} for n, v in vectors.items()}
    for _ in range(rounds_before):
        pool, _ = pool.sum(given)
    try:
        pool.sum(given, silent=sorted(vectors)[-num_silent:])
    except DeadlineError:
        return True
    return False


def _opened(mode: Mode) -> tuple[SecureSum, dict[str, np.ndarray]]:
    names = [f"site{i}" for i in range(NUM_SITES)]
    vectors = random_vectors(13, NUM_SITES, SPEC.length, SPEC.bound)
    return SecureSum.open(names, mode=mode), dict(zip(names, vectors, strict=True))


if __name__ == "__main__":
    main()
