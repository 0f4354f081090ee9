"""Split-conformal radii of numeric nodes, from a secure histogram over held-out records."""

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from fedcausal.data.held_out import HeldOut
from fedcausal.data.table import Table, TableSource
from fedcausal.errors import InputError, ProtocolError
from fedcausal.model.family_basis import FloatArray
from fedcausal.model.mechanism import Mechanism, NumericMechanism
from fedcausal.model.residuals import ResidualBins, residual_bins, residuals_request
from fedcausal.statistics.gram_kind import max_rows_per_site
from fedcausal.statistics.kind import Request
from fedcausal.study import Study
from fedcausal_privacy.statistic_spec import CountTable, IntVector, Released, StatisticSpec

__all__ = [
    "Calibration",
    "CalibrationKind",
    "calibration_request",
    "decode_calibration",
    "kept_rows",
    "rows_for",
]

CELLS_PER_BIN = 2.0
"""Records per bin, in smallest cells, that a Laplace law of the residual would give."""
FEWEST_BINS, MOST_BINS = 4, 200
OF_HELD_OUT = ("calibration", "likelihoods", "flow_likelihoods")
"""Kinds about the records that no fit has seen."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Calibration:
    """How far held-out records lie from a node's fitted mean.

    Attributes
    ----------
    radii
        (num_bins,) upper ends of the bins in scaled units, increasing.
    at_most
        (num_bins,) records known to lie within each radius; withheld cells count at the last of
        them, so that no radius is ever too small.
    num_records
        Held-out records, complete in the node and its parents.
    """

    radii: FloatArray
    at_most: FloatArray
    num_records: int

    def radius(self, level: float) -> float:
        """The radius that holds a new record with probability `level` or more; inf where none.

        It is the (n + 1) level / n quantile of the scores, rounded up to the end of a bin: about
        the last 2 smallest cells of records are not told apart.

        Assumptions: the new record and the held-out ones are exchangeable: it comes from the
        sites in the proportions of their records. Coverage is marginal: averaged over records,
        not given a site or the parents.

        References
        ----------
        Lei, G'Sell, Rinaldo, Tibshirani and Wasserman (2018), Distribution-free predictive
        inference for regression, JASA 113, algorithm 2.
        """
        if not 0.0 < level < 1.0:
            raise InputError(f"level: expected a share between 0 and 1, got {level:g}")
        wanted = math.ceil((self.num_records + 1) * level - 1e-9)
        inside = np.flatnonzero(self.at_most >= wanted)
        return float(self.radii[inside[0]]) if inside.size else math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scores:
    """One node's absolute residuals in bins."""

    bins: ResidualBins
    radii: FloatArray

    def count(self, batch: Table) -> IntVector:
        """Records per bin; the last takes all beyond the radii, however far."""
        found = self.bins.residuals(batch)
        placed = np.searchsorted(self.radii, np.abs(found), side="left")
        return np.bincount(placed, minlength=len(self.radii) + 1).astype(np.int64)


class CalibrationKind:
    """The request for histograms of how far held-out records lie from their fitted means.

    Per numeric node: the number of held-out records that are complete in it and its parents,
    and the counts of the bins.

    Privacy: counts only; totals below `privacy.min_cell` are withheld, with secondary
    suppression, since the bins sum to the released number of records. The records are in no
    other total of the study, so that nothing can be subtracted from it.
    """

    name: ClassVar[str] = "calibration"
    part: ClassVar[Literal["graph", "model", "effects"]] = "effects"
    complete_only: ClassVar[bool] = True

    def spec(self, study: Study, request: Request, num_sites: int) -> StatisticSpec:
        """One complete table of counts per numeric node."""
        sizes = np.cumsum([0, *(len(s.radii) + 1 for s in _scores(study, request))])
        cells = [tuple(range(a, b)) for a, b in itertools.pairwise(sizes.tolist())]
        return StatisticSpec(
            name=request.id(),
            length=int(sizes[-1]) + len(cells),
            bound=max_rows_per_site(study, num_sites),
            min_cell=study.privacy.min_cell,
            counts=tuple(range(int(sizes[-1]) + len(cells))),
            tables=tuple(CountTable(cells=c, shape=(len(c),)) for c in cells),
        )

    def compute(
        self, study: Study, request: Request, source: TableSource, rng: np.random.Generator
    ) -> IntVector:
        """The site's counts, then its numbers of records."""
        scores = _scores(study, request)
        totals = [np.zeros(len(s.radii) + 1, dtype=np.int64) for s in scores]
        for batch in source.batches():
            totals = [t + s.count(batch) for t, s in zip(totals, scores, strict=True)]
        return np.concatenate([*totals, np.array([t.sum() for t in totals])])

    def width(self, study: Study, request: Request) -> int:
        """Histograms have no saturation rule: the cell rule guards them."""
        return 0


def calibration_request(
    study: Study, families: Request, mechanisms: Mapping[str, Mechanism]
) -> Request | None:
    """Ask for the scores of a model fitted to the answer of `families`; None without numbers.

    The fewer records are held out, the wider the bins: one with fewer than `privacy.min_cell`
    would be withheld.
    """
    plain = residuals_request(families, mechanisms)
    if plain is None:
        return None
    numeric = [m for m in mechanisms.values() if isinstance(m, NumericMechanism)]
    share = study.model.calibration
    expected = min(m.residual.num_records for m in numeric) * share / (1.0 - share)
    wanted = int(expected / (CELLS_PER_BIN * study.privacy.min_cell))
    bins = min(max(wanted, FEWEST_BINS), MOST_BINS)
    return Request(kind=CalibrationKind.name, parameters={**plain.parameters, "num_bins": bins})


def decode_calibration(
    study: Study, request: Request, released: Released
) -> dict[str, Calibration]:
    """The calibration of every numeric node whose number of held-out records was released."""
    scores = _scores(study, request)
    start, found = 0, dict[str, Calibration]()
    first_number = sum(len(s.radii) + 1 for s in scores)
    for place, score in enumerate(scores):
        part = slice(start, start + len(score.radii) + 1)
        start, number = part.stop, first_number + place
        if released.withheld[number]:
            continue
        total = int(released.totals[number])
        counts = _latest(released.totals[part], released.withheld[part], total)
        found[score.bins.node] = Calibration(
            radii=score.radii, at_most=np.cumsum(counts)[:-1], num_records=total
        )
    return found


def rows_for(study: Study, request: Request, source: TableSource) -> TableSource:
    """The rows of a site that a request reads: held out of all fits, or all others."""
    return _part(study, source, is_kept=request.kind not in OF_HELD_OUT)


def kept_rows(study: Study, source: TableSource) -> TableSource:
    """The rows that sums and fits read: what a site's rules about its rows are applied to.

    Where another study reads all rows, the difference of two sums is one over the held-out rows:
    the rule about rows that changed little sees how many they are.
    """
    return _part(study, source, is_kept=True)


def _part(study: Study, source: TableSource, *, is_kept: bool) -> TableSource:
    share = _share(study)
    if share == 0.0:
        return source
    key = f"calibration {study.hash()}"
    return HeldOut(source=source, share=share, key=key, is_kept=is_kept)


def _share(study: Study) -> float:
    """Which share of the rows is held out of all fits."""
    section = study.model
    is_chosen = section.mechanism == "auto" and not section.calibration
    return section.held_out if is_chosen else section.calibration


def _latest(totals: IntVector, withheld: NDArray[np.bool_], total: int) -> FloatArray:
    """Counts in which all that is withheld lies in the last withheld bin."""
    counts = np.where(withheld, 0, totals).astype(float)
    if withheld.any():
        counts[np.flatnonzero(withheld)[-1]] = max(total - counts.sum(), 0.0)
    return counts


def _scores(study: Study, request: Request) -> tuple[_Scores, ...]:
    number = request.parameters.get("num_bins")
    if not isinstance(number, int) or not FEWEST_BINS <= number <= MOST_BINS:
        raise ProtocolError(
            f"calibration: num_bins: expected a number from {FEWEST_BINS} to {MOST_BINS}"
        )
    radii = -np.log1p(-np.arange(1, number) / number) / math.sqrt(2.0)
    return tuple(
        _Scores(bins=bins, radii=radii * max(bins.mean.sd, 1e-12))
        for bins in residual_bins(study, request)
    )
