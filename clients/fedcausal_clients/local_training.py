"""What a site needs to train: the round's weights, the public plan and what it will cost."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fedcausal.data.table import TableSource
from fedcausal.errors import ProtocolError
from fedcausal.model.update import NodeFlowUpdate
from fedcausal.statistics.derive import kind_of
from fedcausal.statistics.kind import Request
from fedcausal.study import Study
from fedcausal_privacy.events import Event
from fedcausal_privacy.noise import SecureNoise
from fedcausal_privacy.statistic_spec import IntVector

__all__ = ["UPDATE", "Training", "prepare_training", "train"]

UPDATE = "update"


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """One round of training that has been planned and not begun; `event` None means no noise."""

    weights: Any
    plan: Any
    event: Event | None


def prepare_training(study: Study, request: Request, blobs: Mapping[str, bytes]) -> Training:
    """Read the round's weights, check that the request names them, derive the public plan."""
    from fedcausal.model.training import training_plan
    from fedcausal.model.update import check_weights, requested_spec, weights_from_bytes

    if "weights" not in blobs:
        raise ProtocolError("a round of training came without its weights")
    part = study.privacy.model
    plan = training_plan(
        study.model,
        epsilon=None if part is None else part.epsilon,
        delta=study.privacy.delta,
    )
    spec = requested_spec(study, request)
    weights = weights_from_bytes(blobs["weights"], spec)
    check_weights(spec, weights, request.parameters["weights_sha256"])
    return Training(weights=weights, plan=plan, event=plan.event())


def train(
    study: Study,
    request: Request,
    source: TableSource,
    rng: np.random.Generator,
    training: Training,
    *,
    num_sites: int,
) -> IntVector:
    """Train on the site's rows and return the encoded update.

    Privacy: the noise is drawn from the operating system's randomness, never from `rng`; the
    ledger was charged for `training.event` before.
    """
    kind = kind_of(request)
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
    )
