"""How the epsilon of a closed-form model is divided: scales, where none are known, then sums."""

from dataclasses import dataclass
from functools import lru_cache

from fedcausal.errors import ProtocolError
from fedcausal.private.graph_budget import is_private
from fedcausal.study import Study
from fedcausal_privacy.dp.accountant import epsilon_of, noise_multiplier_for
from fedcausal_privacy.dp.events import GaussianRelease

__all__ = ["ModelBudget", "divided", "model_budget", "model_epsilon", "releases_model_scales"]

SCALE_SHARE = 0.08
"""Share of the budget (in 1 / noise multiplier squared) for the histograms that set the scales."""

_STEP = 1.001


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelBudget:
    """Noise multipliers of the releases that make a model.

    `scale` is None where the graph's own noisy release has told the scales before.
    """

    scale: float | None
    families: float

    def events(self) -> tuple[GaussianRelease, ...]:
        """The releases at a sensitivity of 1: what the accountant needs."""
        found = GaussianRelease(sensitivity=1.0, noise_multiplier=self.families, name="families")
        if self.scale is None:
            return (found,)
        scale = GaussianRelease(sensitivity=1.0, noise_multiplier=self.scale, name="scales")
        return scale, found


def model_epsilon(study: Study) -> float | None:
    """The epsilon of the model; None where the study promises none."""
    part = study.privacy.model
    return None if part is None or part.epsilon is None else float(part.epsilon)


def releases_model_scales(study: Study) -> bool:
    """Whether a closed form under an epsilon pays for scales of its own.

    A graph learnt from noisy sums has released them before, at its own cost. Exact sums of a
    graph without an epsilon would tell them too, but then the model would not be private.
    """
    has_noisy_gram = is_private(study) and study.discovery.tests == "gram"
    return study.knowledge.graph is not None or not has_noisy_gram


def model_budget(study: Study) -> ModelBudget:
    """The multipliers of a study; together they never cost more than `privacy.model.epsilon`.

    Raises
    ------
    ProtocolError
        The study has no epsilon for its model.
    """
    epsilon = model_epsilon(study)
    if epsilon is None:
        raise ProtocolError("noisy family sums were asked for by a study without privacy.model")
    return divided(epsilon, float(study.privacy.delta), releases_model_scales(study))


@lru_cache(maxsize=64)
def divided(epsilon: float, delta: float, scales: bool) -> ModelBudget:
    """An epsilon over the families and, with `scales`, the histograms before them."""
    whole = noise_multiplier_for(epsilon, delta)
    while True:
        budget = ModelBudget(
            scale=whole / SCALE_SHARE**0.5 if scales else None,
            families=whole / (1.0 - SCALE_SHARE) ** 0.5 if scales else whole,
        )
        # The accountant rounds each release up on its own grid.
        if epsilon_of(budget.events(), delta) <= epsilon:
            return budget
        whole *= _STEP
