"""Noisy tables or the noisy Gram, for data of levels: what a study's public values say."""

from collections.abc import Iterator
from itertools import combinations
from statistics import mean

from fedcausal.private.graph_budget import is_private, num_colluding
from fedcausal.statistics.noisy_tables_kind import round_multipliers
from fedcausal.study import Study

__all__ = ["WORTH", "better_tests", "compared_lines", "share_of_records"]

WORTH = 0.7
"""Tables are better while noise leaves their tests this share of the records: between the
figures of asia at epsilon 3 (no better) and 8 (better); docs/decisions/0042."""


def share_of_records(study: Study, *, num_records: int, num_sites: int) -> float:
    """What the records are worth to a test of a pair given one variable, under the noise.

    1 / (1 + C s^2 / n): in a table of C cells of n / C records each, noise of standard deviation
    s in a cell adds so much to the statistic's variance. All tables of a round share its
    part of the budget, so s grows with the root of their number; half of the pairs are
    taken to be joined still, each tested given every neighbour of either end.

    Assumptions: the levels of a variable are about equally frequent.
    """
    levels = [variable.num_levels for variable in study.schema()]
    pairs = list(combinations(levels, 2))
    num_tables = len(pairs) * max(len(levels) / 2.0 - 1.0, 1.0)
    honest = num_sites - num_colluding(study, num_sites)
    variance = round_multipliers(study)[1] ** 2 * num_tables * num_sites / max(honest, 1)
    cells = mean(a * b for a, b in pairs) * mean(levels)
    return 1.0 / (1.0 + cells * variance / num_records)


def better_tests(study: Study, *, num_records: int, num_sites: int) -> str:
    """Choose "tables" for few variables and much budget, else "gram", one release of all pairs.

    Known before any site is asked: variables, levels, records, epsilon.
    """
    share = share_of_records(study, num_records=num_records, num_sites=num_sites)
    return "tables" if share >= WORTH else "gram"


def compared_lines(study: Study, *, num_records: int, num_sites: int) -> Iterator[str]:
    """What `study plan` says where a study under an epsilon could use either."""
    if not is_private(study) or any(not v.num_levels for v in study.schema()):
        return
    share = share_of_records(study, num_records=num_records, num_sites=num_sites)
    better = better_tests(study, num_records=num_records, num_sites=num_sites)
    yield (
        f"  noisy tables would leave a test given one variable {share:.0%} of its records: "
        f'discovery.tests = "{better}" finds more'
    )
