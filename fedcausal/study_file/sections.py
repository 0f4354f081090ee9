"""The sections of a study file, each validated on its own."""

import math
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, Strict, field_validator, model_validator

from fedcausal.effects.population_name import POOLED, named_population
from fedcausal.errors import InputError
from fedcausal.study_file.errors import refuse
from fedcausal.study_file.values import Number, NumberOrText, Pairs, Section, Tiers, TwoValues
from fedcausal.study_file.variables import known_basis

__all__ = [
    "ALGORITHMS",
    "DiscoverySection",
    "EffectQuery",
    "EffectsSection",
    "FederationSection",
    "KnowledgeSection",
    "ModelSection",
    "OwnMechanismSection",
    "PartPrivacy",
    "PrivacySection",
    "RoundsSection",
    "StudySection",
]

ALGORITHMS = ("order-search", "flop", "pc", "fci", "ges", "boss")

# A larger weight drowns every digit of the likelihood; no rate in use is larger.
MAX_WEIGHT = 1e6
# Beyond it the promise is empty, and the accountant takes minutes to say so.
MAX_EPSILON = 100
SECONDS_OF_A_YEAR = 31_536_000

# Exact integer sums: 2^20 steps per feature leave 2^25 records in 63 bits.
MAX_RECORDS = 2**25 - 1


class StudySection(Section):
    """What the study is about, in words."""

    name: str = Field(default="study", min_length=1, max_length=200)
    title: str = ""
    question: str = ""
    contact: str = ""

    @field_validator("name")
    @classmethod
    def _one_line(cls, name: str) -> str:
        if not name.isprintable() or name != name.strip():
            raise refuse(f"expected one line without outer spaces, got {name!r}; rename it")
        return name


class KnowledgeSection(Section):
    """What is known before any data: order in time, required and forbidden edges, or the graph.

    `graph` names a graph file next to the study file; loading the study puts the file's text
    here, so that the approved hash covers the graph itself.
    """

    tiers: Tiers = ()
    required: Pairs = ()
    forbidden: Pairs = ()
    graph: str | None = None


class DiscoverySection(Section):
    """How the graph is learnt.

    `time_limit_seconds` bounds each search of order-search and boss, which return the best graph
    so far; the other algorithms run to their end and say so.
    """

    algorithm: str = "order-search"
    basis: str = "linear"
    site_effects: Literal["center", "standardize", "pool"] = "center"
    alpha: Number = Field(default=0.01, gt=0, lt=1)
    penalty: Number = Field(default=1.0, gt=0, le=MAX_WEIGHT)
    bootstrap: int = Field(default=100, ge=0, le=10_000)
    votes: bool = True
    vote_bootstraps: int = Field(default=20, ge=1, le=1000)
    vote_weight: Number = Field(default=1.0, ge=0, le=MAX_WEIGHT)
    restarts: int = Field(default=5, ge=1, le=1000)
    time_limit_seconds: Number | None = Field(default=None, gt=0, le=SECONDS_OF_A_YEAR)
    heterogeneity: bool = False
    tests: Literal["gram", "tables"] = "gram"
    score: Literal["bdeu", "bic"] = "bdeu"
    resampling: Literal["wishart", "poisson"] = "wishart"

    @field_validator("algorithm")
    @classmethod
    def _available(cls, algorithm: str) -> str:
        if algorithm in ALGORITHMS:
            return algorithm
        usable = ", ".join(f'"{a}"' for a in ALGORITHMS)
        raise refuse(f'unknown algorithm "{algorithm}"; write one of {usable}')

    @field_validator("basis")
    @classmethod
    def _known_basis(cls, basis: str) -> str:
        return known_basis(basis)


class PartPrivacy(Section):
    """Differential privacy of one part of a study: its epsilon per record."""

    epsilon: Number | None = Field(default=None, gt=0, le=MAX_EPSILON)


class PrivacySection(Section):
    """What hides a site's sums, and the smallest groups that may show.

    `mode` "masked": pairwise masks; a site that drops out voids the attempt. "two-steward":
    one-time pads and a second key steward; dropouts void nothing. `incomplete` "common": a record
    that lacks values takes part in exact sums if `min_cell` records or more in all lack the same;
    "drop": only complete records do.
    """

    secure_aggregation: bool = True
    mode: Literal["masked", "two-steward"] = "masked"
    min_sites: int = Field(default=3, ge=3)
    min_cell: int = Field(default=5, ge=1)
    incomplete: Literal["common", "drop"] = "common"
    delta: Number = Field(default=1e-5, gt=0, lt=1)
    max_rows: int | None = Field(default=None, ge=2, le=MAX_RECORDS)
    colluding_sites: int | None = Field(default=None, ge=0)
    graph: PartPrivacy | None = None
    model: PartPrivacy | None = None
    effects: PartPrivacy | None = None

    @field_validator("secure_aggregation")
    @classmethod
    def _always_secure(cls, secure: bool) -> bool:
        if not secure:
            raise refuse(
                "every sum is hidden and encrypted in this version, got false; remove the key"
            )
        return secure

    @field_validator("graph", "model", "effects")
    @classmethod
    def _stated(cls, part: PartPrivacy | None) -> PartPrivacy | None:
        return None if part is None or part.epsilon is None else part


class OwnMechanismSection(Section):
    """A mechanism of a user's own: its name among those that installed packages offer."""

    name: str
    version: str


class ModelSection(Section):
    """The causal model: its family, size and training.

    `variance` "by-parents": the noise of a number in closed form may depend on its parents, where
    Schwarz's criterion says so; it costs one more round. `mechanism` "auto": each variable has the
    candidate that predicts best a share of every site's records (`calibration`, or `held_out`),
    which no fit has seen. `mechanisms` names users' own ones by variable.
    """

    family: Literal["auto", "gram", "nodeflow"] = "auto"
    degree: int = Field(default=2, ge=1, le=5)
    max_width: int = Field(default=32, ge=2, le=512)
    knots: int = Field(default=20, ge=0, le=64)
    variance: Literal["constant", "by-parents"] = "constant"
    mechanism: Literal["closed-form", "auto"] = "closed-form"
    residual_bins: int = Field(default=40, ge=4, le=1000)
    calibration: Number = Field(default=0.0, ge=0, le=0.5)
    rounds: int = Field(default=5, ge=1, le=10_000)
    local_epochs: int = Field(default=5, ge=1, le=1000)
    batch: int = Field(default=32, ge=1)
    sample_rate: Number = Field(default=0.2, gt=0, le=1)
    learning_rate: Number = Field(default=0.01, gt=0, le=MAX_WEIGHT)
    hidden: int = Field(default=16, ge=1, le=4096)
    bins: int = Field(default=6, ge=2, le=128)
    clip: Number = Field(default=1.0, gt=0, le=MAX_WEIGHT)
    update_clip: Number = Field(default=1.0, gt=0, le=MAX_WEIGHT)
    device: Annotated[str, Field(pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")] = "auto"
    strategy: Literal["fedavg", "fedprox", "fedavgm", "fedadam", "fedyogi", "fedadagrad"] = (
        "fedavg"
    )
    proximal_mu: Number = Field(default=0.01, gt=0, le=MAX_WEIGHT)
    server_rate: Number | None = Field(default=None, gt=0, le=MAX_WEIGHT)
    server_momentum: Number = Field(default=0.9, ge=0, lt=1)
    patience: int = Field(default=0, ge=0, le=1000)
    held_out: Number = Field(default=0.1, ge=0.01, le=0.5)
    members: int = Field(default=1, ge=1, le=64)
    mechanisms: Annotated[dict[str, OwnMechanismSection], Strict(False)] = Field(
        default_factory=dict
    )


class EffectQuery(Section):
    """One question: what happens to `outcome` when `treatment` goes from one value to another.

    `population` says on average over whom: "pooled", all sites' records; "target NAME", people
    with these `means` (shares of the last of two levels); "site NAME", one site's records, which
    that site alone can answer, at its own place.
    """

    treatment: str
    outcome: str
    values: TwoValues
    population: str = POOLED
    means: Annotated[dict[str, NumberOrText], Strict(False)] = Field(default_factory=dict)

    @field_validator("population")
    @classmethod
    def _named(cls, text: str) -> str:
        try:
            return named_population(text).words
        except InputError as error:
            raise refuse(str(error).removeprefix("effects.population: ")) from None

    @model_validator(mode="after")
    def _told(self) -> "EffectQuery":
        kind = named_population(self.population).kind
        if kind == "target" and not self.means:
            raise refuse(
                f"{self.population!r} is told by its covariates' means; write for example "
                "means = { age = 70 }",
                key="means",
            )
        if kind != "target" and self.means:
            raise refuse(
                f"means describe a target population, and this is {self.population!r}; write "
                'population = "target NAME", or leave means out',
                key="means",
            )
        return self

    @property
    def is_of_a_site(self) -> bool:
        """Whether one site's records are meant, which nobody else averages over."""
        return named_population(self.population).kind == "site"

    @model_validator(mode="after")
    def _contrast(self) -> "EffectQuery":
        if self.treatment == self.outcome:
            raise refuse(
                f"treatment and outcome are both {self.treatment!r}; name two variables",
                key="outcome",
            )
        if self.values[0] == self.values[1]:
            raise refuse(
                f"expected two different values, got {_shown(self.values)}; "
                "write values = [from, to]",
                key="values",
            )
        return self


class EffectsSection(Section):
    """The questions, and how many draws answer each.

    `propensity_clip` is the public p of the doubly robust estimate: probabilities of a treatment
    are held within [p, 1 - p].
    """

    queries: Annotated[tuple[EffectQuery, ...], Strict(False)] = ()
    draws: int = Field(default=200, ge=1, le=100_000)
    samples: int = Field(default=4000, ge=100, le=10_000_000)
    propensity_clip: Number = Field(default=0.05, ge=0.01, lt=0.5)

    @property
    def pooled(self) -> tuple[EffectQuery, ...]:
        """The queries about all sites' records: only these have a second, doubly robust answer."""
        return tuple(query for query in self.queries if query.population == POOLED)


class FederationSection(Section):
    """What the study assumes of its sites.

    `robust` are the most sites that may lie. With one or more, each site's sums are released by
    themselves, exact and signed, so that they can be checked and compared; 0 (the default) adds
    them under two locks, which shows no site's part, a liar's neither.
    """

    robust: int = Field(default=0, ge=0, le=300)


class RoundsSection(Section):
    """How long a round waits, and for whom.

    `deadline_seconds` is the limit of every wait. `quorum` are the fewest sites with which a round
    goes on when others are missing; `privacy.min_sites` when left out.
    """

    deadline_seconds: Number = Field(default=600.0, gt=0, le=SECONDS_OF_A_YEAR)
    quorum: int | None = Field(default=None, ge=3)

    @field_validator("deadline_seconds")
    @classmethod
    def _finite(cls, seconds: float) -> float:
        if not math.isfinite(seconds):
            raise refuse("every wait has a deadline; write a number of seconds")
        return seconds


def _shown(values: Sequence[float | str]) -> str:
    return "[" + ", ".join(f"{v:g}" if isinstance(v, float) else f'"{v}"' for v in values) + "]"
