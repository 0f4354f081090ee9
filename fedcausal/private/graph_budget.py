"""How the epsilon of the graph is divided, scales first, then the Gram; and the sites' noise."""

from dataclasses import dataclass
from functools import lru_cache

from fedcausal.data.table import Vector
from fedcausal.errors import ProtocolError
from fedcausal.study import Study
from fedcausal_privacy.dp.accountant import epsilon_of, noise_multiplier_for
from fedcausal_privacy.dp.events import GaussianRelease
from fedcausal_privacy.dp.integer_noise import IntegerNoise, num_colluding_by_default, share_of
from fedcausal_privacy.statistic_spec import IntVector

__all__ = ["GraphBudget", "graph_budget", "is_private", "noise_share", "num_colluding"]

SCALE_SHARE = 0.08
"""Share of the budget (in 1 / noise multiplier squared) for the histograms that set the scales."""

CENTRE_SHARE = 0.08
"""Share for the site's own private means, with site effects `center`."""

_STEP = 1.001


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphBudget:
    """Noise multipliers of the releases that make a graph; `centre` None where nothing is centred.

    Gaussian mechanisms compose exactly: multipliers s_i together cost what one release with
    1 / s^2 = sum 1 / s_i^2 costs, also when one reads the result of another.
    """

    scale: float
    centre: float | None
    gram: float

    @property
    def second_release(self) -> float:
        """The multiplier that the Gram and the private means used in it cost together."""
        if self.centre is None:
            return self.gram
        return float((self.gram**-2 + self.centre**-2) ** -0.5)

    def events(self) -> tuple[GaussianRelease, GaussianRelease]:
        """Both releases at a sensitivity of 1: what the accountant needs."""
        return (
            GaussianRelease(sensitivity=1.0, noise_multiplier=self.scale, name="scales"),
            GaussianRelease(sensitivity=1.0, noise_multiplier=self.second_release, name="gram"),
        )


def is_private(study: Study) -> bool:
    """Whether the study promises differential privacy of its graph."""
    return study.privacy.graph is not None and study.privacy.graph.epsilon is not None


def graph_budget(study: Study) -> GraphBudget:
    """The multipliers of a study; together they never cost more than `privacy.graph.epsilon`.

    Raises
    ------
    ProtocolError
        The study has no epsilon for its graph.
    """
    part = study.privacy.graph
    if part is None or part.epsilon is None:
        raise ProtocolError("a noisy statistic was asked for by a study without privacy.graph")
    centres = study.discovery.site_effects == "center"
    return _divided(float(part.epsilon), float(study.privacy.delta), centres)


def num_colluding(study: Study, num_sites: int) -> int:
    """How many sites may pool what they know without weakening the promise to the others."""
    chosen = study.privacy.colluding_sites
    return num_colluding_by_default(num_sites) if chosen is None else chosen


def noise_share(study: Study, scales: Vector, num_sites: int, noise: IntegerNoise) -> IntVector:
    """One site's share of the noise of a release: the one place where a total's noise is drawn.

    `scales` are the standard deviations that the release needs in the total, in integers.
    """
    return noise(share_of(scales, num_sites, num_colluding(study, num_sites)))


@lru_cache(maxsize=64)
def _divided(epsilon: float, delta: float, centres: bool) -> GraphBudget:
    whole = noise_multiplier_for(epsilon, delta)
    while True:
        centre = CENTRE_SHARE if centres else 0.0
        budget = GraphBudget(
            scale=whole / SCALE_SHARE**0.5,
            centre=whole / centre**0.5 if centre else None,
            gram=whole / (1.0 - SCALE_SHARE - centre) ** 0.5,
        )
        # The accountant rounds each release up on its own grid.
        if epsilon_of(budget.events(), delta) <= epsilon:
            return budget
        whole *= _STEP
