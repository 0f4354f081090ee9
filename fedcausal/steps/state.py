"""Where a study stands: what it has learnt, and what it asks next."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

from fedcausal.discovery.discrete_pc import DiscretePC
from fedcausal.discovery.table_search import TableSearch
from fedcausal.effects.aipw import AipwEstimate
from fedcausal.errors import InputError, StudyError
from fedcausal.model.calibration import Calibration
from fedcausal.model.candidates import NodeChoice
from fedcausal.model.family_gram import FamilyGram
from fedcausal.model.mechanism import Mechanism
from fedcausal.model.noisy_family_gram import NoisyFamilyGram
from fedcausal.model.own_entry_points import load_own
from fedcausal.model.scm import StructuralCausalModel
from fedcausal.moments.gram_totals import GramTotals
from fedcausal.private.noisy_totals import NoisyTotals
from fedcausal.statistics.kind import Request
from fedcausal.statistics.records import LeftOut
from fedcausal.statistics.scale_kind import ReleasedScales
from fedcausal.steps.graph import NO_MODEL, LearntGraph
from fedcausal.steps.training import FlowTraining, ServerStep
from fedcausal.study import Study

__all__ = ["STEPS", "Phase", "Step", "StudyState", "check_steps", "parse_steps"]

Step = Literal["discovery", "model", "effects"]
STEPS: tuple[Step, ...] = get_args(Step)
Phase = Literal[
    "pairs",
    "patterns",
    "ranges",
    "scales",
    "graph",
    "tables",
    "replicates",
    "heterogeneity",
    "model_scales",
    "margins",
    "families",
    "spreads",
    "residuals",
    "likelihoods",
    "training",
    "flow_likelihoods",
    "done",
]
Ranges = Mapping[str, tuple[float, float]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StudyState:
    """Where a study stands.

    Attributes
    ----------
    num_sites, num_invited
        Sites in the totals so far, and sites that the run began with: what a vector's public
        bounds and scales are derived from.
    requests, blobs
        What to ask of every site next, in one round; empty when done.
    ranges
        Range of every numeric variable: declared, or released in the first round.
    digests
        Per request, the SHA-256 of its released totals.
    records
        The patterns of missing values that exact sums take in; None for complete records.
    left_out
        The records that took no part in them, when a sum with such a list was released.
    gram, discovery, model, flow
        What has been learnt so far.
    server_step
        What makes the next weights of the sites' mean, where it is more than the mean itself.
    scales
        Rough laws of the variables, where an epsilon asks for them first.
    families, families_request
        The family Grams, and the request that asked for them.
    noisy_families
        Per node, its family Gram with the noise in it, where these are noisy.
    second_estimates
        The doubly robust estimate of each query that has one, by its position.
    rivals
        Constant-noise versions of the mechanisms whose noise is scaled, where both compete.
    candidates, choices
        What each node's mechanism was chosen among, and the choice with its reasons.
    calibrations
        How far held-out records lie from the fitted mean of each numeric node.
    """

    study: Study
    num_sites: int
    num_invited: int
    seed: int
    steps: tuple[Step, ...]
    phase: Phase
    requests: tuple[Request, ...] = ()
    blobs: Mapping[str, bytes] = field(default_factory=dict)
    ranges: Ranges = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)
    records: tuple[int, ...] | None = None
    left_out: LeftOut | None = None
    gram: GramTotals | NoisyTotals | None = None
    scales: ReleasedScales | None = None
    tables: DiscretePC | TableSearch | None = None
    discovery: LearntGraph | None = None
    families: Mapping[str, FamilyGram] = field(default_factory=dict)
    families_request: Request | None = None
    noisy_families: Mapping[str, NoisyFamilyGram] = field(default_factory=dict)
    mechanisms: Mapping[str, Mechanism] = field(default_factory=dict)
    model: StructuralCausalModel | None = None
    flow: FlowTraining | None = None
    server_step: ServerStep | None = None
    second_estimates: Mapping[int, AipwEstimate] = field(default_factory=dict)
    rivals: Mapping[str, Mechanism] = field(default_factory=dict)
    candidates: Mapping[str, Mapping[str, Mechanism]] = field(default_factory=dict)
    choices: Mapping[str, NodeChoice] = field(default_factory=dict)
    calibrations: Mapping[str, Calibration] = field(default_factory=dict)

    @property
    def done(self) -> bool:
        """Whether nothing is left to ask."""
        return self.phase == "done"

    def with_noisy_families(self, noisy: Mapping[str, NoisyFamilyGram]) -> "StudyState":
        """The state with family Grams that have noise in them."""
        grams = {node: found.gram for node, found in noisy.items()}
        return replace(self, families=grams, noisy_families=dict(noisy))


def parse_steps(steps: tuple[str, ...] | list[str]) -> tuple[Step, ...]:
    """The wanted steps in order; "model" brings "discovery", "effects" brings both."""
    unknown = sorted(set(steps) - set(STEPS))
    if unknown or not steps:
        raise InputError(f"steps: expected some of {', '.join(STEPS)}, got {unknown or 'none'}")
    last = max(STEPS.index(name) for name in STEPS if name in steps)
    return STEPS[: last + 1]


def check_steps(study: Study, steps: Sequence[str]) -> None:
    """Refuse a model where the study's algorithm finds none, before anything is asked.

    And one whose mechanisms are not installed where the study is led.
    """
    if "model" in steps:
        for node, own in sorted(study.model.mechanisms.items()):
            load_own(own.name, own.version, f"model.mechanisms.{node}")
    if study.discovery.algorithm == "fci" and study.knowledge.graph is None:
        later = [name for name in steps if name != "discovery"]
        if later:
            raise StudyError(f"{NO_MODEL} (got the steps {', '.join(steps)})")
