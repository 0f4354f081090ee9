"""The "noisy_aipw" statistic: noisy sums of influence values, charged to the effects."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from fedcausal.data.table import TableSource
from fedcausal.effects.influence import Influence
from fedcausal.errors import ProtocolError
from fedcausal.model.family_basis import FloatArray
from fedcausal.private.effects_budget import effects_budget
from fedcausal.private.graph_budget import num_colluding
from fedcausal.statistics.aipw_kind import parsed_influences, public_parameters
from fedcausal.statistics.gram_kind import max_rows_per_site
from fedcausal.statistics.kind import Request
from fedcausal.study import Study
from fedcausal_privacy.dp.events import GaussianRelease
from fedcausal_privacy.dp.integer_noise import IntegerNoise, share_of
from fedcausal_privacy.statistic_spec import IntVector, Released, StatisticSpec

__all__ = [
    "GRID",
    "WEIGHTS",
    "Limits",
    "NoisyAipwKind",
    "NoisyAipwSums",
    "noisy_aipw_release",
    "noisy_aipw_request",
]

GRID = 2**16
"""Integers per 1.0 of a bounded value."""

WEIGHTS = (0.1, 1.0, 0.25, 0.35)
"""What the mechanism gives to the counts, to the sums of (psi_b - psi_a) and (psi_a + psi_b), and
to the squares of the first: the effect is what is asked for, so its sum has most of the budget."""

_CELLS = 3
_LENGTH = _CELLS + 3
_NOISE_ROOM = 2**56


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Public centre and reach of psi_b - psi_a and of psi_a + psi_b: what is beyond is cut off.

    They are imagined from the released model, so that they cost nothing.
    """

    difference: float
    difference_reach: float
    total: float
    total_reach: float

    def __post_init__(self) -> None:
        numbers = (self.difference, self.total, self.difference_reach, self.total_reach)
        if not all(math.isfinite(v) and abs(v) <= 2.0**20 for v in numbers):
            raise ProtocolError("noisy_aipw: limits: expected finite numbers")
        if min(self.difference_reach, self.total_reach) < 2.0**-10:
            raise ProtocolError("noisy_aipw: limits: expected a reach above 0")

    def bounded(self, values: FloatArray) -> NDArray[np.int64]:
        """(num_records, 3) integers in +-GRID: difference, total, square of the difference."""
        difference = (values[:, 1] - values[:, 0] - self.difference) / self.difference_reach
        total = (values[:, 0] + values[:, 1] - self.total) / self.total_reach
        difference, total = np.clip(difference, -1.0, 1.0), np.clip(total, -1.0, 1.0)
        # Towards zero, so that no value passes its bound.
        each = np.column_stack([difference, total, difference**2])
        return np.trunc(each * GRID).astype(np.int64)


class NoisyAipwKind:
    """Counts and sums of bounded influence values per question, with Gaussian noise.

    A record counts in one of three cells (the levels a and b, any other one) and adds its bounded
    difference, total and squared difference. With the weights of `WEIGHTS` its contribution
    has a squared norm of at most their squares together, a; over Q questions the squared
    sensitivity is Q a, reached by a record beyond the limits in every question.

    Sites are not centred: both nuisance models have one intercept for all of them.

    Privacy: leaves a site only noised, through a secure sum, charged to the effects.
    """

    name: ClassVar[str] = "noisy_aipw"
    part: ClassVar[Literal["effects"]] = "effects"

    def spec(self, study: Study, request: Request, num_sites: int) -> StatisticSpec:
        """The public shape and bounds; no cell is withheld, for all are noisy."""
        effects_budget(study)
        questions = _questions(study, request)
        return StatisticSpec(
            name=request.id(),
            length=_LENGTH * len(questions),
            bound=max_rows_per_site(study, num_sites) * GRID + _NOISE_ROOM // num_sites,
            min_summands=num_sites,
        )

    def event(self, study: Study, request: Request) -> GaussianRelease:
        """What is charged: one Gaussian release over all questions."""
        return GaussianRelease(
            sensitivity=_sensitivity(len(_questions(study, request))),
            noise_multiplier=effects_budget(study).aipw,
            name=self.name,
        )

    def compute_private(
        self,
        study: Study,
        request: Request,
        source: TableSource,
        *,
        num_sites: int,
        noise: IntegerNoise,
    ) -> IntVector:
        """The site's vector with its share of the noise."""
        questions = _questions(study, request)
        exact = np.concatenate([_vector(one, limits, source) for one, limits in questions])
        scales = np.tile(_deviations(len(questions)), len(questions)) * effects_budget(study).aipw
        return exact + noise(share_of(scales, num_sites, num_colluding(study, num_sites)))

    def width(self, study: Study, request: Request) -> int:
        """Two: the means of the influence values."""
        return 2


@dataclass(frozen=True, slots=True, kw_only=True)
class NoisyAipwSums:
    """Released totals of one question, in scaled units.

    `difference`, `total` are means of psi_b - psi_a and psi_a + psi_b; `square` is the mean square
    of the first about its public centre and `about` the mean that belongs to it. `noise`,
    `square_noise` are standard deviations of the known noise of `difference` and `square`.
    """

    num_records: float
    difference: float
    total: float
    about: float
    square: float
    noise: float
    square_noise: float


def noisy_aipw_request(
    influences: Sequence[Influence], limits: Sequence[Limits]
) -> Request | None:
    """Ask for the noisy sums of some questions; None when there are none."""
    if not influences:
        return None
    listed = [[v.difference, v.difference_reach, v.total, v.total_reach] for v in limits]
    return Request(
        kind=NoisyAipwKind.name,
        parameters={**public_parameters(influences, {}), "limits": listed},
    )


def noisy_aipw_release(
    study: Study, request: Request, released: Released, num_sites: int
) -> dict[int, NoisyAipwSums]:
    """Per question, by its position in the study, the totals and the size of their noise."""
    questions = _questions(study, request)
    if released.totals.shape != (_LENGTH * len(questions),):
        raise ProtocolError("a noisy aipw total has another length than its request implies")
    inflation = math.sqrt(num_sites / (num_sites - num_colluding(study, num_sites)))
    deviations = _deviations(len(questions)) * effects_budget(study).aipw * inflation / GRID
    parts = released.totals.astype(np.float64).reshape(len(questions), _LENGTH) / GRID
    return {
        one.query: _read(limits, part, deviations)
        for (one, limits), part in zip(questions, parts, strict=True)
    }


def _read(limits: Limits, part: FloatArray, deviations: FloatArray) -> NoisyAipwSums:
    count = max(float(part[:_CELLS].sum()), 2.0)
    difference, total, square = (part[_CELLS:] / count).tolist()
    reach = limits.difference_reach
    return NoisyAipwSums(
        num_records=count,
        difference=limits.difference + reach * difference,
        total=limits.total + limits.total_reach * total,
        about=reach * difference,
        square=reach**2 * square,
        noise=reach * float(deviations[_CELLS]) / count,
        square_noise=reach**2 * float(deviations[-1]) / count,
    )


def _vector(influence: Influence, limits: Limits, source: TableSource) -> IntVector:
    counts, sums = np.zeros(_CELLS, dtype=np.int64), np.zeros(3, dtype=np.int64)
    for columns in influence.complete(source):
        levels = influence.levels(columns)
        cells = np.select([levels == code for code in influence.codes], [0, 1], default=2)
        counts += np.bincount(cells, minlength=_CELLS)
        sums += limits.bounded(influence.values(columns)).sum(axis=0)
    return np.concatenate([counts * GRID, sums])


def _sensitivity(num_questions: int) -> float:
    return math.sqrt(num_questions * sum(weight**2 for weight in WEIGHTS))


def _deviations(num_questions: int) -> FloatArray:
    """Noise of one question's entries at a multiplier of 1, in integers."""
    weights = np.array([WEIGHTS[0]] * _CELLS + list(WEIGHTS[1:]))
    return np.asarray(_sensitivity(num_questions) * GRID / weights)


def _questions(study: Study, request: Request) -> list[tuple[Influence, Limits]]:
    if set(request.parameters) != {"queries", "ranges", "limits"}:
        raise ProtocolError("noisy_aipw: expected queries, ranges and limits")
    if request.parameters["ranges"] or not isinstance(request.parameters["ranges"], Mapping):
        raise ProtocolError("noisy_aipw: only declared bounds are public")
    influences, listed = parsed_influences(study, request), request.parameters["limits"]
    if not isinstance(listed, list) or len(listed) != len(influences):
        raise ProtocolError("noisy_aipw: limits: expected four numbers per query")
    return list(zip(influences, map(_limits, listed), strict=True))


def _limits(value: object) -> Limits:
    numbers = value if isinstance(value, list) and len(value) == 4 else [None]
    if not all(isinstance(v, int | float) and not isinstance(v, bool) for v in numbers):
        raise ProtocolError("noisy_aipw: limits: expected four numbers per query")
    difference, reach, total, total_reach = map(float, numbers)
    return Limits(
        difference=difference, difference_reach=reach, total=total, total_reach=total_reach
    )
