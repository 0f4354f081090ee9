"""What a site needs to train: the round's weights, the public plan and what it will cost."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fedcausal.data.table import TableSource
from fedcausal.errors import ProtocolError
from fedcausal.model.flow_likelihoods import FlowLikelihoods
from fedcausal.model.update import NodeFlowUpdate
from fedcausal.model.validation import LossKind
from fedcausal.statistics.derive import derive_spec, kind_of
from fedcausal.statistics.kind import Request
from fedcausal.study import Study
from fedcausal_privacy.dp.events import Event
from fedcausal_privacy.dp.integer_noise import IntegerNoise
from fedcausal_privacy.dp.noise import SecureNoise
from fedcausal_privacy.statistic_spec import IntVector

if TYPE_CHECKING:
    from fedcausal.model.training_plan import TrainingPlan

__all__ = ["WITH_WEIGHTS", "Training", "check_together", "prepare_training", "train"]

WITH_WEIGHTS = (NodeFlowUpdate.name, LossKind.name, FlowLikelihoods.name)
"""Kinds that read the weights that travel with a request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """One round of training, or one loss, planned and not begun; `event` None means no noise."""

    weights: Any
    plan: "TrainingPlan"
    event: Event | None


def prepare_training(study: Study, request: Request, blobs: Mapping[str, bytes]) -> Training:
    """Read the round's weights, check that the request names them, derive the public plan."""
    from fedcausal.model.members import stacked
    from fedcausal.model.training_plan import training_plan
    from fedcausal.model.update import (
        check_weights,
        requested_spec,
        spec_of,
        weights_from_bytes,
    )

    if "weights" not in blobs:
        raise ProtocolError("a round of training came without its weights")
    part = study.privacy.model
    plan = training_plan(
        study.model,
        epsilon=None if part is None else part.epsilon,
        delta=study.privacy.delta,
    )
    kind = kind_of(request)
    if isinstance(kind, LossKind):
        member = spec_of(study, request.parameters.get("spec"))
        event: Event | None = kind.event(plan)
    elif isinstance(kind, FlowLikelihoods):
        member, event = spec_of(study, request.parameters.get("spec")), None
    else:
        member, event = requested_spec(study, request), plan.event()
    spec = stacked(member, study.model.members)
    weights = weights_from_bytes(blobs["weights"], spec)
    check_weights(spec, weights, request.parameters.get("weights_sha256"))
    return Training(weights=weights, plan=plan, event=event)


def check_together(requests: tuple[Request, ...]) -> None:
    """Refuse a round that mixes training with other statistics, or asks for two of a kind."""
    kinds = [request.kind for request in requests]
    if any(kind in WITH_WEIGHTS for kind in kinds) and not (
        set(kinds) <= set(WITH_WEIGHTS) and len(kinds) == len(set(kinds))
    ):
        raise ProtocolError("a round of training holds one update and one loss at most")


def train(
    study: Study,
    request: Request,
    source: TableSource,
    rng: np.random.Generator,
    training: Training,
    *,
    num_sites: int,
    noise: IntegerNoise | None = None,
    bootstrap: np.random.Generator | None = None,
) -> IntVector:
    """Train on the site's rows, or judge on the held-out ones, and return the encoded vector.

    `noise` is that of a loss, `bootstrap` draws what each row counts in each member of an
    ensemble: the same in every round.

    Privacy: the noise is drawn from the operating system's randomness, never from `rng`; the
    ledger was charged for `training.event` before.
    """
    kind = kind_of(request)
    if isinstance(kind, LossKind):
        vector = kind.measure(
            study, request, source, weights=training.weights, plan=training.plan, noise=noise
        )
        bound = derive_spec(study, request, num_sites).bound
        return np.clip(vector, -bound, bound)
    if isinstance(kind, FlowLikelihoods):
        return kind.measure(study, request, source, weights=training.weights, plan=training.plan)
    if not isinstance(kind, NodeFlowUpdate):
        raise ProtocolError(f"statistic {request.kind!r} is not trained")
    return kind.train(
        study,
        request,
        source,
        rng,
        num_sites=num_sites,
        weights=training.weights,
        training=training.plan,
        noise=None if training.event is None else SecureNoise(),
        bootstrap=bootstrap,
    )
