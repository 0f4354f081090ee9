"""What a study will ask of a site, before it asks: kinds, shapes, thresholds and noise."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from fedcausal.discovery.local import LocalVotes
from fedcausal.errors import FedCausalError
from fedcausal.model.families import families_request
from fedcausal.private.effects_budget import fits_for_effects
from fedcausal.private.graph_budget import is_private
from fedcausal.private.model_budget import releases_model_scales
from fedcausal.statistics.derive import derive_spec, kind_of
from fedcausal.statistics.effect_families_kind import effect_scale_request
from fedcausal.statistics.gram_kind import compared_effects, gram_request
from fedcausal.statistics.implied import (
    counts_patterns_for_effects,
    counts_patterns_for_graph,
    fits_privately,
    is_implied,
    trains_flow,
)
from fedcausal.statistics.kind import PrivateKind, Request
from fedcausal.statistics.patterns_kind import (
    candidate_patterns,
    pairs_request,
    patterns_request,
)
from fedcausal.statistics.range_kind import range_request, unbounded
from fedcausal.statistics.records import MAX_PATTERNS
from fedcausal.statistics.scale_kind import scale_request
from fedcausal.steps.graph import given_graph
from fedcausal.study import Study
from fedcausal_privacy.canonical import JsonValue

__all__ = ["PlannedStatistic", "planned_statistics"]

# Shapes do not depend on ranges; these stand for those that the first round will release.
_SOME_RANGE = (-16.0, 16.0)

_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "patterns": "counts of records by which values they lack",
        "effect_patterns": "counts of records by which values they lack",
        "range": "histogram of magnitudes of each variable without bounds",
        "tables": "counts of records per combination of levels, some variables at a time",
        "gram": "sums of products of features of each pair of variables",
        "scale": "noisy histogram of each variable",
        "noisy_gram": "noisy sums of products of clipped features",
        "votes": "how often the site's own graphs have each edge",
        "replicates": "the Gram again over resampled rows, with secret weights",
        "heterogeneity": "slopes along the learnt graph and their squares",
        "noisy_tables": "noisy counts per combination of levels, some variables at a time",
        "margins": "histograms of the causes, which place the knots of splines",
        "families": "sums of products within each variable and its causes",
        "spreads": "sums of products of the sizes of residuals and each variable's causes",
        "own_sums": "sums of products of features that the study's own mechanisms make of records",
        "model_scale": "noisy histogram of each variable",
        "noisy_families": "sums of products within each variable and its causes, with noise",
        "effect_scale": "noisy histogram of each variable",
        "effect_families": "sums of products within each variable and its causes, with noise",
        "calibration": "histograms of how far held-out records lie from their fitted means",
        "likelihoods": "log densities of candidate mechanisms, summed over held-out records",
        "flow_likelihoods": "log densities of the neural model, summed over held-out records",
        "residuals": "histogram of the model's residuals of each variable",
        "noisy_residuals": "noisy histogram of the model's residuals of each variable",
        "aipw": "sums of influence values: a second estimate of each effect",
        "aipw_sites": "the site's own such estimates and their squares",
        "noisy_aipw": "noisy sums of influence values",
        "update": "clipped change of the neural model's weights",
        "validation": "its loss on held-out rows, and their number",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStatistic:
    """One kind of statistic that a study asks for.

    Attributes
    ----------
    kind, part, words
        Its name, the privacy part that it is charged to, what it is.
    length
        Numbers in the vector; `is_exact` when known now, else the most there can be, and None
        when the learnt graph decides.
    width
        Parameters of its largest Gram or model (`policy.max_parameters_per_row`); None with
        `length`.
    rounds
        How often at most.
    epsilon, delta
        Of the part; None without differential privacy.
    min_cell
        Totals of fewer records are withheld; 0 where entries are no counts, or noise hides them.
    """

    kind: str
    part: str
    words: str
    length: int | None
    is_exact: bool
    width: int | None
    rounds: int
    epsilon: float | None
    delta: float | None
    min_cell: int

    @property
    def shape(self) -> str:
        """The length in words."""
        if self.length is None:
            return "by graph"
        return str(self.length) if self.is_exact else f"<= {self.length}"

    def to_json(self) -> dict[str, JsonValue]:
        """The statistic as a JSON object."""
        return {
            "kind": self.kind,
            "part": self.part,
            "what": self.words,
            "length": self.length,
            "exact": self.is_exact,
            "width": self.width,
            "rounds": self.rounds,
            "epsilon": self.epsilon,
            "delta": self.delta,
            "min_cell": self.min_cell,
        }


def planned_statistics(study: Study) -> tuple[PlannedStatistic, ...]:
    """All kinds of statistics that an honest run of a study asks for, in order.

    The gate refuses every other kind (`fedcausal.statistics.implied`). Shapes are those for the
    fewest sites that the study allows; they do not depend on the number.
    """
    return tuple(_planned(study, *one) for one in _requests(study))


def _requests(study: Study) -> Iterator[tuple[Request, str]]:
    """Requests as the protocol makes them, and how much is known of each: all, most or little."""
    if counts_patterns_for_graph(study):
        yield from _pattern_requests(study, of_effects=False)
    known = range_request(study)
    if known is not None:
        yield known, "all"
    yield from _graph_requests(study)
    if counts_patterns_for_effects(study):
        yield from _pattern_requests(study, of_effects=True)
    yield from _model_requests(study)
    asked = ("aipw", "aipw_sites", "noisy_aipw") if _compares_levels(study) else ()
    for kind in asked:
        if is_implied(study, Request(kind=kind)):
            yield Request(kind=kind), "little"
    if trains_flow(study):
        yield Request(kind="update"), "little"
    if trains_flow(study) and study.model.patience:
        yield Request(kind="validation"), "little"
    if is_implied(study, Request(kind="flow_likelihoods")):
        yield Request(kind="flow_likelihoods"), "little"


def _pattern_requests(study: Study, *, of_effects: bool) -> Iterator[tuple[Request, str]]:
    """All patterns of few variables; of many first the pairs, then those that they make likely."""
    candidates = candidate_patterns(study, None)
    if candidates is None:
        yield pairs_request(of_effects=of_effects), "all"
        yield patterns_request(range(MAX_PATTERNS), of_effects=of_effects), "most"
    else:
        yield patterns_request(candidates, of_effects=of_effects), "all"


def _model_requests(study: Study) -> Iterator[tuple[Request, str]]:
    """Of the closed form: noisy ones charged to the effects, to the model, or exact ones."""
    for_effects = fits_for_effects(study)
    if for_effects or fits_privately(study):
        if releases_model_scales(study):
            asked = effect_scale_request() if for_effects else scale_request(of_model=True)
            yield asked, "all"
        yield Request(kind="effect_families" if for_effects else "noisy_families"), "little"
        if for_effects:
            yield Request(kind="noisy_residuals"), "little"
        return
    if study.model.knots and any(variable.is_numeric for variable in study.schema()):
        # How many knots a spline has is known when the histograms are.
        yield Request(kind="margins"), "little"
        yield Request(kind="families"), "little"
    else:
        yield _families(study), "most" if study.knowledge.graph is None else "all"
    if is_implied(study, Request(kind="spreads")):
        yield Request(kind="spreads"), "little"
    if is_implied(study, Request(kind="residuals")):
        yield Request(kind="residuals"), "little"
    if is_implied(study, Request(kind="own_sums")):
        yield Request(kind="own_sums"), "little"
    if study.model.calibration > 0:
        yield Request(kind="calibration"), "little"
    if is_implied(study, Request(kind="likelihoods")):
        yield Request(kind="likelihoods"), "little"


def _compares_levels(study: Study) -> bool:
    """Whether a question has a treatment with levels: only such have influence values."""
    schema = study.schema()
    return any(schema[query.treatment].num_levels for query in study.effects.pooled)


def _graph_requests(study: Study) -> Iterator[tuple[Request, str]]:
    section = study.discovery
    if study.knowledge.graph is not None:
        if section.heterogeneity:
            yield Request(kind="heterogeneity"), "little"
        return
    if section.tests == "tables":
        yield Request(kind="noisy_tables" if is_private(study) else "tables"), "little"
        return
    if is_private(study):
        yield scale_request(), "all"
        yield Request(kind="noisy_gram"), "little"
        return
    ranges = dict.fromkeys(unbounded(study), _SOME_RANGE)
    yield gram_request(ranges), "all"
    if section.votes:
        yield Request(kind=LocalVotes.name), "all"
    other = compared_effects(study)
    if other is not None:
        yield gram_request(ranges, site_effects=other), "all"
    if section.resampling == "poisson" and section.bootstrap:
        yield Request(kind="replicates"), "little"
    if section.heterogeneity:
        yield Request(kind="heterogeneity"), "little"


def _families(study: Study) -> Request:
    """The families of the given graph, or of the one with every possible edge."""
    schema = study.schema()
    ranges = {v.name: v.bounds or _SOME_RANGE for v in schema if v.is_numeric}
    if study.knowledge.graph is not None:
        dag = given_graph(study).model_dag()
        edges = [(edge.source, edge.target) for edge in dag.edges]
    else:
        names = schema.names
        edges = [(a, b) for i, b in enumerate(names) for a in names[:i]]
    return families_request(edges, schema.names, ranges)


def _planned(study: Study, request: Request, known: str) -> PlannedStatistic:
    kind = kind_of(request)
    part = getattr(study.privacy, kind.part)
    is_trained = kind.name in ("update", "validation")
    is_noised = isinstance(kind, PrivateKind) or (is_trained and part is not None)
    length = width = None
    min_cell = 0 if is_noised else study.privacy.min_cell
    if known != "little":
        try:
            spec = derive_spec(study, request, study.privacy.min_sites)
            length, width = spec.length, kind.width(study, request)
            min_cell = spec.min_cell
        except FedCausalError:
            known = "little"
    return PlannedStatistic(
        kind=kind.name,
        part=kind.part,
        words=_words(request),
        length=length,
        is_exact=known == "all",
        width=width,
        rounds=study.model.rounds if is_trained else 1,
        epsilon=part.epsilon if part is not None and is_noised else None,
        delta=study.privacy.delta if part is not None and is_noised else None,
        min_cell=min_cell,
    )


def _words(request: Request) -> str:
    """What a request is; a second Gram is another treatment of the sites' differences."""
    other = request.parameters.get("site_effects")
    return _WORDS[request.kind] + (f", sites treated by {other!r}" if other else "")
