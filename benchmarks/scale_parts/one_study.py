"""One simulated study in a process of its own, so that its memory and CPU are its own.

The program prints one JSON object: seconds of CPU and of the wall, and the peak of memory.
Rows: made-up ones of ten numbers, 100 at each site, dealt at random. Nothing else of the study is
set: order-search over a linear basis, votes, masked sums, the model and one effect, as by default.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

__all__ = ["VARIABLES", "Measured", "run_apart"]

VARIABLES = tuple(f"x{i}" for i in range(10))
ROWS_PER_SITE = 100


@dataclass(frozen=True)
class Measured:
    """What one study took: seconds of CPU and of the wall, and its peak memory in 10^6 bytes."""

    cpu: float
    wall: float
    megabytes: float


def run_apart(num_sites: int, *, seed: int, mode: str, steps: str, family: str) -> Measured:
    """Run the study in a fresh process and measure it there."""
    options = [str(num_sites), str(seed), mode, steps, family]
    done = subprocess.run(
        [sys.executable, __file__, *options], check=True, capture_output=True, text=True
    )
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Run the study that the arguments describe."""
    num_sites, seed, mode, steps, family = sys.argv[1:]
    from fedcausal.study import Study
    from fedcausal_simulations.made_up import made_up_rows
    from fedcausal_simulations.simulation import simulate, tables_of

    study = Study.model_validate(
        {
            "study": {"name": "scale"},
            "variables": {n: {"kind": "continuous", "bounds": [-10, 10]} for n in VARIABLES},
            "privacy": {"mode": mode},
            "model": {"family": family},
            "effects": {
                "queries": [{"treatment": "x0", "outcome": "x9", "values": [0.0, 1.0]}],
            },
        }
    )
    rows = made_up_rows(study, seed=int(seed), num_rows=ROWS_PER_SITE * int(num_sites))
    tables = tables_of(rows, site_column=None, num_sites=int(num_sites), seed=int(seed))
    with tempfile.TemporaryDirectory() as folder:
        wall, cpu = time.perf_counter(), time.process_time()
        simulate(study, tables, seed=0, steps=steps.split(","), out=Path(folder) / "run")
        spent = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent["cpu"] += children.ru_utime + children.ru_stime
    spent["megabytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    sys.stdout.write(json.dumps(spent) + "\n")


if __name__ == "__main__":
    main()
