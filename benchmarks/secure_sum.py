"""All benchmarks of the secure sum, table after table, in one run.

python benchmarks/secure_sum.py [--quick] [--only exactness,uploads,...]

Each table is a module of `secure_sum_parts` that prints its figures beside what they should reach
and beside a peer measured in the same run. Times are CPU seconds of this process, the least of
several repetitions, on one core (but for `cores`). A table that fails is reported where it stands
and makes the exit status 1; so does a figure that falls short.
"""

import argparse
import os
import sys
import time
import traceback
from importlib import import_module
from pathlib import Path

PARTS = (
    "exactness",
    "uploads",
    "many_sites",
    "dropouts",
    "blind_sum",
    "streaming",
    "covariance",
    "ckks",
    "cores",
)


def main() -> int:
    """Print the tables asked for; the number to exit with."""
    options = _options()
    sys.path.insert(0, str(Path(__file__).parent / "secure_sum_parts"))
    os.environ["OMP_NUM_THREADS"] = "1"
    failed = [part for part in options.only if not _print(part, options.quick)]
    if failed:
        _say(f"falls short or no table: {', '.join(failed)}")
    return 1 if failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Benchmarks of the secure sum.")
    parser.add_argument("--quick", action="store_true", help="fewer sites and shorter vectors")
    parser.add_argument("--only", type=_parts, default=PARTS, help=", ".join(PARTS))
    return parser.parse_args()


def _parts(text: str) -> tuple[str, ...]:
    chosen = tuple(text.split(","))
    for part in chosen:
        if part not in PARTS:
            raise argparse.ArgumentTypeError(f"{part!r} is none of {', '.join(PARTS)}")
    return chosen


def _print(part: str, quick: bool) -> bool:
    """Print one table; False when a figure falls short or the table failed."""
    started = time.perf_counter()
    _say(f"=== {part}")
    try:
        holds = bool(import_module(part).table(quick))
    except Exception:
        _say(traceback.format_exc())
        return False
    _say(f"--- {part}: {time.perf_counter() - started:.0f} s wall\n")
    return holds


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
