"""Which statistics a study can need at all: what a site answers follows from what it approved."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from fedcausal.model.private_family import private_family
from fedcausal.private.effects_budget import effects_are_private, fits_for_effects
from fedcausal.private.model_budget import model_epsilon, releases_model_scales
from fedcausal.statistics.kind import Request
from fedcausal.statistics.range_kind import unbounded
from fedcausal.study import Study

__all__ = [
    "counts_patterns_for_effects",
    "counts_patterns_for_graph",
    "fits_privately",
    "is_implied",
    "trains_flow",
]


def is_implied(study: Study, request: Request) -> bool:
    """Whether an honest run of the study may ask for a kind of statistic.

    Privacy: read by the site's gate. A study that switched votes off is not approved for votes,
    and ranges are released of variables whose bounds it leaves open. Kinds without a condition of
    their own check their requests in `spec`.
    """
    condition = _CONDITIONS.get(request.kind)
    return condition is None or condition(study, request)


def trains_flow(study: Study) -> bool:
    """Whether the study trains a neural model beside the closed form, or instead of it.

    "auto" does so under differential privacy only, and only where the closed form under it would
    predict worse (`private_family`): without an epsilon a model of more parameters than a third
    of a site's rows is refused by that site's own policy.
    """
    if study.model.family == "auto":
        return study.privacy.model is not None and not fits_privately(study)
    return study.model.family == "nodeflow"


def fits_privately(study: Study) -> bool:
    """Whether the closed form is fitted from noisy sums: it is the model, which has an epsilon."""
    return model_epsilon(study) is not None and private_family(study).is_closed_form


def counts_patterns_for_graph(study: Study) -> bool:
    """Whether exact sums of the graph, or released ranges, ask which records take part."""
    is_asked = study.knowledge.graph is None or bool(unbounded(study))
    return is_asked and study.privacy.graph is None and study.privacy.incomplete == "common"


def counts_patterns_for_effects(study: Study) -> bool:
    """Whether exact family sums ask it, because no sum of the graph has."""
    is_known = counts_patterns_for_graph(study) or study.privacy.incomplete != "common"
    return not is_known and not fits_privately(study) and not effects_are_private(study)


def _for_graph(study: Study, request: Request) -> bool:
    return counts_patterns_for_graph(study)


def _for_effects(study: Study, request: Request) -> bool:
    return counts_patterns_for_effects(study)


def _has_open_bounds(study: Study, request: Request) -> bool:
    names = request.parameters.get("variables")
    return isinstance(names, Sequence) and not isinstance(names, str) and _all_open(study, names)


def _all_open(study: Study, names: Sequence[object]) -> bool:
    known = unbounded(study)
    return all(name in known for name in names)


def _learns_the_graph(study: Study, request: Request) -> bool:
    return study.knowledge.graph is None


def _sums_noisily(study: Study, request: Request) -> bool:
    return _learns_the_graph(study, request) and study.discovery.tests == "gram"


def _counts_noisily(study: Study, request: Request) -> bool:
    return _learns_the_graph(study, request) and study.discovery.tests == "tables"


def _votes(study: Study, request: Request) -> bool:
    return study.knowledge.graph is None and study.discovery.votes


def _compares_sites(study: Study, request: Request) -> bool:
    return study.discovery.heterogeneity


def _trains(study: Study, request: Request) -> bool:
    return trains_flow(study)


def _stops_early(study: Study, request: Request) -> bool:
    return trains_flow(study) and study.model.patience > 0


def _fits_exactly(study: Study, request: Request) -> bool:
    return not fits_privately(study) and not effects_are_private(study)


def _counts_residuals(study: Study, request: Request) -> bool:
    return _fits_exactly(study, request) and not study.federation.robust


def _calibrates(study: Study, request: Request) -> bool:
    return study.model.calibration > 0 and _fits_exactly(study, request)


def _scales_noise(study: Study, request: Request) -> bool:
    return study.model.variance == "by-parents" and _fits_exactly(study, request)


def _has_own(study: Study, request: Request) -> bool:
    return bool(study.model.mechanisms) and _counts_residuals(study, request)


def _chooses(study: Study, request: Request) -> bool:
    return study.model.mechanism == "auto" and _fits_exactly(study, request)


def _chooses_flows(study: Study, request: Request) -> bool:
    return _chooses(study, request) and trains_flow(study)


def _fits_splines(study: Study, request: Request) -> bool:
    return study.model.knots > 0 and _fits_exactly(study, request)


def _fits_noisily(study: Study, request: Request) -> bool:
    return fits_privately(study)


def _scales_the_model(study: Study, request: Request) -> bool:
    return fits_privately(study) and releases_model_scales(study)


def _fits_for_effects(study: Study, request: Request) -> bool:
    return fits_for_effects(study)


def _scales_for_effects(study: Study, request: Request) -> bool:
    return fits_for_effects(study) and releases_model_scales(study)


def _asks_exactly(study: Study, request: Request) -> bool:
    return bool(study.effects.pooled) and _counts_residuals(study, request)


def _asks_noisily(study: Study, request: Request) -> bool:
    return bool(study.effects.pooled) and effects_are_private(study)


def _compares_effects(study: Study, request: Request) -> bool:
    return study.discovery.heterogeneity and _asks_exactly(study, request)


_CONDITIONS: Mapping[str, Callable[[Study, Request], bool]] = MappingProxyType(
    {
        "patterns": _for_graph,
        "effect_patterns": _for_effects,
        "range": _has_open_bounds,
        "gram": _learns_the_graph,
        "noisy_gram": _sums_noisily,
        "noisy_tables": _counts_noisily,
        "votes": _votes,
        "heterogeneity": _compares_sites,
        "margins": _fits_splines,
        "families": _fits_exactly,
        "spreads": _scales_noise,
        "residuals": _counts_residuals,
        "own_sums": _has_own,
        "calibration": _calibrates,
        "likelihoods": _chooses,
        "flow_likelihoods": _chooses_flows,
        "noisy_families": _fits_noisily,
        "model_scale": _scales_the_model,
        "effect_scale": _scales_for_effects,
        "effect_families": _fits_for_effects,
        "noisy_residuals": _fits_for_effects,
        "aipw": _asks_exactly,
        "aipw_sites": _compares_effects,
        "noisy_aipw": _asks_noisily,
        "update": _trains,
        "validation": _stops_early,
    }
)
