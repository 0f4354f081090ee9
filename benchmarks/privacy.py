"""All benchmarks of differential privacy, table after table, in one run.

python benchmarks/privacy.py [--quick] [--only graph,shares,...]

Each table is a module of `privacy_parts` that prints its figures beside what they should reach,
with its seeds. A table that fails is reported where it stands, and makes the exit status 1.
"""

import sys

from one_run import print_tables

PARTS = (
    "graph",
    "nonlinear_graph",
    "tables",
    "shares",
    "accountant",
    "closed_form",
    "dp_sgd",
)

if __name__ == "__main__":
    sys.exit(print_tables("privacy_parts", PARTS, "differential privacy"))
