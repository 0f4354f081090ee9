"""One run of several tables, each a module of a folder with `table(quick)`."""

import argparse
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

__all__ = ["print_tables"]


def print_tables(folder: str, parts: Sequence[str], about: str) -> int:
    """Print the tables that the command line asks for; the number to exit with.

    A table that fails is reported where it stands; it makes the number 1, and so does one that
    returns False because a figure falls short.
    """
    parser = argparse.ArgumentParser(description=f"Benchmarks of {about}.")
    parser.add_argument("--quick", action="store_true", help="fewer and smaller cases")
    parser.add_argument("--only", type=_chosen(parts), default=parts, help=", ".join(parts))
    options = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parent / folder))
    failed = [part for part in options.only if not _print(part, options.quick)]
    if failed:
        _say(f"falls short or no table: {', '.join(failed)}")
    return 1 if failed else 0


def _chosen(parts: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    def chosen(text: str) -> tuple[str, ...]:
        names = tuple(text.split(","))
        for name in names:
            if name not in parts:
                raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(parts)}")
        return names

    return chosen


def _print(part: str, quick: bool) -> bool:
    started = time.perf_counter()
    _say(f"=== {part}")
    try:
        holds = import_module(part).table(quick) is not False
    except Exception:
        _say(traceback.format_exc())
        return False
    _say(f"--- {part}: {time.perf_counter() - started:.0f} s wall\n")
    return holds


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
