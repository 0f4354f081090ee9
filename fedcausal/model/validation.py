"""The statistic "validation": the loss of shared weights on the rows that nobody trains on."""

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from fedcausal.data.table import TableSource
from fedcausal.errors import ProtocolError
from fedcausal.model.held_out import is_held_out
from fedcausal.model.members import member_vectors, stacked
from fedcausal.model.nodeflow_spec import NodeFlowSpec
from fedcausal.model.update import Float32, check_weights, spec_of, weights_to_bytes
from fedcausal.statistics.gram_kind import max_rows_per_site
from fedcausal.statistics.kind import Request
from fedcausal.study import Study
from fedcausal_privacy.canonical import sha256_hex
from fedcausal_privacy.dp.events import GaussianRelease
from fedcausal_privacy.dp.integer_noise import IntegerNoise
from fedcausal_privacy.statistic_spec import Guard, IntVector, Released, StatisticSpec

if TYPE_CHECKING:
    from fedcausal.model.training_plan import TrainingPlan

__all__ = ["LossKind", "loss_release", "validation_request"]

MAX_LOSS = 8.0
"""A row's loss per variable is held within +- 8 nats: what one row can change."""

STEPS = 2**16
"""Integers per nat, so that noise is wide on the grid."""

_NOISE_ROOM = 2**40


class LossKind:
    """The sum over held-out rows of the loss per variable, and the number of these rows.

    Losses are clipped to +- 8; the number counts as 8, so that a record changes the two by
    8 root 2 at most.

    Privacy: with `privacy.model.epsilon` the site adds all of its noise itself, and pays a tenth
    of the epsilon for the losses of all rounds; without, totals of fewer rows than
    `privacy.min_cell` are withheld.
    """

    name: ClassVar[str] = "validation"
    part: ClassVar[Literal["graph", "model", "effects"]] = "model"

    def spec(self, study: Study, request: Request, num_sites: int) -> StatisticSpec:
        """Two integers."""
        _member(study, request)
        bound = int(MAX_LOSS * STEPS) * max_rows_per_site(study, num_sites) + _NOISE_ROOM
        if study.privacy.model is not None:
            return StatisticSpec(name=request.id(), length=2, bound=bound)
        return StatisticSpec(
            name=request.id(),
            length=2,
            bound=bound,
            min_cell=study.privacy.min_cell,
            counts=(1,),
            guards=(Guard(count=1, dependents=(0,)),),
        )

    def event(self, plan: "TrainingPlan") -> GaussianRelease | None:
        """What ONE loss costs; None without privacy."""
        if plan.check_multiplier is None:
            return None
        return GaussianRelease(
            sensitivity=MAX_LOSS * 2.0**0.5,
            noise_multiplier=plan.check_multiplier,
            name=self.name,
        )

    def measure(
        self,
        study: Study,
        request: Request,
        source: TableSource,
        *,
        weights: Float32,
        plan: "TrainingPlan",
        noise: IntegerNoise | None = None,
    ) -> IntVector:
        """The site's two numbers, with noise where the plan has a multiplier for it."""
        from fedcausal.model.training import gather_rows

        member = _member(study, request)
        whole = stacked(member, study.model.members)
        check_weights(whole, weights, request.parameters["weights_sha256"])
        rows = gather_rows(member, source)
        losses = _losses(member, weights, rows[is_held_out(rows, plan.held_out)], plan)
        event = self.event(plan)
        if event is None:
            return np.array([_steps(losses.sum()), len(losses)], dtype=np.int64)
        if noise is None:
            raise ProtocolError("a loss under an epsilon leaves with noise only")
        exact = np.array([_steps(losses.sum()), _steps(MAX_LOSS * len(losses))], dtype=np.int64)
        deviation = event.sensitivity * event.noise_multiplier * STEPS
        return exact + noise(np.full(2, deviation))

    def width(self, study: Study, request: Request) -> int:
        """One number is released of the rows."""
        return 1


def validation_request(spec: NodeFlowSpec, *, round_index: int, weights: Float32) -> Request:
    """Ask how well the weights after `round_index` rounds predict held-out rows."""
    return Request(
        kind=LossKind.name,
        parameters={
            "spec": spec.to_json(),
            "round": round_index,
            "weights_sha256": sha256_hex(weights_to_bytes(weights)),
        },
    )


def loss_release(study: Study, released: Released) -> float | None:
    """The mean loss per variable; None where too few rows are held out to show it."""
    if released.totals.shape != (2,):
        raise ProtocolError("a loss is two numbers")
    total, count = released.totals.tolist()
    if released.withheld.any():
        return None
    if study.privacy.model is not None:
        count = count / (MAX_LOSS * STEPS)
    return total / STEPS / count if count >= 1 else None


def _member(study: Study, request: Request) -> NodeFlowSpec:
    parameters = request.parameters
    if set(parameters) != {"spec", "round", "weights_sha256"} or not study.model.patience:
        raise ProtocolError("a loss needs exactly spec, round, weights_sha256, and a patience")
    index = parameters["round"]
    is_number = isinstance(index, int) and not isinstance(index, bool)
    if not is_number or index not in range(1, study.model.rounds + 1):
        raise ProtocolError(f"there are no weights after round {index!r} of this study")
    return spec_of(study, parameters["spec"])


def _losses(
    spec: NodeFlowSpec, weights: Float32, rows: NDArray[np.float64], plan: "TrainingPlan"
) -> NDArray[np.float64]:
    """Clipped losses (num_rows,) per variable, averaged over the members."""
    import torch

    from fedcausal.model.nodeflow import from_vector

    if not len(rows):
        return np.zeros(0)
    scaled = torch.from_numpy(spec.scale(rows).astype(np.float32))
    with torch.no_grad():
        each = [
            from_vector(spec, vector)(scaled).numpy()
            for vector in member_vectors(spec, weights, plan.members)
        ]
    found = np.mean(each, axis=0, dtype=np.float64) / len(spec.names)
    return np.clip(np.nan_to_num(found, nan=MAX_LOSS), -MAX_LOSS, MAX_LOSS)


def _steps(number: float) -> int:
    return round(float(number) * STEPS)
