"""Statistics of a closed-form model that the effects pay for: scales, then noisy family sums."""

from typing import ClassVar, Literal

from fedcausal.data.table import TableSource
from fedcausal.model.noisy_families import NoisyFamilies
from fedcausal.private.effects_budget import charged_to_model
from fedcausal.statistics.kind import Request
from fedcausal.statistics.scale_kind import ModelScaleKind
from fedcausal.study import Study
from fedcausal_privacy.dp.events import Event
from fedcausal_privacy.dp.integer_noise import IntegerNoise
from fedcausal_privacy.statistic_spec import IntVector, StatisticSpec

__all__ = [
    "EffectFamilies",
    "EffectScale",
    "as_charged_to_model",
    "effect_families_request",
    "effect_scale_request",
]


class EffectFamilies:
    """`NoisyFamilies` in a study whose model has no epsilon, and whose effects have one.

    The same vector, sensitivity and noise, at the multiplier that `effects_budget` gives to it.

    Privacy: leaves a site only noised, through a secure sum, charged to the effects.
    """

    name: ClassVar[str] = "effect_families"
    part: ClassVar[Literal["effects"]] = "effects"
    of_model: ClassVar[NoisyFamilies | ModelScaleKind] = NoisyFamilies()

    def spec(self, study: Study, request: Request, num_sites: int) -> StatisticSpec:
        """The public shape and bounds; no cell is withheld, for all are noisy."""
        return self.of_model.spec(charged_to_model(study), as_charged_to_model(request), num_sites)

    def event(self, study: Study, request: Request) -> Event:
        """What is charged: one Gaussian release of the whole vector."""
        return self.of_model.event(charged_to_model(study), as_charged_to_model(request))

    def compute_private(
        self,
        study: Study,
        request: Request,
        source: TableSource,
        *,
        num_sites: int,
        noise: IntegerNoise,
    ) -> IntVector:
        """The site's sums with its share of the noise."""
        return self.of_model.compute_private(
            charged_to_model(study),
            as_charged_to_model(request),
            source,
            num_sites=num_sites,
            noise=noise,
        )

    def width(self, study: Study, request: Request) -> int:
        """Parameters of the widest family; none of a histogram."""
        return self.of_model.width(charged_to_model(study), as_charged_to_model(request))


class EffectScale(EffectFamilies):
    """`ModelScaleKind` in such a study: the histograms that set the scales of those families.

    Privacy: leaves a site only noised, through a secure sum, charged to the effects.
    """

    name: ClassVar[str] = "effect_scale"
    of_model: ClassVar[NoisyFamilies | ModelScaleKind] = ModelScaleKind()


def effect_scale_request() -> Request:
    """The request for scales, charged to the effects; it has no parameters."""
    return Request(kind=EffectScale.name)


def effect_families_request(noisy: Request) -> Request:
    """The request for noisy families, charged to the effects."""
    return Request(kind=EffectFamilies.name, parameters=noisy.parameters)


def as_charged_to_model(request: Request) -> Request:
    """The request under the name that the model's own statistic reads."""
    of_model = EffectScale if request.kind == EffectScale.name else EffectFamilies
    return Request(kind=of_model.of_model.name, parameters=request.parameters)
