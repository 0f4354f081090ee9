"""The delta of a study beside the records of a data set: the usual rule delta < 1 / n."""

import math
from collections.abc import Iterator

from fedcausal.study_file.errors import Problem
from fedcausal.study_file.sections import PrivacySection

__all__ = ["MOST_EXPECTED", "delta_problems", "fitting_delta", "has_epsilon"]

MOST_EXPECTED = 1.0
"""delta x n: as many records may be shown whole, on average, by what still is (epsilon, delta)."""

SUGGESTED_EXPECTED = 0.1


def has_epsilon(privacy: PrivacySection) -> bool:
    """Whether any part of the study is differentially private: only then delta means something."""
    return any(part is not None for part in (privacy.graph, privacy.model, privacy.effects))


def fitting_delta(num_records: int) -> float:
    """A power of ten with which at most a tenth of a record is expected to show.

    >>> fitting_delta(5_000_000)
    1e-08
    """
    return float(f"1e{math.floor(math.log10(SUGGESTED_EXPECTED / num_records))}")


def delta_problems(privacy: PrivacySection) -> Iterator[Problem]:
    """A delta that is too large for the most records that a data set may have.

    A release that shows one record in n, whole, is (0, 1 / n) differentially private: from
    delta x n = 1 on, the promise allows it. Where the study names no `max_rows`, no number of
    records is public, and `fedcausal study plan` and `fedcausal site check` look at it.

    References
    ----------
    Dwork and Roth (2014), The algorithmic foundations of differential privacy, section 2.3.
    """
    limit, delta = privacy.max_rows, float(privacy.delta)
    if limit is None or not has_epsilon(privacy) or delta * limit < MOST_EXPECTED:
        return
    yield (
        "privacy.delta",
        f"{delta:g} x {limit} records (privacy.max_rows) is {delta * limit:g}, expected below 1: "
        f"so large a delta allows a whole record to be shown; write delta = "
        f"{fitting_delta(limit):g}, or a smaller max_rows",
    )
