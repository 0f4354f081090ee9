"""The statistic "likelihoods": how well candidate mechanisms predict held-out records."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from fedcausal.data.table import Table, TableSource
from fedcausal.errors import ProtocolError
from fedcausal.model.candidates import (
    Candidates,
    NodeChoice,
    candidate_from_json,
    candidate_to_json,
    choice_of,
    unit_of,
)
from fedcausal.model.families import requested_families
from fedcausal.model.family_basis import FloatArray
from fedcausal.statistics.gram_kind import max_rows_per_site
from fedcausal.statistics.kind import Request
from fedcausal.study import Study
from fedcausal_privacy.canonical import JsonValue
from fedcausal_privacy.statistic_spec import Guard, IntVector, Released, StatisticSpec

__all__ = [
    "MAX_LOG",
    "STEPS",
    "Likelihoods",
    "decode_likelihoods",
    "held",
    "likelihoods_request",
    "sums_spec",
]

MAX_LOG = 16.0
"""A record's log density is held within +- 16 nats: what one record can change."""
STEPS = 2**16
"""Integers per nat."""
MOST_CANDIDATES = 8


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Node:
    """One node's candidates, and the declared unit of its densities."""

    name: str
    members: tuple[str, ...]
    candidates: Candidates
    log_unit: float

    def sums(self, batch: Table) -> IntVector:
        """Complete records of a batch, and the sum of every candidate's log densities."""
        columns = {name: batch.column(name) for name in self.members}
        complete = ~np.any([np.isnan(c) for c in columns.values()], axis=0)
        inside = {name: column[complete] for name, column in columns.items()}
        number = int(complete.sum())
        sums = [
            held(own.log_prob(inside[self.name], inside) + self.log_unit) if number else 0
            for own in self.candidates.values()
        ]
        return np.array([number, *sums], dtype=np.int64)


class Likelihoods:
    """The request for sums of log densities over held-out records, per node and candidate.

    The request carries the candidates (all released before). Per node: the number of held-out
    records that are complete in it and its parents, then one number for each candidate.

    Privacy: a node whose number of records is below `privacy.min_cell` is withheld whole. The
    records are in no sum that a candidate was fitted to. Like every adaptive request this one
    could be made to say more than it is for (docs/security.md): `max_requests` bounds it.
    """

    name: ClassVar[str] = "likelihoods"
    part: ClassVar[Literal["graph", "model", "effects"]] = "effects"
    complete_only: ClassVar[bool] = True

    def spec(self, study: Study, request: Request, num_sites: int) -> StatisticSpec:
        """Per node one count and its candidates' sums, which the count guards."""
        sizes = [len(node.candidates) for node in _nodes(study, request)]
        return sums_spec(study, request, num_sites, sizes)

    def compute(
        self, study: Study, request: Request, source: TableSource, rng: np.random.Generator
    ) -> IntVector:
        """The site's counts and sums."""
        nodes = _nodes(study, request)
        totals = [np.zeros(1 + len(node.candidates), dtype=np.int64) for node in nodes]
        for batch in source.batches():
            totals = [t + node.sums(batch) for t, node in zip(totals, nodes, strict=True)]
        return np.concatenate(totals)

    def width(self, study: Study, request: Request) -> int:
        """The numbers about the records of one node."""
        return max(len(node.candidates) for node in _nodes(study, request))


def likelihoods_request(families: Request, candidates: Mapping[str, Candidates]) -> Request | None:
    """Ask how well each candidate predicts; None where no node has two."""
    wanted: dict[str, JsonValue] = {
        node: {
            "unit": unit_of(own),
            "mechanisms": [[name, candidate_to_json(m)] for name, m in own.items()],
        }
        for node, own in sorted(candidates.items())
        if len(own) > 1
    }
    if not wanted:
        return None
    parameters = {**families.parameters, "candidates": wanted}
    return Request(kind=Likelihoods.name, parameters=parameters)


def decode_likelihoods(
    study: Study, request: Request, released: Released
) -> dict[str, NodeChoice]:
    """The choice of every node whose number of held-out records was released."""
    found, start = dict[str, NodeChoice](), 0
    for node in _nodes(study, request):
        names = tuple(node.candidates)
        sums = released.totals[start + 1 : start + 1 + len(names)] / STEPS
        number = int(released.totals[start])
        if number > 0 and not released.withheld[start]:
            found[node.name] = choice_of(node.name, names, sums, number)
        start += 1 + len(names)
    return found


def sums_spec(
    study: Study, request: Request, num_sites: int, sizes: Sequence[int]
) -> StatisticSpec:
    """The shape of one count per node, each followed by so many sums that it guards."""
    starts = np.cumsum([0, *(1 + size for size in sizes)]).tolist()
    counts = tuple(starts[:-1])
    guards = [
        Guard(count=start, dependents=tuple(range(start + 1, start + 1 + size)))
        for start, size in zip(counts, sizes, strict=True)
    ]
    return StatisticSpec(
        name=request.id(),
        length=starts[-1],
        bound=int(MAX_LOG * STEPS) * max_rows_per_site(study, num_sites),
        min_cell=study.privacy.min_cell,
        counts=counts,
        guards=tuple(guards),
    )


def held(logs: FloatArray) -> int:
    """The sum of log densities within +- 16, in steps."""
    inside = np.clip(np.nan_to_num(logs, nan=-MAX_LOG), -MAX_LOG, MAX_LOG)
    return int(np.rint(inside * STEPS).sum())


def _nodes(study: Study, request: Request) -> list[_Node]:
    asked = request.parameters.get("candidates")
    families = {f.node: f for f in requested_families(study, request)}
    if not isinstance(asked, Mapping) or not asked or not set(asked) <= set(families):
        raise ProtocolError("likelihoods: candidates: expected nodes of the model")
    found = []
    for node, value in sorted(asked.items()):
        family, unit, listed = families[node], *_parts(node, value)
        candidates = {name: candidate_from_json(family, own) for name, own in listed.items()}
        log_unit = 0.0 if family.num_levels else float(np.log(unit))
        found.append(
            _Node(name=node, members=family.members, candidates=candidates, log_unit=log_unit)
        )
    return found


def _parts(node: str, value: JsonValue) -> tuple[float, dict[str, JsonValue]]:
    """The unit of a node's densities, and its candidates by name."""
    remedy = (
        f"likelihoods: candidates.{node}: expected a unit and 2 to {MOST_CANDIDATES} mechanisms"
    )
    if not isinstance(value, Mapping) or set(value) != {"unit", "mechanisms"}:
        raise ProtocolError(remedy)
    unit, listed = value["unit"], value["mechanisms"]
    if (
        not isinstance(unit, int | float)
        or not 0.0 < unit < np.inf
        or not isinstance(listed, list)
    ):
        raise ProtocolError(remedy)
    if any(not isinstance(p, list) or len(p) != 2 or not isinstance(p[0], str) for p in listed):
        raise ProtocolError(remedy)
    found = {name: own for name, own in listed}  # noqa: C416  (pairs of JSON)
    if not 2 <= len(found) <= MOST_CANDIDATES or len(found) < len(listed):
        raise ProtocolError(remedy)
    return float(unit), found
