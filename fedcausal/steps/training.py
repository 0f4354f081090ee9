"""Federated training of the flow: averaged updates, until held-out rows gain no more."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fedcausal.errors import FedCausalError
from fedcausal.graph import Graph
from fedcausal.model.family_gram import FamilyGram
from fedcausal.model.mechanism import Mechanism
from fedcausal.model.members import member_vectors, stacked, stacked_starts
from fedcausal.model.nodeflow_model import from_members, from_nodeflow, nodeflow_starts
from fedcausal.model.nodeflow_spec import NodeFlowSpec
from fedcausal.model.offsets import nodeflow_offsets
from fedcausal.model.scm import StructuralCausalModel
from fedcausal.model.update import (
    decode_update,
    update_request,
    weighs_by_records,
    weights_to_bytes,
)
from fedcausal.model.validation import loss_release, validation_request
from fedcausal.schema import Schema
from fedcausal.statistics.kind import Request
from fedcausal.study import Study
from fedcausal_privacy.statistic_spec import Released

__all__ = ["FlowTraining", "Memory", "ServerStep", "averaging"]

Float32 = NDArray[np.float32]
Memory = Mapping[str, Float32]
"""What a strategy carries from round to round, moments for example; it never changes in place."""


class ServerStep(Protocol):
    """From the shared weights and the sites' weighted mean to the next shared weights."""

    def __call__(
        self, weights: Float32, mean: Float32, *, round_index: int, memory: Memory
    ) -> tuple[Float32, Memory]:
        """The next weights, and the strategy's memory of them."""
        ...


def averaging(
    weights: Float32, mean: Float32, *, round_index: int, memory: Memory
) -> tuple[Float32, Memory]:
    """FedAvg and FedProx: the mean is what comes next."""
    return mean, memory


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FlowTraining:
    """The shared weights and how many rounds they have seen.

    Each round every site trains from the same weights, and the clipped changes are averaged in
    the secure sum, weighed by the sites' numbers of records where these are no secret (FedAvg,
    McMahan et al. 2017). `server_step` makes the next weights of their mean. With `patience` p,
    training ends when p rounds in a row brought no lower loss on held-out rows, and the weights
    with the lowest are kept.

    Attributes
    ----------
    spec
        One member's; `weights` are those of all `members`.
    losses
        Mean held-out loss per variable after each round, None where it was withheld.
    best
        The weights with the lowest loss so far.
    """

    study: Study
    spec: NodeFlowSpec
    weights: Float32
    round_index: int
    num_sites: int
    server_step: ServerStep = averaging
    memory: Memory = field(default_factory=lambda: MappingProxyType({}))
    losses: tuple[float | None, ...] = ()
    best: Float32 | None = None

    @classmethod
    def begin(
        cls,
        study: Study,
        dag: Graph,
        ranges: Mapping[str, tuple[float, float]],
        *,
        families: Mapping[str, FamilyGram],
        mechanisms: Mapping[str, Mechanism] = MappingProxyType({}),
        num_sites: int,
        seed: int,
        server_step: ServerStep | None = None,
    ) -> "FlowTraining":
        """Weights drawn from the public seed, around the closed-form model where that is allowed.

        Spline means stay as offsets, on top of which the flow learns.

        With an epsilon for the model the start must not know the family Grams, which have none:
        then no site's data is in it.
        """
        from fedcausal.model.nodeflow import build, to_vector

        section = study.model
        if server_step is None and section.strategy not in ("fedavg", "fedprox"):
            raise FedCausalError(f"model.strategy: {section.strategy!r} needs the server's step")
        is_private = study.privacy.model is not None
        offsets = () if is_private else nodeflow_offsets(mechanisms)
        spec = NodeFlowSpec.from_schema(
            study.schema(),
            [(edge.source, edge.target) for edge in dag.edges],
            names=dag.nodes,
            ranges=ranges,
            hidden=section.hidden,
            bins=section.bins,
            offsets=offsets,
        )
        start = None if is_private else nodeflow_starts(families, offsets)
        flow = build(
            stacked(spec, section.members),
            seed,
            start=None if start is None else stacked_starts(start, section.members),
        )
        return cls(
            study=study,
            spec=spec,
            weights=to_vector(flow),
            round_index=0,
            num_sites=num_sites,
            server_step=server_step or averaging,
        )

    @property
    def num_rounds(self) -> int:
        """The most rounds of training."""
        return self.study.model.rounds

    @property
    def update_clip(self) -> float:
        """The bound of a coordinate of the update."""
        return self.study.model.update_clip

    @property
    def is_finished(self) -> bool:
        """Whether all rounds were taken and judged, or the last ones brought nothing."""
        if self.stopped_early:
            return True
        judged = not self.study.model.patience or len(self.losses) >= self.num_rounds
        return self.round_index >= self.num_rounds and judged

    @property
    def stopped_early(self) -> bool:
        """Whether `patience` losses in a row were none the lower."""
        known = [loss for loss in self.losses if loss is not None]
        patience = self.study.model.patience
        if not patience or len(known) <= patience:
            return False
        return int(np.argmin(known)) < len(known) - patience

    def requests(self) -> tuple[Request, ...]:
        """What the next round asks of every site: an update, and the loss of the last one."""
        found: list[Request] = []
        if self.round_index < self.num_rounds:
            update = update_request(
                self.spec,
                round_index=self.round_index,
                rounds=self.num_rounds,
                weights=self.weights,
            )
            found.append(update)
        if self._judges:
            found.append(
                validation_request(self.spec, round_index=self.round_index, weights=self.weights)
            )
        return tuple(found)

    def blobs(self) -> dict[str, bytes]:
        """The weights that travel with the requests."""
        return {"weights": weights_to_bytes(self.weights)}

    def take(self, released: Mapping[str, Released]) -> "FlowTraining":
        """Judge the weights, then add the mean update of a round."""
        totals = [released[request.id()] for request in self.requests()]
        judged = self._judged(totals.pop()) if self._judges else self
        if judged.is_finished or not totals:
            return judged
        (total,) = totals
        delta = decode_update(
            total,
            update_clip=self.update_clip,
            num_sites=self.num_sites,
            by_records=weighs_by_records(self.study),
        )
        mean = (self.weights + delta).astype(np.float32)
        weights, memory = self.server_step(
            self.weights, mean, round_index=self.round_index, memory=self.memory
        )
        return replace(judged, weights=weights, memory=memory, round_index=self.round_index + 1)

    @property
    def chosen(self) -> Float32:
        """The weights of the model: those with the lowest held-out loss, or the last."""
        return self.weights if self.best is None else self.best

    def model(self, dag: Graph, schema: Schema) -> StructuralCausalModel:
        """The causal model with the chosen weights; an ensemble where there are members."""
        from fedcausal.model.nodeflow import from_vector

        vectors = member_vectors(self.spec, self.chosen, self.study.model.members)
        flows = [from_vector(self.spec, vector) for vector in vectors]
        if len(flows) == 1:
            return from_nodeflow(flows[0], dag, schema)
        return from_members(flows, dag, schema)

    @property
    def _judges(self) -> bool:
        return bool(self.study.model.patience) and self.round_index > len(self.losses)

    def _judged(self, released: Released) -> "FlowTraining":
        loss = loss_release(self.study, released)
        known = [before for before in self.losses if before is not None]
        is_best = loss is not None and loss < min(known, default=np.inf)
        best = self.weights if is_best else self.best
        return replace(self, losses=(*self.losses, loss), best=best)
