"""How the epsilon of the effects is divided: a model of their own, residuals, AIPW sums."""

from dataclasses import dataclass
from functools import lru_cache

from fedcausal.errors import ProtocolError
from fedcausal.private.model_budget import ModelBudget, divided, releases_model_scales
from fedcausal.study import Study
from fedcausal.study_file.sections import PartPrivacy
from fedcausal_privacy.dp.accountant import epsilon_of, noise_multiplier_for
from fedcausal_privacy.dp.events import GaussianRelease

__all__ = [
    "EffectsBudget",
    "charged_to_model",
    "effects_are_private",
    "effects_budget",
    "fits_for_effects",
]

FAMILY_SHARE = 0.55
"""Share of the budget (in 1 / noise multiplier squared) for the family sums and their scales."""

RESIDUAL_SHARE = 0.05
"""Share for the residual histograms, where family sums are charged to the effects."""

_STEP = 1.001


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectsBudget:
    """Noise multipliers of the releases that answer effects; None where a release is not made.

    `families_epsilon` is what the family sums cost alone, with the histograms that set their
    scales: `families` has the multipliers of both. The remaining share pays for the AIPW sums,
    all of it where the model has an epsilon of its own.
    """

    families_epsilon: float | None
    families: ModelBudget | None
    residuals: float | None
    aipw: float

    def events(self) -> tuple[GaussianRelease, ...]:
        """All releases at a sensitivity of 1: what the accountant needs."""
        multipliers = {"residuals": self.residuals, "aipw": self.aipw}
        first = () if self.families is None else self.families.events()
        return first + tuple(
            GaussianRelease(sensitivity=1.0, noise_multiplier=multiplier, name=name)
            for name, multiplier in multipliers.items()
            if multiplier is not None
        )


def effects_are_private(study: Study) -> bool:
    """Whether the study promises differential privacy of what is released for its effects."""
    return study.privacy.effects is not None and study.privacy.effects.epsilon is not None


def fits_for_effects(study: Study) -> bool:
    """Whether the family sums are noisy and charged to the effects.

    Where the closed form has an epsilon of its own (`privacy.model`), effects are answered from
    that model, which is post-processing and costs nothing more.
    """
    return effects_are_private(study) and not _model_is_noised(study)


def effects_budget(study: Study) -> EffectsBudget:
    """The division of a study; together the releases never cost more than its epsilon.

    Raises
    ------
    ProtocolError
        The study has no epsilon for its effects.
    """
    part = study.privacy.effects
    if part is None or part.epsilon is None:
        raise ProtocolError("a noisy statistic was asked for by a study without privacy.effects")
    epsilon, delta = float(part.epsilon), float(study.privacy.delta)
    if not fits_for_effects(study):
        whole = noise_multiplier_for(epsilon, delta)
        return EffectsBudget(families_epsilon=None, families=None, residuals=None, aipw=whole)
    return _divided(epsilon, delta, releases_model_scales(study))


def charged_to_model(study: Study) -> Study:
    """The study as one whose model pays for the family sums what the effects pay here.

    So the noisy families of a closed-form model serve both parts.
    """
    epsilon = effects_budget(study).families_epsilon
    if epsilon is None:
        raise ProtocolError("noisy family sums are charged to the model in this study")
    privacy = study.privacy.model_copy(update={"model": PartPrivacy(epsilon=epsilon)})
    model = study.model.model_copy(update={"family": "gram"})
    return study.model_copy(update={"privacy": privacy, "model": model})


def _model_is_noised(study: Study) -> bool:
    from fedcausal.statistics.implied import fits_privately

    return fits_privately(study)


@lru_cache(maxsize=64)
def _divided(epsilon: float, delta: float, scales: bool) -> EffectsBudget:
    whole = noise_multiplier_for(epsilon, delta)
    while True:
        families = GaussianRelease(
            sensitivity=1.0, noise_multiplier=whole / FAMILY_SHARE**0.5, name="families"
        )
        paid = epsilon_of([families], delta)
        budget = EffectsBudget(
            families_epsilon=paid,
            families=divided(paid, delta, scales),
            residuals=whole / RESIDUAL_SHARE**0.5,
            aipw=whole / (1.0 - FAMILY_SHARE - RESIDUAL_SHARE) ** 0.5,
        )
        # The accountant rounds each release up on its own grid.
        if epsilon_of(budget.events(), delta) <= epsilon:
            return budget
        whole *= _STEP
