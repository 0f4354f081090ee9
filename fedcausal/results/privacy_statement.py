"""What of a study is differentially private and what is not, in plain words."""

from collections.abc import Sequence
from dataclasses import dataclass

from fedcausal.private.effects_budget import effects_are_private, fits_for_effects
from fedcausal.private.graph_budget import is_private, num_colluding
from fedcausal.private.model_budget import releases_model_scales
from fedcausal.statistics.implied import fits_privately, trains_flow
from fedcausal.statistics.range_kind import unbounded
from fedcausal.steps.state import STEPS, Step
from fedcausal.study import Study
from fedcausal.study_file.sections import PartPrivacy
from fedcausal_privacy.canonical import JsonValue

__all__ = ["PartStatement", "privacy_statements"]

SECOND_ESTIMATES = "noisy sums of influence values, for a second estimate of each effect"
SCALES = "noisy histograms that set scales, "
NOISY_EFFECTS = (
    "noisy family sums, noisy histograms of residuals, noisy sums of influence values and the "
    "answers made of them"
)
FROM_THE_MODEL = "effects are answered from the noised model, which costs nothing more"

WHAT = {
    "graph": "the Gram, the sites' votes and the graph made of them",
    "model": "the neural model, trained at the sites",
    "effects": "the family Grams, the histograms of parents and residuals, the sums of influence "
    "values and the answers made of them",
}

TABLES = "the contingency tables and the graph made of them"


NOISY_MODEL = "noisy family sums in one release, and the model and the answers made of them"
NOISY_GRAPH = "noisy histograms, one noisy Gram and the graph made of them"
NOISY_TABLES = "noisy contingency tables, three rounds at most, and the graph made of them"
NOT_COVERED = (
    "it does not cover that a site takes part or refuses, nor the parts of the study without an "
    "epsilon; a person with several records, or at several sites, is protected less"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PartStatement:
    """One part of a study: its epsilon per record (None: no differential privacy), in words."""

    part: str
    epsilon: float | None
    sentence: str

    def to_json(self) -> dict[str, JsonValue]:
        """The statement as a JSON object."""
        return {"part": self.part, "epsilon": self.epsilon, "sentence": self.sentence}


def privacy_statements(
    study: Study, *, steps: Sequence[Step] = STEPS
) -> tuple[PartStatement, ...]:
    """One statement for each part of a study whose run goes as far as `steps`.

    An epsilon is stated only where something was released under it.
    """
    settings = {
        "graph": study.privacy.graph,
        "effects": study.privacy.effects,
        "model": study.privacy.model,
    }
    return tuple(_statement(study, part, setting, steps) for part, setting in settings.items())


def _statement(
    study: Study, part: str, setting: PartPrivacy | None, steps: Sequence[Step]
) -> PartStatement:
    silence = _nothing_released(study, part, steps)
    if silence is not None:
        return PartStatement(part=part, epsilon=None, sentence=silence)
    what = TABLES if part == "graph" and study.discovery.tests == "tables" else WHAT[part]
    if setting is None or setting.epsilon is None:
        sentence = f"{what} have no differential privacy: {_exactly(study)}"
        return PartStatement(part=part, epsilon=None, sentence=sentence)
    is_shared = part == "effects" or (part == "graph" and is_private(study))
    is_shared = is_shared or (part == "model" and fits_privately(study))
    what = _noisy(study, part) or what
    sentence = (
        f"{what}: differentially private per record, epsilon "
        f"{setting.epsilon:g} at delta {study.privacy.delta:g} for each site's records (add or "
        f"remove one){_against_sites(study) if is_shared else ''}; {NOT_COVERED}"
    )
    return PartStatement(part=part, epsilon=setting.epsilon, sentence=sentence)


def _exactly(study: Study) -> str:
    if study.federation.robust:
        return (
            "the sums are exact, and each site's were released by themselves, not hidden, to find "
            "sites that lie"
        )
    return (
        "each sum is exact, hidden and encrypted, and totals below "
        f"{study.privacy.min_cell} records are withheld"
    )


def _noisy(study: Study, part: str) -> str | None:
    """What is released with noise in the place of exact sums; None where DP-SGD trains."""
    if part == "graph":
        noisy = NOISY_TABLES if study.discovery.tests == "tables" else NOISY_GRAPH
        return noisy if is_private(study) else None
    scales = SCALES if releases_model_scales(study) else ""
    if part == "model":
        return scales + NOISY_MODEL if fits_privately(study) else None
    if fits_for_effects(study):
        return scales + NOISY_EFFECTS
    return f"{SECOND_ESTIMATES}; {FROM_THE_MODEL}"


def _nothing_released(study: Study, part: str, steps: Sequence[Step]) -> str | None:
    """Why the sites released nothing for a part; None where they did."""
    if part == "graph":
        was_asked = (
            study.knowledge.graph is None or unbounded(study) or study.discovery.heterogeneity
        )
        return None if was_asked else "the graph was given with the study"
    if "model" not in steps:
        return "the run stopped before this part"
    if part == "effects" and fits_privately(study) and not _asks_second(study, steps):
        return FROM_THE_MODEL
    if part == "model" and not trains_flow(study) and not fits_privately(study):
        return "the study trains no neural model"
    return None


def _asks_second(study: Study, steps: Sequence[Step]) -> bool:
    """Whether noisy sums of influence values may have been asked for."""
    schema = study.schema()
    levels = any(schema[query.treatment].num_levels for query in study.effects.pooled)
    return effects_are_private(study) and levels and "effects" in steps


def _against_sites(study: Study) -> str:
    if study.privacy.colluding_sites is None:
        return ", also against a quarter of the sites together"
    return f", also against {num_colluding(study, 0)} sites together"
