"""How far one machine goes: numbers of sites, in-process, with figures beside their reach.

python benchmarks/scale.py [--quick] [--only growth,hundred,thousand,exchange]

Times are CPU seconds; each study runs in a process of its own, with one thread.
"""

import os
import sys

from one_run import print_tables

PARTS = ("exchange", "hundred", "growth", "thousand")

if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    sys.exit(print_tables("scale_parts", PARTS, "scale"))
