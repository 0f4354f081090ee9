"""From each site's own sums to totals over those that neither break a bound nor lie apart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from fedcausal.data.table import Vector
from fedcausal.errors import DataError, ProtocolError
from fedcausal.robust.bounds import broken_bound
from fedcausal.robust.distance import remoteness, weights
from fedcausal.robust.moments import moments_of
from fedcausal.statistics.kind import Request
from fedcausal.study import Study
from fedcausal_privacy.canonical import JsonValue
from fedcausal_privacy.statistic_spec import IntVector, Released, StatisticSpec

__all__ = ["Screen", "SetAside"]

Why = Literal["bounds", "apart"]
Vectors = Mapping[str, Mapping[str, IntVector]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAside:
    """A site whose sums are in no total, from which statistic on and why, in words."""

    site: str
    kind: str
    why: Why
    words: str

    def to_json(self) -> dict[str, JsonValue]:
        """The entry as a JSON object."""
        return {"site": self.site, "kind": self.kind, "why": self.why, "words": self.words}


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """Who was set aside in a run so far; `most` may be in all (`federation.robust`)."""

    most: int
    set_aside: tuple[SetAside, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The sites that were set aside."""
        return tuple(one.site for one in self.set_aside)

    def take(
        self,
        study: Study,
        requests: Sequence[Request],
        specs: Sequence[StatisticSpec],
        vectors: Vectors,
    ) -> tuple["Screen", dict[str, Released], tuple[str, ...]]:
        """The sums of one round, by site: who is set aside, the totals, and whose they are.

        A site that breaks a public bound is set aside; then, of the others, those that lie apart
        from what most share, the farthest first, up to `most` in all. With more records than
        four times the median a site's sums count for less (`distance.weights`).

        Raises
        ------
        DataError
            More sites broke a bound than may lie.
        """
        screen = self._without_broken(study, requests, specs, vectors)
        left = {s: own for s, own in sorted(vectors.items()) if s not in screen.names}
        for request in requests:
            screen = screen._without_apart(study, request, left)
            left = {s: own for s, own in left.items() if s not in screen.names}
        if not left:
            raise DataError("no site is left whose sums can be used")
        totals = {
            spec.name: _total(study, request, spec, [own[spec.name] for own in left.values()])
            for request, spec in zip(requests, specs, strict=True)
        }
        return screen, totals, tuple(left)

    def _without_broken(
        self,
        study: Study,
        requests: Sequence[Request],
        specs: Sequence[StatisticSpec],
        vectors: Vectors,
    ) -> "Screen":
        found = list(self.set_aside)
        for site, own in sorted(vectors.items()):
            for request, spec in zip(requests, specs, strict=True):
                words = broken_bound(study, request, spec, own[spec.name])
                if words:
                    found.append(SetAside(site=site, kind=request.kind, why="bounds", words=words))
                    break
        screen = replace(self, set_aside=tuple(found))
        if len(found) > self.most:
            raise DataError(
                f"{len(found)} sites were set aside ({', '.join(screen.names)}: "
                f"{found[-1].words}), and federation.robust = {self.most} allows {self.most}; "
                "compare these sites' versions and data before the study is run again"
            )
        return screen

    def _without_apart(self, study: Study, request: Request, vectors: Vectors) -> "Screen":
        room = min(self.most - len(self.set_aside), (len(vectors) - 1) // 3)
        if room <= 0:
            return self
        distance = _distance(study, request, vectors, room)
        order = np.argsort(-distance, kind="stable")[:room]
        sites = list(vectors)
        apart = tuple(
            SetAside(
                site=sites[k],
                kind=request.kind,
                why="apart",
                words=f"its sums lie {distance[k]:.1f} times as far from the other sites' as "
                "sampling and the differences among these explain",
            )
            for k in order
            if distance[k] > 1.0
        )
        return replace(self, set_aside=(*self.set_aside, *apart))

    def to_json(self) -> dict[str, JsonValue]:
        """The screen as a JSON object."""
        return {"most": self.most, "set_aside": [one.to_json() for one in self.set_aside]}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Screen":
        """The screen that `to_json` wrote; anything else is a `ProtocolError`."""
        try:
            found = tuple(SetAside(**one) for one in value["set_aside"])
            return cls(most=int(value["most"]), set_aside=found)
        except (KeyError, TypeError, ValueError):
            raise ProtocolError("a stored list of sites set aside cannot be read") from None


def _distance(study: Study, request: Request, vectors: Vectors, room: int) -> Vector:
    """(K,) how far each site lies from the others in the matrices of a statistic."""
    name = request.id()
    own = [tuple(moments_of(study, request, mine[name])) for mine in vectors.values()]
    blocks = [
        ([one.num_records for one in sent], np.array([one.products for one in sent]))
        for sent in zip(*own, strict=True)
    ]
    return remoteness(blocks, room) if blocks else np.zeros(len(own))


def _total(
    study: Study, request: Request, spec: StatisticSpec, vectors: Sequence[IntVector]
) -> Released:
    """The sum over sites, each by its weight; sites are counted whole."""
    blocks = [next(iter(moments_of(study, request, vector)), None) for vector in vectors]
    records = [1 if block is None else max(block.num_records, 1) for block in blocks]
    total = np.zeros(spec.length, dtype=np.int64)
    for vector, weight in zip(vectors, weights(records), strict=True):
        part = vector if weight == 1.0 else np.rint(vector * weight).astype(np.int64)
        part = part.copy()
        part[list(spec.presence)] = vector[list(spec.presence)]
        total += part
    return Released(totals=total, withheld=np.zeros(spec.length, dtype=np.bool_))
