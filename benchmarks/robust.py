"""Sites that lie, 1 to 3 of 10: how wrong an effect becomes without and with the robust mode.

python benchmarks/robust.py [--quick] [--only sums,studies]

Errors are root mean squares over studies, in units of the same studies without a lie.
"""

import os
import sys

from one_run import print_tables

PARTS = ("sums", "studies")

if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    sys.exit(print_tables("robust_parts", PARTS, "lying sites"))
