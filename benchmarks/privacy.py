"""All benchmarks of differential privacy, table after table, in one run.

python benchmarks/privacy.py [--quick] [--only graph,shares,...]

Each table is a module of `privacy_parts` that prints its figures beside what they should reach,
with its seeds. A table that fails is reported where it stands, and makes the exit status 1.
Tables of the closed-form model under noise (`model`) and of a DP-SGD step (`dp_sgd`) belong here
as two more modules.
"""

import argparse
import sys
import time
import traceback
from importlib import import_module
from pathlib import Path

PARTS = ("graph", "shares", "accountant")


def main() -> int:
    """Print the tables asked for; the number to exit with."""
    options = _options()
    sys.path.insert(0, str(Path(__file__).parent / "privacy_parts"))
    failed = [part for part in options.only if not _print(part, options.quick)]
    if failed:
        _say(f"no table: {', '.join(failed)}")
    return 1 if failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Benchmarks of differential privacy.")
    parser.add_argument("--quick", action="store_true", help="fewer graphs and trials")
    parser.add_argument("--only", type=_parts, default=PARTS, help=", ".join(PARTS))
    return parser.parse_args()


def _parts(text: str) -> tuple[str, ...]:
    chosen = tuple(text.split(","))
    for part in chosen:
        if part not in PARTS:
            raise argparse.ArgumentTypeError(f"{part!r} is none of {', '.join(PARTS)}")
    return chosen


def _print(part: str, quick: bool) -> bool:
    """Print one table; False when it failed, with the reason in its place."""
    started = time.perf_counter()
    _say(f"=== {part}")
    try:
        import_module(part).table(quick)
    except Exception:
        _say(traceback.format_exc())
        return False
    _say(f"--- {part}: {time.perf_counter() - started:.0f} s wall\n")
    return True


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
