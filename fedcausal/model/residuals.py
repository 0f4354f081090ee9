"""The statistic "residuals": how the residuals of the numeric nodes fall into public bins."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from fedcausal.data.table import Table, TableSource
from fedcausal.model.family_basis import Family, FloatArray
from fedcausal.model.fitted_mean import FittedMean, means_of, requested_means
from fedcausal.model.mechanism import Mechanism, NumericMechanism
from fedcausal.model.residual_law import ResidualLaw, bin_edges
from fedcausal.statistics.gram_kind import max_rows_per_site
from fedcausal.statistics.kind import Request
from fedcausal.study import Study
from fedcausal_privacy.statistic_spec import CountTable, IntVector, Released, StatisticSpec

__all__ = [
    "ResidualBins",
    "Residuals",
    "decode_residuals",
    "residual_bins",
    "residuals_request",
    "with_residual_laws",
]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ResidualBins:
    """One node's fitted mean and the public edges of its bins, in scaled units."""

    mean: FittedMean
    edges: FloatArray

    @property
    def node(self) -> str:
        """Whose residuals these are."""
        return self.mean.family.node

    @property
    def num_bins(self) -> int:
        """Equal bins and two tails."""
        return len(self.edges) - 1

    def count(self, batch: Table) -> IntVector:
        """Records of a batch, complete in node and parents, per bin."""
        bins = np.searchsorted(self.edges[1:-1], self.residuals(batch), side="right")
        return np.bincount(bins, minlength=self.num_bins).astype(np.int64)

    def residuals(self, batch: Table) -> FloatArray:
        """Residuals of the records that are complete in node and parents, in scaled units."""
        found = self.mean.residuals(batch)
        return found[~np.isnan(found)]


class Residuals:
    """The request for histograms of the residuals of a fitted closed-form model.

    The request carries the coefficients and the residual standard deviations (both released
    before); `model.residual_bins` equal bins cover +-4 of these, two tails take the rest.

    Privacy: bins are counts; totals below `privacy.min_cell` are withheld, with secondary
    suppression, since the bins of a node sum to a released number of records.
    """

    name: ClassVar[str] = "residuals"
    part: ClassVar[Literal["graph", "model", "effects"]] = "effects"

    def spec(self, study: Study, request: Request, num_sites: int) -> StatisticSpec:
        """One complete table of counts per numeric node."""
        bins = residual_bins(study, request)
        sizes = np.cumsum([0, *(b.num_bins for b in bins)])
        cells = [tuple(range(a, b)) for a, b in itertools.pairwise(sizes)]
        return StatisticSpec(
            name=request.id(),
            length=int(sizes[-1]),
            bound=max_rows_per_site(study, num_sites),
            min_cell=study.privacy.min_cell,
            counts=tuple(range(int(sizes[-1]))),
            tables=tuple(CountTable(cells=c, shape=(len(c),)) for c in cells),
        )

    def compute(
        self, study: Study, request: Request, source: TableSource, rng: np.random.Generator
    ) -> IntVector:
        """The site's counts."""
        bins = residual_bins(study, request)
        totals = [np.zeros(b.num_bins, dtype=np.int64) for b in bins]
        for batch in source.batches():
            totals = [t + b.count(batch) for t, b in zip(totals, bins, strict=True)]
        return np.concatenate(totals)

    def width(self, study: Study, request: Request) -> int:
        """Histograms have no saturation rule: the cell rule guards them."""
        return 0


def residuals_request(families: Request, mechanisms: Mapping[str, Mechanism]) -> Request | None:
    """Ask for the residuals of the numeric nodes of a model fitted to the answer of `families`.

    None when the model has no numeric node.
    """
    means = means_of(mechanisms)
    if not means:
        return None
    return Request(kind=Residuals.name, parameters={**families.parameters, "means": means})


def decode_residuals(
    study: Study, request: Request, released: Released, num_records: Mapping[str, int]
) -> dict[str, ResidualLaw]:
    """The residual law of every numeric node.

    What withheld bins hold together is known (`num_records` of the node less the other bins);
    it is spread over them evenly.
    """
    laws: dict[str, ResidualLaw] = {}
    start = 0
    for bins in residual_bins(study, request):
        part = slice(start, start + bins.num_bins)
        start = part.stop
        node = bins.node
        counts = _filled(released.totals[part], released.withheld[part], num_records[node])
        if counts.sum() > 0:
            laws[node] = ResidualLaw.from_masses(bins.edges, counts, num_records[node])
    return laws


def with_residual_laws(
    mechanisms: Mapping[str, Mechanism], laws: Mapping[str, ResidualLaw]
) -> dict[str, Mechanism]:
    """The mechanisms with released residual laws in the place of Gaussian ones."""
    return {
        node: replace(m, residual=laws[node])
        if isinstance(m, NumericMechanism) and node in laws
        else m
        for node, m in mechanisms.items()
    }


def _filled(totals: IntVector, withheld: NDArray[np.bool_], num_records: int) -> FloatArray:
    counts = np.where(withheld, 0, totals).astype(float)
    hidden = int(np.count_nonzero(withheld))
    if hidden:
        counts[withheld] = max(num_records - counts.sum(), 0.0) / hidden
    return counts


def residual_bins(
    study: Study, request: Request, families: Mapping[str, Family] | None = None
) -> tuple[ResidualBins, ...]:
    """The bins of every node that a request names, by the families of the model.

    Raises
    ------
    ProtocolError
        The request is malformed, or names what is no numeric node of the families.
    """
    number = study.model.residual_bins
    return tuple(
        ResidualBins(mean=mean, edges=bin_edges(mean.sd, number))
        for mean in requested_means(study, request, families)
    )
