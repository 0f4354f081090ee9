"""The most sites that two-steward mode takes (999): discovery and the closed-form model.

999, not 1,000: the sum of pads is one more summand, and 1,000 summands of 32 bits are what the
plaintext of the encryption holds. Seconds of CPU decide, as in `hundred`. Seed 23.
"""

from lines import Lines
from one_study import run_apart

NUM_SITES = 999
MOST_SECONDS = 600.0


def table(quick: bool) -> bool:
    """Print the table."""
    lines, number = Lines(), 100 if quick else NUM_SITES
    steps = "discovery,model"
    found = run_apart(number, seed=23, mode="two-steward", steps=steps, family="gram")
    figure = f"{found.cpu:.0f} s CPU ({found.wall:.0f} s wall)"
    lines.row(f"{number} sites: time", figure, "< 600 s", found.cpu < MOST_SECONDS)
    lines.row(f"{number} sites: peak", f"{found.megabytes:.0f} MB")
    return lines.holds
