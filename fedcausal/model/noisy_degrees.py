"""Degrees of a closed form under an epsilon: as high as the noise leaves worth their terms."""

import math
from collections.abc import Mapping, Sequence

from fedcausal.model.families import families_request, requested_families
from fedcausal.model.family_basis import Family, family_of_degree
from fedcausal.model.noisy_families import noisy_families_request
from fedcausal.model.noisy_family_gram import noise_multiplier
from fedcausal.model.noisy_layout import NoisyFamily, noisy_family_layouts
from fedcausal.model.nominal_features import Scales
from fedcausal.statistics.kind import Request
from fedcausal.statistics.scale_kind import ReleasedScales
from fedcausal.study import Study

__all__ = ["chosen_degrees", "chosen_families", "mean_error", "nominal_scales"]

WORTH = {1: math.inf, 2: 0.02, 3: 0.002}
"""Largest `mean_error` at which a degree is taken; above 3 that of 3. Parents that go together
make a degree's noise far larger than for independent ones, the more the higher it is
(docs/decisions/0041-closed-form-under-epsilon.md)."""


def chosen_degrees(
    study: Study,
    edges: Sequence[tuple[str, str]],
    nodes: Sequence[str],
    *,
    scales: Scales,
    num_records: float,
    num_sites: int,
) -> dict[str, int]:
    """For every node the largest degree, up to the study's, that the noise leaves worth its terms.

    `scales` and `num_records` were released before, and the choice reads nothing else.
    """
    families = requested_families(study, families_request(edges, nodes, {}))
    multiplier = noise_multiplier(study, num_sites)
    degrees = {family.node: 1 for family in families}
    for degree in range(2, study.model.degree + 1):
        wider = [
            _of_degree(study, family, min(degree, family.basis.degree)) for family in families
        ]
        for layout in noisy_family_layouts(wider, scales, frozenset()):
            reached = layout.family.basis.degree
            error = mean_error(layout, multiplier, num_records)
            if reached == degree and error <= WORTH[min(degree, max(WORTH))]:
                degrees[layout.family.node] = degree
    return degrees


def chosen_families(
    study: Study,
    edges: Sequence[tuple[str, str]],
    nodes: Sequence[str],
    *,
    found: ReleasedScales,
    num_sites: int,
) -> Request:
    """The request for the noisy families of a DAG, with degrees by what was released before."""
    degrees = chosen_degrees(
        study,
        edges,
        nodes,
        scales=found.scales,
        num_records=found.num_records,
        num_sites=num_sites,
    )
    return noisy_families_request(
        list(edges), tuple(nodes), degrees, scales=found.scales, missing=found.missing
    )


def mean_error(layout: NoisyFamily, multiplier: float, num_records: float) -> float:
    """Predicted error of a fitted mean that noise alone makes, in spreads of the node.

    Assumptions: independent parents with the nominal law, half of the node explained by them.
    """
    noise = layout.deviation / math.sqrt(2.0)
    size = math.hypot(layout.cross_deviation, math.sqrt(0.5) * noise)
    return multiplier * size * math.sqrt(layout.nominal.num_features) / max(num_records, 1.0)


def nominal_scales(study: Study) -> Mapping[str, tuple[float, ...]]:
    """Scales to plan with before any are released; errors in spreads hardly depend on them."""
    return {
        v.name: (0.0, 0.125) if v.is_numeric else (1.0 / v.num_levels,) * v.num_levels
        for v in study.schema()
    }


def _of_degree(study: Study, family: Family, degree: int) -> Family:
    parents = family.basis.parents
    return family_of_degree(study.schema(), family.node, parents, ranges={}, degree=degree)
