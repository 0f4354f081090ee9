"""The "patterns" statistic: how many records lack which values, before any sum of values."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fedcausal.data.kept_records import COMPLETE, pattern_counts
from fedcausal.data.table import TableSource
from fedcausal.errors import DataError, ProtocolError
from fedcausal.statistics.gram_kind import max_rows_per_site
from fedcausal.statistics.kind import Part, Request
from fedcausal.statistics.records import MAX_PATTERNS, pattern_list
from fedcausal.study import Study
from fedcausal_privacy.statistic_spec import CountTable, IntVector, Released, StatisticSpec

__all__ = [
    "EffectPatternsKind",
    "PatternsKind",
    "candidate_patterns",
    "common_patterns",
    "pairs_request",
    "patterns_request",
]

MAX_LISTED = 10
"""Up to so many variables every pattern is counted; of more, those that pairs make likely."""


class PatternsKind:
    """Counts of records by what they lack; the sums that follow leave the rare patterns out.

    Without parameters, for studies of many variables: per variable the records that lack it, and
    for each two those that lack both, or one of them alone. With `candidates`: the records of
    each of these patterns, and those of no other.

    Privacy: counts under the cell rule, on totals. The candidates are a proposal: that a pattern
    is common enough is proved again by every sum that takes it in (`records`).
    """

    name: ClassVar[str] = "patterns"
    part: ClassVar[Part] = "graph"
    counts_patterns: ClassVar[bool] = True

    def spec(self, study: Study, request: Request, num_sites: int) -> StatisticSpec:
        """All entries are counts; of a variable's records, those that lack another one add up."""
        candidates, size = _candidates(study, request), len(study.schema())
        length = _Pairs(size).length if candidates is None else len(candidates) + 1
        return StatisticSpec(
            name=request.id(),
            length=length,
            bound=max_rows_per_site(study, num_sites),
            min_cell=study.privacy.min_cell,
            counts=tuple(range(length)),
            tables=_Pairs(size).tables() if candidates is None else (),
        )

    def compute(
        self, study: Study, request: Request, source: TableSource, rng: np.random.Generator
    ) -> IntVector:
        """The site's counts."""
        candidates, counts = _candidates(study, request), pattern_counts(source)
        cap = max_rows_per_site(study, study.privacy.min_sites)
        if not 2 <= sum(counts.values()) <= cap:
            raise DataError(
                f"expected 2 to {cap} rows at one site, got {sum(counts.values())}; "
                "check the data, or change privacy.max_rows of the study"
            )
        if candidates is None:
            return _Pairs(len(study.schema())).vector(counts)
        listed = [counts.get(pattern, 0) for pattern in candidates]
        return np.array([*listed, sum(counts.values()) - sum(listed)], dtype=np.int64)

    def width(self, study: Study, request: Request) -> int:
        """Zero: counts are guarded by the cell rule."""
        return 0


class EffectPatternsKind(PatternsKind):
    """The same counts, where the graph has an epsilon or is given, and families are exact.

    Privacy: counts under the cell rule, on totals.
    """

    name: ClassVar[str] = "effect_patterns"
    part: ClassVar[Part] = "effects"


class _Pairs:
    """Where the counts of single variables and of pairs stand.

    In order: records that lack i, for each i; records that lack i and j, for i < j; records that
    lack i and have j, for all i and j.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.both = np.zeros((size, size), dtype=np.int64)
        upper = np.triu_indices(size, 1)
        self.both[upper] = self.both.T[upper] = size + np.arange(len(upper[0]))
        self.one = size + len(upper[0]) + np.arange(size * size).reshape(size, size)
        self.length = size + len(upper[0]) + size * size

    def tables(self) -> tuple[CountTable, ...]:
        """The records that lack i are those that lack j as well and those that have it."""
        return tuple(
            CountTable(cells=(int(self.both[i, j]), int(self.one[i, j])), shape=(2,))
            for i in range(self.size)
            for j in range(self.size)
            if i != j
        )

    def vector(self, counts: Mapping[int, int]) -> IntVector:
        """The counts of a site whose records have these patterns."""
        joint = np.zeros((self.size, self.size), dtype=np.int64)
        for pattern, number in counts.items():
            lacks = [i for i in range(self.size) if pattern >> i & 1]
            joint[np.ix_(lacks, lacks)] += number
        single, vector = np.diag(joint), np.zeros(self.length, dtype=np.int64)
        vector[: self.size] = single
        upper = np.triu_indices(self.size, 1)
        vector[self.both[upper]] = joint[upper]
        vector[self.one] = single[:, None] - joint
        return vector

    def blocks(self, released: Released) -> list[int]:
        """Variables that many records lack, as patterns; joined where nobody lacks one alone."""
        if released.totals.shape != (self.length,):
            raise ProtocolError(f"expected {self.length} counts, got {released.totals.size}")
        lacking = np.flatnonzero(released.totals[: self.size] > 0).tolist()
        totals, withheld = released.totals[self.one], released.withheld[self.one]
        is_none: NDArray[np.bool_] = (totals == 0) & ~withheld
        blocks: list[list[int]] = []
        for i in lacking:
            home = next((b for b in blocks if all(is_none[i, j] & is_none[j, i] for j in b)), None)
            if home is None:
                blocks.append([i])
            else:
                home.append(i)
        return [sum(1 << i for i in block) for block in blocks]


def pairs_request(*, of_effects: bool = False) -> Request:
    """The first request where there are more variables than all patterns can be counted of."""
    return Request(kind=_name(of_effects))


def patterns_request(candidates: Iterable[int], *, of_effects: bool = False) -> Request:
    """Ask for the counts of some patterns."""
    listed = [f"{pattern:x}" for pattern in sorted(set(candidates))]
    return Request(kind=_name(of_effects), parameters={"candidates": listed})


def candidate_patterns(study: Study, pairs: tuple[Request, Released] | None) -> list[int] | None:
    """What to count: every pattern of few variables, else unions of the blocks of pairs.

    None while the pairs of a study of many variables are not known.
    """
    size = len(study.schema())
    if size <= MAX_LISTED:
        return list(range(1 << size))
    if pairs is None:
        return None
    return _unions(_Pairs(size).blocks(pairs[1]))


def common_patterns(study: Study, request: Request, released: Released) -> tuple[int, ...] | None:
    """The patterns that enough records have; None where all records are complete.

    Raises
    ------
    DataError
        No pattern is common.
    """
    candidates = _candidates(study, request)
    if candidates is None or released.totals.shape != (len(candidates) + 1,):
        raise ProtocolError("expected the counts of a list of patterns, got something else")
    found = tuple(p for p, n in zip(candidates, released.totals, strict=False) if n > 0)
    if not found:
        raise DataError(
            f"the records lack so many different values that fewer than {study.privacy.min_cell} "
            "have any one pattern; leave variables out of the study that many records lack"
        )
    is_all = found == (COMPLETE,) and released.totals[-1] == 0 and not released.withheld.any()
    return None if is_all else found


def _unions(blocks: Sequence[int]) -> list[int]:
    """All unions of some blocks, of fewest first, as many as may be listed."""
    found = [COMPLETE]
    for size in range(1, len(blocks) + 1):
        more = [sum(chosen) for chosen in combinations(blocks, size)]
        if len(found) + len(more) > MAX_PATTERNS:
            break
        found += more
    return found


def _candidates(study: Study, request: Request) -> tuple[int, ...] | None:
    """The listed patterns; None for counts of pairs."""
    if set(request.parameters) - {"candidates"} or request.records is not None:
        raise ProtocolError("a request for patterns lists candidates, and nothing else")
    listed = request.parameters.get("candidates")
    if listed is None:
        return None
    if not isinstance(listed, list | tuple):
        raise ProtocolError("a request for patterns lists candidates, and nothing else")
    return pattern_list(study, Request(kind=request.kind, records=listed))


def _name(of_effects: bool) -> str:
    return EffectPatternsKind.name if of_effects else PatternsKind.name
