"""All benchmarks of causal models and their effects, table after table, in one run.

python benchmarks/models.py [--quick] [--only accuracy,latency,...]

Each table is a module of `models_parts` that prints its figures beside what they should reach,
with its seeds. A table that fails is reported where it stands, and makes the exit status 1. Peers
run in an environment of their own (`requirements.txt`): that of the interpreter in PEERS, or one
made once under ~/.cache/fedcausal.
"""

import sys

from one_run import print_tables

PARTS = ("accuracy", "coverage", "latency", "fit_time", "mixed", "laws")

if __name__ == "__main__":
    sys.exit(print_tables("models_parts", PARTS, "causal models"))
