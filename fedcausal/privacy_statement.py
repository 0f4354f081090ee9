"""What of a study is differentially private and what is not, in plain words."""

from dataclasses import dataclass

from fedcausal.protocol import trains_flow
from fedcausal.study import Study
from fedcausal_privacy.canonical import JsonValue

__all__ = ["PartStatement", "privacy_statements"]

WHAT = {
    "graph": "the Gram, the sites' votes and the graph made of them",
    "model": "the neural model, trained at the sites",
    "effects": "the family Grams, the residual histograms and the answers made of them",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PartStatement:
    """One part of a study: its epsilon per record (None: no differential privacy), in words."""

    part: str
    epsilon: float | None
    sentence: str

    def to_json(self) -> dict[str, JsonValue]:
        """The statement as a JSON object."""
        return {"part": self.part, "epsilon": self.epsilon, "sentence": self.sentence}


def privacy_statements(study: Study) -> tuple[PartStatement, ...]:
    """One statement for each part of a study."""
    parts = {
        "graph": study.privacy.graph,
        "effects": study.privacy.effects,
        "model": study.privacy.model,
    }
    found = []
    for part, setting in parts.items():
        epsilon = None if setting is None else setting.epsilon
        if part == "model" and not trains_flow(study):
            sentence = "the study trains no neural model"
        elif epsilon is None:
            sentence = (
                f"{WHAT[part]} have no differential privacy: each sum is exact, masked and "
                f"encrypted, and totals below {study.privacy.min_cell} records are withheld"
            )
        else:
            sentence = (
                f"{WHAT[part]}: differentially private per record, epsilon {epsilon:g} at delta "
                f"{study.privacy.delta:g} for each site's records (add or remove one)"
            )
        found.append(PartStatement(part=part, epsilon=epsilon, sentence=sentence))
    return tuple(found)
