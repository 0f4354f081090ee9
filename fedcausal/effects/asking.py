"""What a study asks of the sites for its effects, and what it makes of the answers.

scales -> families -> mechanisms -> residuals and influence values (one round)
    -> laws and estimates
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from fedcausal.discovery.heterogeneity import check_enough_sites
from fedcausal.effects.aipw import (
    AipwEstimate,
    estimate,
    imagined_limits,
    noisy_estimate,
    nuisances,
)
from fedcausal.effects.nuisance_error import nuisance_error
from fedcausal.errors import FedCausalError
from fedcausal.model.calibration import (
    CalibrationKind,
    calibration_request,
    decode_calibration,
)
from fedcausal.model.gram_model import GramModel
from fedcausal.model.noisy_degrees import chosen_families
from fedcausal.model.noisy_family_gram import decode_noisy_families, fit_noisy_mechanisms
from fedcausal.model.residuals import (
    Residuals,
    decode_residuals,
    residuals_request,
    with_residual_laws,
)
from fedcausal.private.effects_budget import (
    charged_to_model,
    effects_are_private,
    fits_for_effects,
)
from fedcausal.statistics.aipw_kind import (
    AipwKind,
    aipw_release,
    aipw_request,
    influences_of,
    parsed_influences,
)
from fedcausal.statistics.aipw_sites_kind import (
    AipwSitesKind,
    aipw_sites_release,
    aipw_sites_request,
)
from fedcausal.statistics.effect_families_kind import (
    as_charged_to_model,
    effect_families_request,
)
from fedcausal.statistics.implied import fits_privately
from fedcausal.statistics.kind import Request
from fedcausal.statistics.noisy_aipw_kind import (
    NoisyAipwKind,
    noisy_aipw_release,
    noisy_aipw_request,
)
from fedcausal.statistics.noisy_residuals_kind import (
    NoisyResidualsKind,
    noisy_residuals_release,
    noisy_residuals_request,
)
from fedcausal.statistics.scale_kind import ReleasedScales, scale_release
from fedcausal.study import Study
from fedcausal_privacy.statistic_spec import Released

if TYPE_CHECKING:
    from fedcausal.steps.state import StudyState

__all__ = [
    "families_for_effects",
    "fitted_for_effects",
    "scales_for_effects",
    "second_requests",
    "take_second",
]


def scales_for_effects(state: "StudyState", released: Released) -> ReleasedScales:
    """Rough laws of the variables from histograms that the effects paid for."""
    (request,) = state.requests
    paying = charged_to_model(state.study)
    return scale_release(paying, as_charged_to_model(request), released, state.num_sites)


def families_for_effects(
    study: Study,
    edges: Sequence[tuple[str, str]],
    nodes: Sequence[str],
    *,
    found: ReleasedScales,
    num_sites: int,
) -> Request:
    """Ask for noisy family sums that the effects pay for."""
    paying = charged_to_model(study)
    return effect_families_request(
        chosen_families(paying, edges, nodes, found=found, num_sites=num_sites)
    )


def fitted_for_effects(state: "StudyState", released: Released) -> "StudyState":
    """The state with Grams and mechanisms from a release that the effects paid for."""
    (request,) = state.requests
    noisy = decode_noisy_families(
        charged_to_model(state.study), as_charged_to_model(request), released, state.num_sites
    )
    fitted = state.with_noisy_families(noisy)
    return replace(fitted, mechanisms=fit_noisy_mechanisms(noisy))


def second_requests(state: "StudyState") -> tuple[Request, ...]:
    """Histograms of residuals and sums of influence values, where the study has them.

    A model that has an epsilon of its own answers effects for nothing; then only the sums of
    influence values are asked for, and these only where the effects have an epsilon as well. A
    robust study has neither: the noise of its model is Gaussian.
    """
    study, (families,) = state.study, state.requests
    if study.federation.robust:
        return ()
    found: list[Request | None] = []
    if fits_for_effects(study):
        found.append(noisy_residuals_request(families, state.mechanisms))
    elif not fits_privately(study):
        found.append(residuals_request(families, state.mechanisms))
        found.append(residuals_request(families, state.rivals))
    if study.model.calibration > 0:
        found.append(calibration_request(study, families, state.mechanisms))
    if "effects" in state.steps:
        found += _influence_requests(state)
    return tuple(request for request in found if request is not None)


def take_second(state: "StudyState", released: Mapping[str, Released]) -> "StudyState":
    """The state with residual laws and second estimates."""
    for request in state.requests:
        state = _taken(state, request, released[request.id()])
    return state


def _influence_requests(state: "StudyState") -> list[Request | None]:
    study = state.study
    is_noisy = effects_are_private(study)
    if fits_privately(study) and not is_noisy:
        return []
    engine = _engine(state)
    open_ranges = {
        name: pair for name, pair in state.ranges.items() if study.schema()[name].bounds is None
    }
    influences = nuisances(study, engine, open_ranges, seed=state.seed)
    if is_noisy:
        limits = [imagined_limits(one, engine, seed=state.seed) for one in influences]
        return [noisy_aipw_request(influences, limits)]
    asked = aipw_request(influences, open_ranges)
    if asked is None or not study.discovery.heterogeneity:
        return [asked]
    check_enough_sites(state.num_sites)
    return [asked, aipw_sites_request(asked)]


def _taken(state: "StudyState", request: Request, released: Released) -> "StudyState":
    study = state.study
    if request.kind == Residuals.name:
        records = {node: gram.num_records for node, gram in state.families.items()}
        laws = decode_residuals(study, request, released, records)
        if _is_about_rivals(state, request):
            return replace(state, rivals=with_residual_laws(state.rivals, laws))
        return replace(state, mechanisms=with_residual_laws(state.mechanisms, laws))
    if request.kind == CalibrationKind.name:
        return replace(state, calibrations=decode_calibration(study, request, released))
    if request.kind == NoisyResidualsKind.name:
        laws = noisy_residuals_release(study, request, released)
        return replace(state, mechanisms=with_residual_laws(state.mechanisms, laws))
    if request.kind == AipwKind.name:
        return replace(state, second_estimates=_estimates(study, request, released))
    if request.kind == NoisyAipwKind.name:
        return replace(state, second_estimates=_noisy_estimates(state, request, released))
    if request.kind == AipwSitesKind.name:
        tests = aipw_sites_release(study, request, released)
        compared = {
            query: found.compared_with(tests[query]) if query in tests else found
            for query, found in state.second_estimates.items()
        }
        return replace(state, second_estimates=compared)
    raise ValueError(f"nothing is made of a {request.kind!r}")


def _is_about_rivals(state: "StudyState", request: Request) -> bool:
    """Whether residuals are those of mechanisms that only compete with the model's."""
    if state.families_request is None or not state.rivals:
        return False
    asked = residuals_request(state.families_request, state.rivals)
    return asked is not None and asked.parameters == request.parameters


def _estimates(study: Study, request: Request, released: Released) -> dict[int, AipwEstimate]:
    sums, found = aipw_release(study, request, released), dict[int, AipwEstimate]()
    for one in influences_of(study, request):
        total = sums[one.query]
        value = None if total is None else estimate(one, total)
        if value is not None:
            found[one.query] = value
    return found


def _noisy_estimates(
    state: "StudyState", request: Request, released: Released
) -> dict[int, AipwEstimate]:
    study, engine = state.study, _engine(state)
    sums = noisy_aipw_release(study, request, released, state.num_sites)
    found = dict[int, AipwEstimate]()
    for one in parsed_influences(study, request):
        error = nuisance_error(study, one, engine, state.noisy_families, seed=state.seed)
        found[one.query] = noisy_estimate(one, sums[one.query], model_error=error)
    return found


def _engine(state: "StudyState") -> GramModel:
    if state.discovery is None:
        raise FedCausalError("a model needs a graph first")
    dag = state.discovery.model_dag()
    return GramModel(graph=dag, schema=state.study.schema(), mechanisms=state.mechanisms)
