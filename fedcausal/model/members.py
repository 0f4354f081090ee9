"""Several flows over one graph as one flow: an ensemble that is trained in one pass."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from fedcausal.errors import ProtocolError
from fedcausal.model.nodeflow_spec import NodeFlowSpec, NodeStart

__all__ = ["member_vectors", "poisson_weights", "stacked", "stacked_starts", "with_nodes"]

Float32 = NDArray[np.float32]


def stacked(spec: NodeFlowSpec, members: int) -> NodeFlowSpec:
    """The spec of `members` copies of a flow that share no edge, one after the other.

    Groups of one layer are the nodes, so that all members are computed at once.
    """
    if members == 1:
        return spec
    return NodeFlowSpec(
        names=tuple(_name(m, name) for m in range(members) for name in spec.names),
        kinds=spec.kinds * members,
        levels=spec.levels * members,
        bounds=spec.bounds * members,
        edges=tuple(
            (_name(m, parent), _name(m, child))
            for m in range(members)
            for parent, child in spec.edges
        ),
        hidden=spec.hidden,
        bins=spec.bins,
        offsets=tuple(
            replace(
                offset,
                node=_name(m, offset.node),
                parents=tuple(_name(m, parent) for parent in offset.parents),
            )
            for m in range(members)
            for offset in spec.offsets
        ),
    )


def stacked_starts(starts: dict[str, NodeStart], members: int) -> dict[str, NodeStart]:
    """The same start for every member."""
    if members == 1:
        return starts
    return {
        _name(m, name): NodeStart(
            intercept=start.intercept,
            slopes={_name(m, parent): own for parent, own in start.slopes.items()},
            scale=start.scale,
            probabilities=start.probabilities,
        )
        for m in range(members)
        for name, start in starts.items()
    }


def member_vectors(spec: NodeFlowSpec, vector: Float32, members: int) -> tuple[Float32, ...]:
    """The parameters of each member from those of the whole; `spec` is one member's.

    Raises
    ------
    ProtocolError
        The vector has another length.
    """
    if vector.shape != (members * spec.num_parameters,):
        raise ProtocolError(
            f"expected {members * spec.num_parameters} parameters, got {vector.shape}"
        )
    parts = [part.reshape(members, -1) for part in _parts(spec, vector, members)]
    return tuple(np.concatenate([part[m] for part in parts]) for m in range(members))


def with_nodes(spec: NodeFlowSpec, shared: Float32, own: Float32, nodes: Sequence[str]) -> Float32:
    """The parameters of `shared` with those of some nodes taken from `own`."""
    places = [spec.index(name) for name in nodes]
    parts: list[Float32] = []
    for first, second in zip(_parts(spec, shared, 1), _parts(spec, own, 1), strict=True):
        mixed = first.reshape(len(spec.names), -1).copy()
        mixed[places] = second.reshape(len(spec.names), -1)[places]
        parts.append(mixed.ravel())
    return np.concatenate(parts)


def poisson_weights(num_rows: int, members: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """How often each row counts in each member (num_rows, members): the Poisson bootstrap.

    Weights are drawn at the site and stay there; they do not depend on what is in the rows.

    References
    ----------
    Chamandy et al. (2012), Estimating uncertainty for massive data streams, Google (Poisson
    bootstrap).
    """
    return rng.poisson(1.0, size=(num_rows, members)).astype(np.float64)


def _name(member: int, name: str) -> str:
    return f"{member}:{name}"


def _parts(spec: NodeFlowSpec, vector: Float32, members: int) -> list[Float32]:
    """The vector cut into weights and biases, layer by layer; groups come first in each."""
    num_groups = members * len(spec.names)
    sizes = [
        num_groups * size
        for fan_in, fan_out in spec.layer_sizes.values()
        for size in (fan_out * fan_in, fan_out)
    ]
    return np.split(vector, list(accumulate(sizes))[:-1])
