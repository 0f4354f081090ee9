"""What a report says: plain values, filled by whoever ran the study."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from fedcausal.effects.effect import EffectEstimate
from fedcausal.errors import InputError
from fedcausal.graph import Graph

__all__ = ["Cell", "CounterfactualCase", "EdgeRow", "LedgerRow", "ReportContent", "TableView"]

Cell = str | int | float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TableView:
    """A table as readers see it; None is shown as a dash."""

    columns: tuple[str, ...] = ()
    rows: tuple[tuple[Cell, ...], ...] = ()
    note: str = ""

    def __post_init__(self) -> None:
        if any(len(row) != len(self.columns) for row in self.rows):
            raise InputError(f"a table of {len(self.columns)} columns has a row of other length")

    @property
    def numeric_columns(self) -> tuple[bool, ...]:
        """Whether a column holds a number anywhere: it is then aligned to the right."""
        return tuple(
            any(isinstance(row[k], int | float) for row in self.rows)
            for k in range(len(self.columns))
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeRow:
    """One edge in words: `kind` is "causes", "linked, direction not known", ...

    `probability` is the share of resamples with the edge, `votes` says in words how many sites
    saw it, `disagreement` what they saw instead.
    """

    source: str
    target: str
    kind: str
    probability: float | None = None
    votes: str = ""
    disagreement: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CounterfactualCase:
    """A synthetic patient as generated, and as it would have been under an action.

    `rows` are (variable, factual, counterfactual, is changed).
    """

    name: str
    action: str
    rows: tuple[tuple[str, Cell, Cell, bool], ...]
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerRow:
    """What one part of the study cost one site in privacy.

    `epsilon` None means that the part has no differential privacy.
    """

    site: str
    part: str
    epsilon: float | None
    delta: float | None = None
    protection: str = ""

    @property
    def sentence(self) -> str:
        """The protection in plain words."""
        if self.epsilon is None:
            return "No differential privacy: hidden by the secure sum and the cell rules only."
        failure = "" if self.delta is None else f" (but for a probability of {self.delta:g})"
        return (
            f"Differentially private: whether any one record was used changes the probability "
            f"of anything released by at most a factor of e^{self.epsilon:g}{failure}."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportContent:
    """Everything the HTML report shows; an empty part is left out or said to be empty.

    Attributes
    ----------
    title, question, contact
        The study in its own words.
    study_hash
        64 hex digits; shown as the fingerprint that sites approved.
    participants, differences, releases
        Who took part, how the sites' data differ, and what left each site with its bytes.
    graph, tiers, edges
        The learnt graph, its tiers, and its edges in words.
    model, choices, samples
        Each mechanism, what it was chosen among, and what the model generates under do().
    effects, units
        Estimates, and the unit of each variable.
    counterfactuals
        Synthetic patients, factual beside counterfactual.
    assumptions, limits, warnings
        Sentences.
    ledger
        One row per site and part.
    versions, seeds, command
        How to reproduce the run.
    """

    title: str
    question: str = ""
    contact: str = ""
    study_hash: str = ""
    summary: tuple[str, ...] = ()
    participants: TableView = TableView()
    differences: TableView = TableView()
    releases: TableView = TableView()
    graph: Graph | None = None
    tiers: tuple[tuple[str, ...], ...] = ()
    edges: tuple[EdgeRow, ...] = ()
    model: TableView = TableView()
    choices: TableView = TableView()
    effects: tuple[EffectEstimate, ...] = ()
    units: Mapping[str, str] = field(default_factory=dict)
    samples: TableView = TableView()
    counterfactuals: tuple[CounterfactualCase, ...] = ()
    assumptions: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    ledger: tuple[LedgerRow, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    seeds: Mapping[str, int] = field(default_factory=dict)
    command: str = ""
