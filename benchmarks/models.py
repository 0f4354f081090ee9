"""All benchmarks of causal models and their effects, table after table, in one run.

python benchmarks/models.py [--quick] [--only accuracy,latency,...]
python benchmarks/models.py --device cuda [--quick]

Each table is a module of `models_parts` that prints its figures beside what they should reach,
with its seeds. A table that fails is reported where it stands, and makes the exit status 1. Peers
run in an environment of their own (`requirements.txt`): that of the interpreter in PEERS, or one
made once under ~/.cache/fedcausal. With `--device` only training steps on that device are
measured; without a GPU the CPU's are, and the first line says so.
"""

import argparse
import sys
from importlib import import_module
from pathlib import Path

from one_run import print_tables

PARTS = ("accuracy", "coverage", "conformal", "latency", "fit_time", "mixed", "federated", "laws")


def main() -> int:
    """The tables asked for; the number to exit with."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--device", choices=("cpu", "cuda"))
    parser.add_argument("--quick", action="store_true")
    chosen, _ = parser.parse_known_args()
    if chosen.device is None:
        return print_tables("models_parts", PARTS, "causal models")
    sys.path.insert(0, str(Path(__file__).parent / "models_parts"))
    return 0 if import_module("device").steps(chosen.device, quick=chosen.quick) else 1


if __name__ == "__main__":
    sys.exit(main())
