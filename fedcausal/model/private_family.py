"""The model of a study with an epsilon for it, `family = "auto"` included: by public values."""

import itertools
from dataclasses import dataclass

from fedcausal.model.families import families_request, requested_families
from fedcausal.model.family_basis import family_of_degree
from fedcausal.model.noisy_degrees import mean_error, nominal_scales
from fedcausal.model.noisy_family_gram import noise_multiplier
from fedcausal.model.noisy_layout import noisy_family_layouts
from fedcausal.private.model_budget import model_epsilon
from fedcausal.study import Study

__all__ = ["PrivateFamily", "expected_error", "private_family"]

MOST_ERROR = 0.1
"""Predicted error of a linear closed form, in spreads, above which noise is all it has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivateFamily:
    """Whether the closed form from noisy sums is fitted, and why, in words."""

    is_closed_form: bool
    reason: str


def private_family(study: Study) -> PrivateFamily:
    """The model of a study with an epsilon for it.

    "auto" takes the closed form where it is expected to predict better than DP-SGD would
    (docs/decisions/0041-closed-form-under-epsilon.md): wherever its bounds are public and the
    noise leaves something of a linear model. The latter is asked where the study says how many
    records there can be, `privacy.max_rows` at each of `privacy.min_sites` sites.

    Privacy: reads the study alone, so that site and coordinator agree without a release.
    """
    if study.model.family != "auto":
        is_gram = study.model.family == "gram"
        reason = f'the study says family = "{study.model.family}"'
        return PrivateFamily(is_closed_form=is_gram, reason=reason)
    unbounded = [v.name for v in study.schema() if v.is_numeric and v.bounds is None]
    if unbounded:
        reason = f"{unbounded[0]} has no public bounds, which the closed form needs"
        return PrivateFamily(is_closed_form=False, reason=reason)
    if study.privacy.max_rows is None or model_epsilon(study) is None:
        reason = "it predicted better than DP-SGD at 20,000 and 100,000 records, where compared"
        return PrivateFamily(is_closed_form=True, reason=reason)
    sites = study.privacy.min_sites
    most = study.privacy.max_rows * sites
    error = expected_error(study, num_records=most, num_sites=sites)
    relation = "above" if error > MOST_ERROR else "at most"
    reason = f"at the public cap of {most} records noise makes an error {relation} {MOST_ERROR:g}"
    return PrivateFamily(is_closed_form=error <= MOST_ERROR, reason=reason)


def expected_error(study: Study, *, num_records: int, num_sites: int) -> float:
    """Predicted noise in a fitted mean of a linear closed form, in spreads of the node.

    Assumptions: each variable has the one before it as its only parent.
    """
    names = study.schema().names
    edges = list(itertools.pairwise(names))
    families = [
        family_of_degree(study.schema(), f.node, f.basis.parents, ranges={}, degree=1)
        for f in requested_families(study, families_request(edges, names, {}))
    ]
    layouts = noisy_family_layouts(families, nominal_scales(study), frozenset())
    multiplier = noise_multiplier(study, num_sites)
    return max(mean_error(one, multiplier, num_records) for one in layouts)
