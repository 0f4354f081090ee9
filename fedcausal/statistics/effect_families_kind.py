"""The "effect_families" statistic: noisy family sums that are charged to the effects."""

from typing import ClassVar, Literal

from fedcausal.data.table import TableSource
from fedcausal.model.noisy_families import NoisyFamilies
from fedcausal.private.effects_budget import charged_to_model
from fedcausal.statistics.kind import Request
from fedcausal.study import Study
from fedcausal_privacy.events import Event
from fedcausal_privacy.integer_noise import IntegerNoise
from fedcausal_privacy.statistic_spec import IntVector, StatisticSpec

__all__ = ["EffectFamilies", "as_noisy_families", "effect_families_request"]

_NOISY = NoisyFamilies()


class EffectFamilies:
    """`NoisyFamilies` in a study whose model has no epsilon, and whose effects have one.

    The same vector, sensitivity and noise, at the multiplier that `effects_budget` gives to it.

    Privacy: leaves a site only noised, through a secure sum, charged to the effects.
    """

    name: ClassVar[str] = "effect_families"
    part: ClassVar[Literal["effects"]] = "effects"

    def spec(self, study: Study, request: Request, num_sites: int) -> StatisticSpec:
        """The public shape and bounds; no cell is withheld, for all are noisy."""
        return _NOISY.spec(charged_to_model(study), as_noisy_families(request), num_sites)

    def event(self, study: Study, request: Request) -> Event:
        """What is charged: one Gaussian release of all families."""
        return _NOISY.event(charged_to_model(study), as_noisy_families(request))

    def compute_private(
        self,
        study: Study,
        request: Request,
        source: TableSource,
        *,
        num_sites: int,
        noise: IntegerNoise,
    ) -> IntVector:
        """The site's Grams with its share of the noise."""
        return _NOISY.compute_private(
            charged_to_model(study),
            as_noisy_families(request),
            source,
            num_sites=num_sites,
            noise=noise,
        )

    def width(self, study: Study, request: Request) -> int:
        """Parameters of the widest family."""
        return _NOISY.width(charged_to_model(study), as_noisy_families(request))


def effect_families_request(noisy: Request) -> Request:
    """The request for noisy families, charged to the effects."""
    return Request(kind=EffectFamilies.name, parameters=noisy.parameters)


def as_noisy_families(request: Request) -> Request:
    """The request under the name that the noisy families read."""
    return Request(kind=NoisyFamilies.name, parameters=request.parameters)
