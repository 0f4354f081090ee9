"""From a request to its public spec, the same at every party."""

from collections.abc import Mapping
from dataclasses import replace

from fedcausal.errors import ProtocolError
from fedcausal.statistics.kind import PublicKind, Request
from fedcausal.statistics.range_kind import is_edge, unbounded
from fedcausal.statistics.records import takes_all, takes_complete, with_pattern_entries
from fedcausal.study import Study
from fedcausal_privacy.statistic_spec import StatisticSpec

__all__ = ["derive_spec", "kind_of"]


def kind_of(request: Request) -> PublicKind:
    """The kind a request names; an unknown one is a `ProtocolError`."""
    from fedcausal.statistics.registry import KINDS

    kinds: Mapping[str, PublicKind] = KINDS
    if request.kind not in kinds:
        raise ProtocolError(
            f"statistic {request.kind!r} is unknown; this version has {', '.join(sorted(kinds))}"
        )
    return kinds[request.kind]


def derive_spec(study: Study, request: Request, num_sites: int) -> StatisticSpec:
    """The spec of a request, named by the request's id, proved to stay in range.

    Privacy: reads public values only; site and coordinator compare the digests of what they
    derive, so that neither can widen a statistic alone.
    """
    _check_ranges(study, request)
    kind = kind_of(request)
    if request.records is not None and takes_all(study, kind):
        raise ProtocolError(f"{request.kind} is about all records, and lists some patterns")
    if request.records is not None and takes_complete(kind):
        raise ProtocolError(f"{request.kind} is about complete records, and lists patterns")
    spec = with_pattern_entries(kind.spec(study, request, num_sites), study, request, num_sites)
    named = replace(spec, name=request.id())
    named.check_range(num_sites)
    return named


def _check_ranges(study: Study, request: Request) -> None:
    """Refuse ranges that no release can have had: ends that are no edges of the public buckets.

    A site with rows outside a range refuses, and the coordinator sees which one did; with ends at
    will it could bisect for each site's largest value.
    """
    ranges = request.parameters.get("ranges")
    if not isinstance(ranges, Mapping):
        return
    for name in unbounded(study):
        ends = ranges.get(name, [])
        if isinstance(ends, list | tuple) and not all(is_edge(end) for end in ends):
            raise ProtocolError(f"{request.kind}: {ends} is no range of {name} that was released")
