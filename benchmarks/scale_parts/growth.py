"""How CPU and memory of the standard study grow with the number of sites.

Whole studies in-process, every message serialised: 10, 30, 100 and 300 sites, masked and
two-steward. In one process the CPU of all sites adds up, so that work which every site does once
is linear here; the last column is the exponent between two rows (1 is linear). Seed 21.
"""

import math

from lines import Lines
from one_study import run_apart

NUMBERS = (10, 30, 100, 300)
STEPS = "discovery,model,effects"
MOST_EXPONENT = 1.5


def table(quick: bool) -> bool:
    """Print the table; a growth that is nearer to the square than to the number falls short."""
    lines = Lines()
    for mode in ("masked", "two-steward"):
        before = None
        for number in NUMBERS[:2] if quick else NUMBERS:
            found = run_apart(number, seed=21, mode=mode, steps=STEPS, family="auto")
            figure = f"{found.cpu:.1f} s CPU, {found.megabytes:.0f} MB"
            if before is None:
                lines.row(f"{mode}, K = {number}", figure)
            else:
                exponent = math.log(found.cpu / before[1]) / math.log(number / before[0])
                lines.row(
                    f"{mode}, K = {number}",
                    f"{figure}, K^{exponent:.2f}",
                    f"<= K^{MOST_EXPONENT}",
                    exponent <= MOST_EXPONENT,
                )
            before = number, found.cpu
    return lines.holds
