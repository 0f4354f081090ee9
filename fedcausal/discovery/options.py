"""What a user may choose about discovery, documented once."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast, get_args

from fedcausal.errors import InputError

if TYPE_CHECKING:
    from fedcausal.study import Study

__all__ = ["Algorithm", "DiscoveryOptions"]

Algorithm = Literal["order-search", "flop", "pc", "fci", "ges", "boss"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscoveryOptions:
    """Options of discovery; the defaults are those of a study.

    Parameters
    ----------
    algorithm
        `order-search` (any blocks, any knowledge), `boss`, `pc`, `fci` (latent confounders
        allowed; the result is a PAG), `ges` (one feature per variable), or `flop` (the same, no
        knowledge).
    alpha
        Level of each independence test.
    penalty
        Factor of the BIC penalty; 1 is BIC.
    restarts
        How long a search goes on: `flop` and `boss` restart so often; `order-search` ends when
        twice so many climbs in a row have found nothing better, or two more than so many climbs
        have ended at the best score.
    bootstrap
        Resamples for edge probabilities.
    vote_weight
        Weight of the sites' votes against the pooled score.
    seed
        Seed of random orders and resamples: the same seed gives the same graph.
    time_limit_seconds
        Stop searching after this time and return the best graph so far; `flop`, `pc`, `fci` and
        `ges` run to their end and say so. None (the default) keeps the result independent of the
        machine's speed.
    """

    algorithm: Algorithm = "order-search"
    alpha: float = 0.01
    penalty: float = 1.0
    restarts: int = 5
    bootstrap: int = 100
    vote_weight: float = 1.0
    seed: int = 0
    time_limit_seconds: float | None = None

    def __post_init__(self) -> None:
        if self.algorithm not in get_args(Algorithm):
            raise InputError(
                f"discovery.algorithm: expected one of {get_args(Algorithm)}, "
                f"got {self.algorithm!r}"
            )
        if not 0.0 < self.alpha < 1.0:
            raise InputError(f"discovery.alpha: expected a number in (0, 1), got {self.alpha}")
        if not self.penalty > 0.0 or self.vote_weight < 0.0:
            raise InputError("discovery.penalty must be above 0, discovery.vote_weight at least 0")
        if self.restarts < 0 or self.bootstrap < 0:
            raise InputError("discovery.restarts and discovery.bootstrap must be at least 0")

    @classmethod
    def from_study(cls, study: "Study", *, seed: int = 0) -> "DiscoveryOptions":
        """The options that a study states, with the seed of a run."""
        section = study.discovery
        return cls(
            algorithm=cast(Algorithm, section.algorithm),
            alpha=section.alpha,
            penalty=section.penalty,
            restarts=section.restarts,
            time_limit_seconds=section.time_limit_seconds,
            bootstrap=section.bootstrap,
            vote_weight=section.vote_weight,
            seed=seed,
        )
