"""All benchmarks of causal models and their effects, table after table, in one run.

python benchmarks/models.py [--quick] [--only coverage,...]

Each table is a module of `models_parts` that prints its figures beside what they should reach,
with its seeds. A table that fails is reported where it stands, and makes the exit status 1.
"""

import sys

from one_run import print_tables

PARTS = ("coverage",)

if __name__ == "__main__":
    sys.exit(print_tables("models_parts", PARTS, "causal models"))
