"""The "aipw_sites" statistic: sums over sites of their own doubly robust estimates."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np

from fedcausal.data.table import TableSource
from fedcausal.discovery.heterogeneity import (
    EQUATIONS,
    FEWEST_SITES,
    Heterogeneity,
    check_enough_sites,
    cochran,
)
from fedcausal.effects.influence import NO_OFFSETS, Influence
from fedcausal.errors import ProtocolError
from fedcausal.model.families import is_centred
from fedcausal.statistics.aipw_kind import STEPS as GRID
from fedcausal.statistics.aipw_kind import influences_of, site_offsets
from fedcausal.statistics.heterogeneity_kind import MAX_ESTIMATE, MAX_WEIGHT, STEPS
from fedcausal.statistics.kind import Request
from fedcausal.study import Study
from fedcausal_privacy.statistic_spec import Guard, IntVector, Released, StatisticSpec

__all__ = ["AipwSitesKind", "aipw_sites_release", "aipw_sites_request"]

LENGTH = 1 + EQUATIONS

FEWEST_RECORDS = 20
"""Records of either level below which a site's own estimate has no usable variance."""


class AipwSitesKind:
    """Per question, sums over sites of w, w b and w b^2, with b a site's estimate.

    b is the mean of psi_b - psi_a over the site's records in units of the scaled outcome, and w
    its inverse variance: what Cochran's Q and I^2 need.

    Privacy: as in `HeterogeneityKind`: refused below `FEWEST_SITES` in the roster, and withheld
    question by question where fewer sites had an estimate. It has no noisy form.
    """

    name: ClassVar[str] = "aipw_sites"
    part: ClassVar[Literal["effects"]] = "effects"

    def spec(self, study: Study, request: Request, num_sites: int) -> StatisticSpec:
        """The public shape and bounds; too few sites are a `StudyError`."""
        check_enough_sites(num_sites)
        starts = [LENGTH * k for k in range(len(influences_of(study, request)))]
        return StatisticSpec(
            name=request.id(),
            length=LENGTH * len(starts),
            bound=int(MAX_WEIGHT * MAX_ESTIMATE**2) * STEPS,
            min_cell=FEWEST_SITES,
            counts=tuple(starts),
            guards=tuple(
                Guard(count=start, dependents=tuple(range(start + 1, start + LENGTH)))
                for start in starts
            ),
        )

    def compute(
        self, study: Study, request: Request, source: TableSource, rng: np.random.Generator
    ) -> IntVector:
        """The site's estimates, weighted and rounded; zeros where it has none."""
        centred = is_centred(study)
        entries = [_entries(one, source, centred) for one in influences_of(study, request)]
        return np.concatenate(entries)

    def width(self, study: Study, request: Request) -> int:
        """One: an effect."""
        return 1


def aipw_sites_request(asked: Request) -> Request:
    """The same questions as a request for exact sums."""
    return Request(kind=AipwSitesKind.name, parameters=dict(asked.parameters))


def aipw_sites_release(
    study: Study, request: Request, released: Released
) -> Mapping[int, Heterogeneity]:
    """Cochran's test per question, by its position in the study; withheld ones are left out."""
    influences, found = influences_of(study, request), dict[int, Heterogeneity]()
    if released.totals.shape != (LENGTH * len(influences),):
        raise ProtocolError("an aipw_sites total has another length than its request implies")
    for k, one in enumerate(influences):
        start = LENGTH * k
        count = int(released.totals[start])
        weights, first, second = (released.totals[start + 1 : start + LENGTH] / STEPS).tolist()
        if count > 1 and not released.withheld[start] and weights > 0.0:
            found[one.query] = cochran(
                one.response.node, one.treatment.node, count, weights, first, second
            )
    return found


def _entries(influence: Influence, source: TableSource, centred: bool) -> IntVector:
    offsets = site_offsets(influence, source) if centred else NO_OFFSETS
    sums, taken = np.zeros(3, dtype=np.int64), np.zeros(2, dtype=np.int64)
    for columns in influence.complete(source):
        values = influence.values(columns, offsets)
        difference = values[:, 1] - values[:, 0]
        each = np.column_stack([np.ones(len(values)), difference, difference**2])
        # Integers, so that the estimate is the same in every order of the rows.
        sums += np.rint(each * GRID).astype(np.int64).sum(axis=0)
        taken += [np.count_nonzero(influence.levels(columns) == c) for c in influence.codes]
    nothing = np.zeros(LENGTH, dtype=np.int64)
    if taken.min() < FEWEST_RECORDS:
        return nothing
    count, total, square = (sums / GRID).tolist()
    mean = total / count
    variance = (square / count - mean**2) / (count - 1.0)
    if variance <= 0.0 or 1.0 / variance > MAX_WEIGHT or abs(mean) > MAX_ESTIMATE:
        return nothing
    weighted = np.array([1.0, mean, mean**2]) / variance
    return np.concatenate([[1], np.rint(weighted * STEPS)]).astype(np.int64)
