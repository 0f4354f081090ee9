"""The statistic "noisy_families": the sums of all families of a DAG in one noisy release."""

import math
from collections.abc import Collection, Mapping
from typing import ClassVar, Literal

import numpy as np

from fedcausal.data.table import TableSource
from fedcausal.errors import ProtocolError, SchemaError
from fedcausal.model.families import families_request, requested_families
from fedcausal.model.family_basis import Range, family_of_degree
from fedcausal.model.noisy_layout import GRID, NoisyFamily, noisy_family_layouts, reach
from fedcausal.model.nominal_features import Scales, node_limit
from fedcausal.private.graph_budget import noise_share
from fedcausal.private.model_budget import model_budget
from fedcausal.private.private_features import PrivateFeatures
from fedcausal.statistics.gram_kind import max_rows_per_site
from fedcausal.statistics.kind import Request
from fedcausal.study import Study
from fedcausal_privacy.canonical import JsonValue
from fedcausal_privacy.dp.events import GaussianRelease
from fedcausal_privacy.dp.integer_noise import IntegerNoise
from fedcausal_privacy.statistic_spec import IntVector, StatisticSpec

__all__ = ["NoisyFamilies", "noisy_families_request", "noisy_layouts"]

_NOISE_ROOM = 2**58
_DIGITS = 6


class NoisyFamilies:
    """Weighted products of (1, features, node) of every family, with Gaussian noise, at once.

    Features are orthonormal under rough laws that were released before (`NominalFeatures`), a
    row is shortened by what its parents are (`NoisyFamily`), and the sensitivity follows from
    that ball and the node's bound, whatever the data.

    Sites are not centred, and the model has one intercept for all of them.

    Assumptions: records with a missing value are missing completely at random.

    Privacy: leaves a site only noised, through a secure sum, charged to the model.
    """

    name: ClassVar[str] = "noisy_families"
    part: ClassVar[Literal["graph", "model", "effects"]] = "model"

    def spec(self, study: Study, request: Request, num_sites: int) -> StatisticSpec:
        """The public shape and bounds; no cell is withheld, for all are noisy."""
        model_budget(study)
        layouts = noisy_layouts(study, request)
        largest = max(max(one.radius, one.nominal.node_bound) for one in layouts)
        most = max_rows_per_site(study, num_sites) * math.ceil(largest) * GRID**2
        return StatisticSpec(
            name=request.id(),
            length=layouts[-1].end,
            bound=most + _NOISE_ROOM // num_sites,
            min_summands=num_sites,
        )

    def event(self, study: Study, request: Request) -> GaussianRelease:
        """What is charged: one Gaussian release of all families."""
        layouts = noisy_layouts(study, request)
        return GaussianRelease(
            sensitivity=math.sqrt(sum(reach(one.nominal) for one in layouts)),
            noise_multiplier=model_budget(study).families,
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
        """The site's sums with its share of the noise."""
        layouts = noisy_layouts(study, request)
        sums = [one.zero() for one in layouts]
        for batch in source.batches():
            for total, one in zip(sums, layouts, strict=True):
                total += one.sums(batch)
        exact = np.concatenate(sums)
        scales = np.concatenate([one.deviations for one in layouts])
        scales *= model_budget(study).families
        return exact + noise_share(study, scales, num_sites, noise)

    def width(self, study: Study, request: Request) -> int:
        """Parameters of the widest family."""
        return max(layout.family.width for layout in noisy_layouts(study, request))


def noisy_families_request(
    edges: list[tuple[str, str]],
    nodes: tuple[str, ...],
    degrees: Mapping[str, int],
    *,
    scales: Scales,
    missing: Collection[str] = (),
) -> Request:
    """Ask for the families of a DAG, with a degree for each node; bounds are the study's own.

    `missing` names the variables that were seen to lack values: only they have flags.
    """
    plain = families_request(edges, nodes, dict[str, Range]())
    rounded: dict[str, JsonValue] = {
        name: [round(value, _DIGITS) for value in values] for name, values in scales.items()
    }
    parameters = {
        **plain.parameters,
        "degrees": dict(sorted(degrees.items())),
        "scales": rounded,
        "missing": sorted(missing),
    }
    return Request(kind=NoisyFamilies.name, parameters=parameters)


def noisy_layouts(study: Study, request: Request) -> tuple[NoisyFamily, ...]:
    """The families of a request, each with its degree, one after another in one vector.

    Raises
    ------
    ProtocolError
        The request is malformed, names unknown variables or degrees above the study's.
    """
    known = {"nodes", "edges", "ranges", "degrees", "scales", "missing"}
    if set(request.parameters) != known:
        raise ProtocolError(f"noisy_families: expected {', '.join(sorted(known))}")
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
    scales = _scales(study, request.parameters["scales"])
    missing = _missing(study, request.parameters["missing"])
    limit = node_limit(model_budget(study).families)
    return noisy_family_layouts(families, scales, missing, limit=limit)


def _scales(study: Study, value: JsonValue) -> Scales:
    """A scale for every variable of the study, as the noisy Gram has them."""
    remedy = "noisy_families: scales: expected {variable: [numbers]}"
    if not isinstance(value, Mapping) or not all(isinstance(v, list) for v in value.values()):
        raise ProtocolError(remedy)
    found: dict[str, tuple[float, ...]] = {}
    for name, numbers in value.items():
        listed = numbers if isinstance(numbers, list) else []
        found[name] = tuple(float(n) for n in listed if isinstance(n, int | float))
        if len(found[name]) < len(listed) or not np.isfinite(found[name]).all():
            raise ProtocolError(remedy)
    try:
        PrivateFeatures(study.schema(), {}, found, 1.0)
    except SchemaError as error:
        raise ProtocolError(f"noisy_families: {error}") from None
    return found


def _missing(study: Study, value: JsonValue) -> frozenset[str]:
    names = study.schema().names
    if not isinstance(value, list) or not all(isinstance(n, str) and n in names for n in value):
        raise ProtocolError("noisy_families: missing: expected a list of the study's variables")
    return frozenset(str(name) for name in value)
