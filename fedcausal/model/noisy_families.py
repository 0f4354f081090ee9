"""The statistic "noisy_families": the Grams of all families of a DAG in one noisy release."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from fedcausal.data.table import Table, TableSource
from fedcausal.errors import ProtocolError
from fedcausal.model.families import families_request, requested_families
from fedcausal.model.family_basis import Family, FloatArray, Range, family_of_degree
from fedcausal.private.graph_budget import noise_share
from fedcausal.statistics.gram_kind import max_rows_per_site
from fedcausal.statistics.kind import Request
from fedcausal.study import Study
from fedcausal_privacy.accountant import noise_multiplier_for
from fedcausal_privacy.events import GaussianRelease
from fedcausal_privacy.integer_noise import IntegerNoise
from fedcausal_privacy.statistic_spec import IntVector, StatisticSpec

__all__ = [
    "GRID",
    "NoisyFamilies",
    "NoisyFamily",
    "noise_multiplier",
    "noisy_families_request",
    "noisy_layouts",
    "squared_radius",
]

GRID = 2**14
"""Integers per 1.0 of a feature, the constant among them."""

CLIP_SHARE = 0.3
"""Clipping between the constant's norm (0) and the largest that the basis allows (1)."""

_NOISE_ROOM = 2**58
_CHUNK_ROWS = 2**12


@dataclass(frozen=True, slots=True, kw_only=True)
class NoisyFamily:
    """One family's part of the vector: the upper triangle of the Gram of (1, features, node).

    `deviation` is the noise of a diagonal entry at a multiplier of 1, in units of GRID^2; an
    off-diagonal entry has the root of a half of it.
    """

    family: Family
    start: int
    deviation: float

    @property
    def size(self) -> int:
        """Columns of the Gram: the constant, the features, the node's own."""
        return 1 + self.family.num_columns

    @property
    def end(self) -> int:
        """One past the last entry."""
        return self.start + self.size * (self.size + 1) // 2

    @property
    def deviations(self) -> FloatArray:
        """Noise of every entry at a multiplier of 1, in integers."""
        rows, columns = np.triu_indices(self.size)
        scale = self.deviation * GRID**2
        return np.where(rows == columns, scale, scale / math.sqrt(2.0))

    def gram(self, batch: Table) -> NDArray[np.int64]:
        """Exact sums of products of the complete records of a batch."""
        columns = {name: batch.column(name) for name in self.family.members}
        complete = ~np.any([np.isnan(c) for c in columns.values()], axis=0)
        total = np.zeros((self.size, self.size), dtype=np.int64)
        values = _columns(self.family, {n: c[complete] for n, c in columns.items()})
        for start in range(0, len(values), _CHUNK_ROWS):
            # Towards zero, so that no row leaves the ball.
            part = np.trunc(values[start : start + _CHUNK_ROWS] * GRID)
            total += (part.T @ part).astype(np.int64)
        return total


class NoisyFamilies:
    """Products of (1, features, node) of every family, with Gaussian noise, in one release.

    Every column lies in [-1, 1] by its basis, so that the sensitivity of a family's Gram is the
    largest squared norm of its row: the number of terms that can be nonzero together. A family's
    Gram is weighed by the root of that number, S, and the squared sensitivity of all of them
    together is the sum over nodes; noise of an entry is then the root of S x (sum of S).

    The columns are scaled by public bounds alone: sites are not centred, and the model has one
    intercept for all of them.

    Assumptions: records with a missing value are missing completely at random.

    Privacy: leaves a site only noised, through a secure sum, charged to the model.
    """

    name: ClassVar[str] = "noisy_families"
    part: ClassVar[Literal["graph", "model", "effects"]] = "model"

    def spec(self, study: Study, request: Request, num_sites: int) -> StatisticSpec:
        """The public shape and bounds; no cell is withheld, for all are noisy."""
        _epsilon(study)
        return StatisticSpec(
            name=request.id(),
            length=noisy_layouts(study, request)[-1].end,
            bound=max_rows_per_site(study, num_sites) * GRID**2 + _NOISE_ROOM // num_sites,
            min_summands=num_sites,
        )

    def event(self, study: Study, request: Request) -> GaussianRelease:
        """What is charged: one Gaussian release of all families."""
        layouts = noisy_layouts(study, request)
        return GaussianRelease(
            sensitivity=math.sqrt(sum(squared_radius(layout.family) for layout in layouts)),
            noise_multiplier=noise_multiplier(study),
            name=self.name,
        )

    def compute_private(
        self,
        study: Study,
        request: Request,
        source: TableSource,
        *,
        num_sites: int,
        noise: IntegerNoise,
    ) -> IntVector:
        """The site's Grams with its share of the noise."""
        layouts = noisy_layouts(study, request)
        grams = [np.zeros((layout.size, layout.size), dtype=np.int64) for layout in layouts]
        for batch in source.batches():
            for gram, layout in zip(grams, layouts, strict=True):
                gram += layout.gram(batch)
        exact = np.concatenate([gram[np.triu_indices(len(gram))] for gram in grams])
        scales = np.concatenate([layout.deviations for layout in layouts])
        scales *= noise_multiplier(study)
        return exact + noise_share(study, scales, num_sites, noise)

    def width(self, study: Study, request: Request) -> int:
        """Parameters of the widest family."""
        return max(layout.family.width for layout in noisy_layouts(study, request))


def noise_multiplier(study: Study) -> float:
    """The multiplier that spends the model's whole epsilon on one release."""
    return noise_multiplier_for(_epsilon(study), float(study.privacy.delta))


def noisy_families_request(
    edges: list[tuple[str, str]], nodes: tuple[str, ...], degrees: Mapping[str, int]
) -> Request:
    """Ask for the families of a DAG, with a degree for each node; bounds are the study's own."""
    plain = families_request(edges, nodes, dict[str, Range]())
    parameters = {**plain.parameters, "degrees": dict(sorted(degrees.items()))}
    return Request(kind=NoisyFamilies.name, parameters=parameters)


def noisy_layouts(study: Study, request: Request) -> tuple[NoisyFamily, ...]:
    """The families of a request, each with its degree, one after another in one vector.

    Raises
    ------
    ProtocolError
        The request is malformed, names unknown variables or degrees above the study's.
    """
    if set(request.parameters) != {"nodes", "edges", "ranges", "degrees"}:
        raise ProtocolError("noisy_families: expected nodes, edges, ranges and degrees")
    if request.parameters["ranges"]:
        raise ProtocolError("noisy_families: only declared bounds are public")
    degrees = request.parameters["degrees"]
    families = []
    for family in requested_families(study, request):
        degree = degrees.get(family.node) if isinstance(degrees, Mapping) else None
        if type(degree) is not int or not 1 <= degree <= family.basis.degree:
            raise ProtocolError(f"noisy_families: degrees.{family.node}: not a degree of it")
        parents = family.basis.parents
        families.append(
            family_of_degree(study.schema(), family.node, parents, ranges={}, degree=degree)
        )
    return _layouts(families)


def _layouts(families: list[Family]) -> tuple[NoisyFamily, ...]:
    whole, start = sum(squared_radius(family) for family in families), 0
    layouts = []
    for family in families:
        deviation = math.sqrt(squared_radius(family) * whole)
        layouts.append(NoisyFamily(family=family, start=start, deviation=deviation))
        start = layouts[-1].end
    return tuple(layouts)


def squared_radius(family: Family) -> float:
    """The squared norm to which a row (1, features, node) is clipped: its sensitivity.

    A part of the largest possible one: rows near a corner of the bounds are rare, and noise grows
    with it. A clipped row counts as a part of a row, the constant included.
    """
    return 1.0 + CLIP_SHARE * (_squared_norm(family) - 1)


def _squared_norm(family: Family) -> int:
    """Largest squared norm of (1, features, node): the most terms that are nonzero together.

    At a corner of the bounds every polynomial is +-1, and of a categorical parent one level at
    most has an indicator: terms that differ only in levels are one.
    """
    patterns = {
        tuple((factor.variable, factor.degree) for factor in term) for term in family.basis.terms
    }
    return 2 + len(patterns)


def _columns(family: Family, columns: Mapping[str, FloatArray]) -> FloatArray:
    """(1, features, node) of complete records, within the ball of `squared_radius`."""
    exact = family.quantise(columns) / np.array(family.units(), dtype=float)
    rows = np.concatenate([np.ones((len(exact), 1)), np.clip(exact, -1.0, 1.0)], axis=1)
    norms = np.square(rows).sum(axis=1, keepdims=True)
    return np.asarray(rows * np.sqrt(np.minimum(1.0, squared_radius(family) / norms)))


def _epsilon(study: Study) -> float:
    part = study.privacy.model
    if part is None or part.epsilon is None:
        raise ProtocolError("noisy family sums were asked for by a study without privacy.model")
    return float(part.epsilon)
