"""All benchmarks of causal discovery, table after table, in one run.

python benchmarks/discovery.py [--quick] [--only linear,scale,...]

Each table is a module of `discovery_parts` that prints its figures beside what they should reach,
with its seeds. A table that fails is reported where it stands, and makes the exit status 1.
"""

import sys

from one_run import print_tables

PARTS = (
    "linear",
    "scale",
    "nonlinear",
    "site_effects",
    "discrete",
    "calibration",
    "invariance",
    "pooled_marks",
)

if __name__ == "__main__":
    sys.exit(print_tables("discovery_parts", PARTS, "causal discovery"))
