"""The statistic "update": how one round of local training changed the weights of a NodeFlow."""

import math
from typing import TYPE_CHECKING, ClassVar, Literal, cast

import numpy as np
from numpy.typing import NDArray

from fedcausal.data.table import TableSource
from fedcausal.errors import FedCausalError, GraphError, ProtocolError, SchemaError
from fedcausal.model.nodeflow_spec import NodeFlowSpec
from fedcausal.statistics.kind import Request
from fedcausal.study import Study
from fedcausal_privacy.canonical import JsonValue, sha256_hex
from fedcausal_privacy.noise import NoiseSource
from fedcausal_privacy.statistic_spec import IntVector, Released, StatisticSpec

if TYPE_CHECKING:
    from fedcausal.model.training import TrainingPlan

__all__ = [
    "NodeFlowUpdate",
    "check_weights",
    "decode_update",
    "encode_update",
    "requested_spec",
    "update_request",
    "weights_from_bytes",
    "weights_to_bytes",
]

Float32 = NDArray[np.float32]

# |total| < 2^31 in one limb: K sites of at most 2^(30 - ceil(log2 K)) each.
_TOTAL_BITS = 30


class NodeFlowUpdate:
    """One vector per site and round: the clipped change of every weight, and the site's weight 1.

    Every site weighs the same, because the number of its rows is private. Integers are exact
    multiples of `model.update_clip` / 2^(30 - ceil(log2 K)).

    Privacy: with `privacy.model.epsilon` the change is record-level differentially private
    before it is encoded; without, it is hidden by the secure sum alone, and the sum is released.
    """

    name: ClassVar[str] = "update"
    part: ClassVar[Literal["graph", "model", "effects"]] = "model"

    def spec(self, study: Study, request: Request, num_sites: int) -> StatisticSpec:
        """One-limb integers: as many as parameters, and the weight."""
        return StatisticSpec(
            name=request.id(),
            length=requested_spec(study, request).num_parameters + 1,
            bound=_scale(num_sites),
            limbs=1,
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
    ) -> IntVector:
        """Train for one round and encode the change; `weights` must be those of the request."""
        from fedcausal.model.training import gather_rows, local_update

        spec = requested_spec(study, request)
        check_weights(spec, weights, request.parameters["weights_sha256"])
        update = local_update(
            spec,
            weights,
            gather_rows(spec, source),
            plan=training,
            round_index=cast(int, request.parameters["round"]),
            rng=rng,
            noise=noise,
        )
        return encode_update(update.delta, update_clip=training.update_clip, num_sites=num_sites)

    def width(self, study: Study, request: Request) -> int:
        """The number of parameters."""
        return requested_spec(study, request).num_parameters


def update_request(
    spec: NodeFlowSpec, *, round_index: int, rounds: int, weights: Float32
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
    try:
        spec = NodeFlowSpec.from_json(parameters["spec"])
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


def encode_update(delta: Float32, *, update_clip: float, num_sites: int) -> IntVector:
    """The change as integers (num_parameters + 1,), clipped to +-`update_clip`; the last is 1."""
    if not np.isfinite(delta).all():
        raise FedCausalError("training diverged; write a smaller model.learning_rate")
    share = np.clip(delta.astype(np.float64) / update_clip, -1.0, 1.0)
    return np.append(np.rint(share * _scale(num_sites)), 1.0).astype(np.int64)


def decode_update(released: Released, *, update_clip: float, num_sites: int) -> Float32:
    """The mean change (num_parameters,) over the sites of a released total."""
    num_summed = int(released.totals[-1])
    if released.withheld.any() or not 1 <= num_summed <= num_sites:
        raise ProtocolError(f"expected a sum of 1..{num_sites} updates, got {num_summed}")
    mean = released.totals[:-1] / (num_summed * _scale(num_sites)) * update_clip
    return mean.astype(np.float32)


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
