"""Which incomplete records take part in an exact sum, and the counts that vouch for it.

A request without a list is about complete records. One with a list of patterns of missing values
has, behind the entries of its kind, the records of every listed pattern and those of no listed
one; where a listed pattern has fewer than `privacy.min_cell` records in total, the steward
withholds the whole vector. So no two sums that were released, of whatever kind and list, differ
by fewer records than that because of what they lack (decision 0043).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from fedcausal.data.kept_records import COMPLETE, KeptRecords
from fedcausal.data.table import TableSource
from fedcausal.errors import DataError, ProtocolError
from fedcausal.statistics.gram_kind import max_rows_per_site
from fedcausal.statistics.kind import PrivateKind, PublicKind, Request
from fedcausal.study import Study
from fedcausal_privacy.canonical import JsonValue
from fedcausal_privacy.statistic_spec import IntVector, RecordGroups, Released, StatisticSpec

__all__ = [
    "MAX_PATTERNS",
    "LeftOut",
    "kept_records",
    "left_out_note",
    "pattern_list",
    "split_counts",
    "takes_all",
    "takes_complete",
    "with_counts",
    "with_list",
    "with_pattern_entries",
]

MAX_PATTERNS = 4096
"""The longest list: a site's vector grows by one entry for each pattern."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Records that took no part; `is_few` when there are 1 to `min_cell` - 1 of them."""

    number: int
    is_few: bool


def takes_all(study: Study, kind: PublicKind) -> bool:
    """Whether a statistic is about all records: noise hides them, or it counts patterns."""
    is_noised = isinstance(kind, PrivateKind) or getattr(study.privacy, kind.part) is not None
    return is_noised or getattr(kind, "counts_patterns", False)


def takes_complete(kind: PublicKind) -> bool:
    """Whether a statistic is about complete records alone, in any study.

    Held-out records are few, and those of a common pattern can be too few among them.
    """
    return getattr(kind, "complete_only", False)


def with_list(request: Request, patterns: Sequence[int]) -> Request:
    """The request about the records of some patterns."""
    return replace(request, records=[f"{pattern:x}" for pattern in sorted(set(patterns))])


def pattern_list(study: Study, request: Request) -> tuple[int, ...]:
    """The listed patterns of a request, ascending; complete records alone without a list.

    Raises
    ------
    ProtocolError
        The list is empty, too long, not ascending, or names more variables than there are.
    """
    listed = request.records
    if listed is None:
        return (COMPLETE,)
    found = [_pattern(value) for value in listed]
    is_sorted = found == sorted(set(found))
    limit = 1 << len(study.schema())
    if not 1 <= len(found) <= MAX_PATTERNS or not is_sorted or found[-1] >= limit:
        raise ProtocolError(f"{request.kind}: the list of patterns of missing values is malformed")
    return tuple(found)


def kept_records(study: Study, request: Request, source: TableSource) -> KeptRecords:
    """The records of a site that an exact request is about."""
    return KeptRecords(source=source, patterns=frozenset(pattern_list(study, request)))


def with_pattern_entries(
    spec: StatisticSpec, study: Study, request: Request, num_sites: int
) -> StatisticSpec:
    """The spec with entries for the records of each listed pattern, and of those left out."""
    if request.records is None:
        return spec
    start, number = spec.length, len(pattern_list(study, request))
    return replace(
        spec,
        length=start + number + 1,
        bound=max(spec.bound, max_rows_per_site(study, num_sites)),
        groups=RecordGroups(
            min_records=study.privacy.min_cell,
            listed=tuple(range(start, start + number)),
            others=start + number,
        ),
    )


def with_counts(vector: IntVector, study: Study, request: Request, kept: KeptRecords) -> IntVector:
    """A site's vector with the counts that `with_pattern_entries` makes room for."""
    if request.records is None:
        return vector
    counts = kept.counts()
    listed = [counts.get(pattern, 0) for pattern in pattern_list(study, request)]
    behind = np.array([*listed, sum(counts.values()) - sum(listed)], dtype=np.int64)
    return np.concatenate([vector, behind])


def split_counts(
    study: Study, request: Request, released: Released
) -> tuple[Released, LeftOut | None]:
    """The released total of a kind's own entries, and how many records took no part.

    Raises
    ------
    DataError
        The total was withheld because too few records have a listed pattern.
    """
    if request.records is None:
        return released, None
    end = len(released.totals) - len(pattern_list(study, request)) - 1
    if released.withheld[end:-1].any():
        raise DataError(
            "the records that lack the same values became fewer than privacy.min_cell during the "
            "run (rows changed, or a site dropped out); nothing was released, start a new run"
        )
    own = Released(totals=released.totals[:end].copy(), withheld=released.withheld[:end].copy())
    return own, LeftOut(int(released.totals[-1]), bool(released.withheld[-1]))


def _pattern(value: JsonValue) -> int:
    if isinstance(value, str):
        try:
            found = int(value, 16)
        except ValueError:
            found = -1
        if found >= 0 and f"{found:x}" == value:
            return found
    raise ProtocolError("a pattern of missing values is a number in lower-case hexadecimal")


def left_out_note(left: LeftOut | None, min_cell: int) -> str:
    """What a reader is told of records that took no part; empty when there are none."""
    if left is None or not (left.number or left.is_few):
        return ""
    number = f"Fewer than {min_cell} records" if left.is_few else f"{left.number} records"
    return (
        f"{number} were left out: fewer than {min_cell} in all lack the same values, and sums "
        "with and without them would show them."
    )
