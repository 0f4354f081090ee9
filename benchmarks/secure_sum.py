"""All benchmarks of the secure sum, table after table, in one run.

python benchmarks/secure_sum.py [--quick] [--only exactness,uploads,...]

Each table is a module of `secure_sum_parts` that prints its figures beside what they should reach
and beside a peer measured in the same run. Times are CPU seconds of this process, the least of
several repetitions, on one core (but for `cores`). A table that fails is reported where it stands
and makes the exit status 1; so does a figure that falls short.
"""

import os
import sys

from one_run import print_tables

PARTS = (
    "exactness",
    "uploads",
    "many_sites",
    "dropouts",
    "blind_sum",
    "streaming",
    "covariance",
    "ckks",
    "cores",
)

if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    sys.exit(print_tables("secure_sum_parts", PARTS, "the secure sum"))
