"""The statistic "update": how one round of local training changed the weights of a NodeFlow."""

import logging
import math
from typing import TYPE_CHECKING, ClassVar, Literal, cast

import numpy as np
from numpy.typing import NDArray

from fedcausal.data.table import TableSource
from fedcausal.errors import FedCausalError, GraphError, ProtocolError, SchemaError
from fedcausal.model.members import stacked
from fedcausal.model.nodeflow_spec import NodeFlowSpec
from fedcausal.statistics.gram_kind import max_rows_per_site
from fedcausal.statistics.kind import Request
from fedcausal.study import Study
from fedcausal_privacy.canonical import JsonValue, sha256_hex
from fedcausal_privacy.dp.noise import NoiseSource
from fedcausal_privacy.statistic_spec import IntVector, Released, StatisticSpec

if TYPE_CHECKING:
    from fedcausal.model.training import TrainingPlan

__all__ = [
    "NodeFlowUpdate",
    "check_weights",
    "decode_update",
    "encode_update",
    "requested_spec",
    "spec_of",
    "update_request",
    "weighs_by_records",
    "weights_from_bytes",
    "weights_to_bytes",
]

Float32 = NDArray[np.float32]
_LOG = logging.getLogger("fedcausal.training")

# |total| < 2^31 in one limb: K sites of at most 2^(30 - ceil(log2 K)) each.
_TOTAL_BITS = 30
# A weight is a small share of the most records there may be: two limbs leave room for it.
_WEIGHTED_SCALE = 2**40


class NodeFlowUpdate:
    """One vector per site and round: w times the clipped change of every weight, and w itself.

    w is the site's number of records over the public most that one may have, so that the total is
    the mean over records; under an epsilon, where that number is private, every site has w = 1
    and the integers are multiples of `model.update_clip` / 2^(30 - ceil(log2 K)).

    Privacy: with `privacy.model.epsilon` the change is record-level differentially private
    before it is encoded; without, it is hidden by the secure sum alone, and the sum is released.
    """

    name: ClassVar[str] = "update"
    part: ClassVar[Literal["graph", "model", "effects"]] = "model"

    def spec(self, study: Study, request: Request, num_sites: int) -> StatisticSpec:
        """As many integers as parameters, and the weight: of one limb where weights are equal."""
        is_weighted = weighs_by_records(study)
        return StatisticSpec(
            name=request.id(),
            length=_stack(study, request).num_parameters + 1,
            bound=_WEIGHTED_SCALE if is_weighted else _scale(num_sites),
            limbs=2 if is_weighted else 1,
        )

    def train(
        self,
        study: Study,
        request: Request,
        source: TableSource,
        rng: np.random.Generator,
        *,
        num_sites: int,
        weights: Float32,
        training: "TrainingPlan",
        noise: NoiseSource | None = None,
        bootstrap: np.random.Generator | None = None,
    ) -> IntVector:
        """Train for one round and encode the change; `weights` must be those of the request."""
        from fedcausal.model.training import gather_rows, local_update

        spec = requested_spec(study, request)
        check_weights(_stack(study, request), weights, request.parameters["weights_sha256"])
        rows = gather_rows(spec, source)
        update = local_update(
            spec,
            weights,
            rows,
            plan=training,
            round_index=cast(int, request.parameters["round"]),
            rng=rng,
            noise=noise,
            bootstrap=bootstrap,
        )
        for warning in update.warnings:
            _LOG.warning("%s", warning)
        return encode_update(
            update.delta,
            update_clip=training.update_clip,
            num_sites=num_sites,
            weight=_weight(study, len(rows), num_sites),
        )

    def width(self, study: Study, request: Request) -> int:
        """The number of parameters."""
        return _stack(study, request).num_parameters


def update_request(
    spec: NodeFlowSpec,
    *,
    round_index: int,
    rounds: int,
    weights: Float32,
) -> Request:
    """Ask for one round of training from `weights`, which travel next to the request."""
    return Request(
        kind=NodeFlowUpdate.name,
        parameters={
            "spec": spec.to_json(),
            "round": round_index,
            "rounds": rounds,
            "weights_sha256": sha256_hex(weights_to_bytes(weights)),
        },
    )


def requested_spec(study: Study, request: Request) -> NodeFlowSpec:
    """The model a request asks to train, if it is one of this study; else a `ProtocolError`.

    Names, kinds, levels, declared bounds and sizes must be the study's; the edges are the
    released graph's, and bounds that the study leaves open are released ranges. Offsets follow
    from released family Grams, which a study with an epsilon for its model has none of.
    """
    parameters = request.parameters
    if set(parameters) != {"spec", "round", "rounds", "weights_sha256"}:
        raise ProtocolError("an update needs exactly spec, round, rounds, weights_sha256")
    _check_round(study, parameters["round"], parameters["rounds"])
    return spec_of(study, parameters["spec"])


def spec_of(study: Study, value: JsonValue) -> NodeFlowSpec:
    """One member's spec from its JSON, if it is of this study; else a `ProtocolError`."""
    try:
        spec = NodeFlowSpec.from_json(value)
        expected = NodeFlowSpec.from_schema(
            study.schema(),
            spec.edges,
            names=spec.names,
            ranges=dict(zip(spec.names, spec.bounds, strict=True)),
            hidden=study.model.hidden,
            bins=study.model.bins,
            offsets=spec.offsets,
        )
    except (SchemaError, GraphError) as error:
        raise ProtocolError(f"the requested model cannot be built: {error}") from None
    if spec != expected:
        raise ProtocolError("the requested model is not the model of the study")
    if spec.offsets and study.privacy.model is not None:
        raise ProtocolError("a model under an epsilon starts from no closed form without one")
    return spec


def weighs_by_records(study: Study) -> bool:
    """Whether sites weigh by their numbers of records: only where these are no secret."""
    return study.privacy.model is None


def encode_update(
    delta: Float32, *, update_clip: float, num_sites: int, weight: float | None = None
) -> IntVector:
    """`weight` x the change clipped to +-`update_clip`, and the weight: (num_parameters + 1,).

    Without a weight each site weighs one, in integers of one limb.
    """
    if not np.isfinite(delta).all():
        raise FedCausalError("training diverged; write a smaller model.learning_rate")
    share = np.clip(delta.astype(np.float64) / update_clip, -1.0, 1.0)
    whole = _scale(num_sites) if weight is None else weight * _WEIGHTED_SCALE
    return np.rint(np.append(share, 1.0) * whole).astype(np.int64)


def decode_update(
    released: Released, *, update_clip: float, num_sites: int, by_records: bool = False
) -> Float32:
    """The weighted mean change (num_parameters,) over the sites of a released total."""
    weight = int(released.totals[-1])
    most = num_sites * (_WEIGHTED_SCALE if by_records else _scale(num_sites))
    if released.withheld.any() or not 1 <= weight <= most:
        raise ProtocolError(f"expected a sum of 1..{num_sites} updates, got another total")
    return (released.totals[:-1] / weight * update_clip).astype(np.float32)


def weights_to_bytes(weights: Float32) -> bytes:
    """Weights as little-endian float32."""
    return weights.astype("<f4").tobytes()


def weights_from_bytes(blob: bytes, spec: NodeFlowSpec) -> Float32:
    """The weights of a model from their bytes; another length is a `ProtocolError`."""
    if len(blob) != 4 * spec.num_parameters:
        raise ProtocolError(
            f"expected {4 * spec.num_parameters} bytes of weights, got {len(blob)}"
        )
    return np.frombuffer(blob, dtype="<f4").astype(np.float32)


def _weight(study: Study, num_rows: int, num_sites: int) -> float | None:
    """The site's records over the most that one may have; None where all sites weigh the same.

    The divisor is public and the same in every round: with one that the coordinator could choose,
    it would learn from several how the sites' numbers are distributed.
    """
    if not weighs_by_records(study):
        return None
    return min(1.0, num_rows / max_rows_per_site(study, num_sites))


def _stack(study: Study, request: Request) -> NodeFlowSpec:
    return stacked(requested_spec(study, request), study.model.members)


def _check_round(study: Study, index: JsonValue, rounds: JsonValue) -> None:
    is_index = isinstance(index, int) and not isinstance(index, bool)
    if rounds != study.model.rounds or not is_index or index not in range(study.model.rounds):
        raise ProtocolError(f"round {index!r} of {rounds!r} is not one of this study's rounds")


def check_weights(spec: NodeFlowSpec, weights: Float32, digest: object) -> None:
    """Refuse weights that are not finite, or not those whose hash the request holds."""
    if weights.shape != (spec.num_parameters,) or not np.isfinite(weights).all():
        raise ProtocolError("the weights do not fit the model of the request")
    if sha256_hex(weights_to_bytes(weights)) != digest:
        raise ProtocolError("the weights are not those that the request names")


def _scale(num_sites: int) -> int:
    return int(2 ** (_TOTAL_BITS - math.ceil(math.log2(num_sites))))
