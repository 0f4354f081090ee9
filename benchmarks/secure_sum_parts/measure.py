"""Measuring and printing: CPU seconds, memory, and a figure beside its reach."""

import os
import resource
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tenseal
from numpy.typing import NDArray

from fedcausal_privacy.secure_sum.bfv import NUM_SLOTS, parse_public


class Table:
    """Rows of a figure, its reach and its verdict; `holds` is False once a row falls short."""

    def __init__(self) -> None:
        self.holds = True

    def row(self, name: str, figure: str, reach: str = "", holds: bool | None = None) -> None:
        """Print one line; a `holds` of None has no reach to keep."""
        verdict = "" if holds is None else "holds" if holds else "FALLS SHORT"
        self.holds = self.holds and holds is not False
        sys.stdout.write(f"{name:<58} {figure:>22}   {reach:<26} {verdict}".rstrip() + "\n")
        sys.stdout.flush()


def least_cpu_seconds(repeats: int, *actions: Callable[[], object]) -> list[float]:
    """CPU seconds of each action, the least of some repetitions, taken in turns."""
    best = [float("inf")] * len(actions)
    for _ in range(repeats):
        for number, action in enumerate(actions):
            started = time.process_time()
            action()
            best[number] = min(best[number], time.process_time() - started)
    return best


def raw_encryption(public: bytes, limbs: NDArray[np.uint64]) -> Callable[[], list[bytes]]:
    """TenSEAL alone on lists of Python integers: one vector per chunk, serialised."""
    context = parse_public(public)
    lists = [
        limbs[start : start + NUM_SLOTS].astype(np.int64).tolist()
        for start in range(0, limbs.size, NUM_SLOTS)
    ]
    return lambda: [tenseal.bfv_vector(context, chunk).serialize() for chunk in lists]


def random_vectors(
    seed: int, num_sites: int, length: int, bound: int
) -> Iterator[NDArray[np.int64]]:
    """One vector per site, entries uniform within the bound; the first two are the bound."""
    rng = np.random.default_rng(seed)
    for _ in range(num_sites):
        vector = rng.integers(-bound, bound, length, endpoint=True)
        vector[:2] = bound, -bound
        yield vector


@contextmanager
def library_silent() -> Iterator[None]:
    """Send what the C++ library prints (a warning per long CKKS vector) nowhere."""
    sys.stdout.flush()
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


class PeakMemory:
    """The largest resident memory above the start while the block runs, sampled every 5 ms."""

    def __enter__(self) -> "PeakMemory":
        self._start = self._peak = _resident_bytes()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def megabytes(self) -> float:
        """The peak above the start, in 10^6 bytes."""
        return (self._peak - self._start) / 1e6

    def _watch(self) -> None:
        while not self._stop.wait(0.005):
            self._peak = max(self._peak, _resident_bytes())


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()
