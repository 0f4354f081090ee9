"""Rows per second and peak memory of a Gram streamed from Parquet, against one bare GEMM.

python benchmarks/gram.py [--rows 1000000] [--variables 20] [--missing 0.0] [--degree 1]
"""

import argparse
import json
import resource
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fedcausal.data.rows import FileRows
from fedcausal.data.sources import RowSource
from fedcausal.moments.basis import Basis
from fedcausal.moments.gram import Gram
from fedcausal.schema import Kind, Schema, Variable

BLOCK = 2**16


def main() -> None:
    """Print one JSON object with the measurements."""
    options = _options()
    schema = Schema(
        tuple(
            Variable(name=f"x{i:02d}", kind=Kind.CONTINUOUS, bounds=(-8.0, 8.0))
            for i in range(options.variables)
        )
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        _write(path, schema, options.rows, options.missing)
        baseline = _resident_bytes()
        with _PeakMemory() as peak:
            started = time.perf_counter()
            basis = Basis.legendre(schema, dict.fromkeys(schema.names, options.degree))
            gram = Gram.from_source(basis, RowSource(rows=FileRows(str(path)), schema=schema))
            seconds = time.perf_counter() - started
    assert gram.num_rows == options.rows
    owners = enumerate(basis.owners)
    assert all(gram.squares[i, own] == gram.products[i, i] > 0 for i, own in owners)
    bare = _bare_gemm_seconds(options.rows, basis.num_features)
    report = {
        "rows": options.rows,
        "variables": options.variables,
        "missing": options.missing,
        "features": basis.num_features,
        "seconds": round(seconds, 2),
        "rows_per_second": round(options.rows / seconds),
        "ratio_to_bare_gemm": round(seconds / bare, 1),
        "peak_mb_above_baseline": round((peak.bytes - baseline) / 1e6),
        "max_resident_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3),
    }
    sys.stdout.write(json.dumps(report) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--variables", type=int, default=20)
    parser.add_argument("--missing", type=float, default=0.0)
    parser.add_argument("--degree", type=int, default=1, choices=(1, 2, 3))
    return parser.parse_args()


def _write(path: Path, schema: Schema, num_rows: int, missing: float) -> None:
    rng = np.random.default_rng(0)
    fields = pa.schema([(name, pa.float64()) for name in schema.names])
    with pq.ParquetWriter(path, fields) as writer:
        for start in range(0, num_rows, BLOCK):
            size = min(BLOCK, num_rows - start)
            rows = rng.standard_normal((size, len(schema))).clip(-8, 8)
            if missing:
                rows[rng.random(rows.shape) < missing] = np.nan
            writer.write_batch(pa.record_batch(list(rows.T), schema=fields))


def _bare_gemm_seconds(num_rows: int, num_variables: int) -> float:
    """One float64 product per block of rows that is in memory already."""
    block = np.random.default_rng(0).standard_normal((BLOCK, num_variables))
    num_blocks = max(1, round(num_rows / BLOCK))
    started = time.perf_counter()
    for _ in range(num_blocks):
        block.T @ block
    return time.perf_counter() - started


class _PeakMemory:
    """The largest resident memory while the block runs, sampled every 5 ms."""

    def __enter__(self) -> "_PeakMemory":
        self.bytes = _resident_bytes()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.005):
            self.bytes = max(self.bytes, _resident_bytes())


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


if __name__ == "__main__":
    main()
