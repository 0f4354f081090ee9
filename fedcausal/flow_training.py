"""Federated training of the neural flow, one averaged update per round."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from fedcausal.graph import Graph
from fedcausal.model.family_gram import FamilyGram
from fedcausal.model.mechanism import Mechanism
from fedcausal.model.nodeflow_model import from_nodeflow, nodeflow_starts
from fedcausal.model.nodeflow_spec import NodeFlowSpec
from fedcausal.model.offsets import nodeflow_offsets
from fedcausal.model.scm import StructuralCausalModel
from fedcausal.model.update import decode_update, update_request, weights_to_bytes
from fedcausal.schema import Schema
from fedcausal.statistics.kind import Request
from fedcausal.study import Study
from fedcausal_privacy.statistic_spec import Released

__all__ = ["FlowTraining"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FlowTraining:
    """The shared weights and how many rounds they have seen.

    Each round every site trains from the same weights, and the clipped changes are averaged in
    the secure sum (FedAvg, McMahan et al. 2017, with equal weights: a site's number of records
    is private under differential privacy).
    """

    spec: NodeFlowSpec
    weights: NDArray[np.float32]
    round_index: int
    num_rounds: int
    update_clip: float
    num_sites: int

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
    ) -> "FlowTraining":
        """Weights drawn from the public seed, around the closed-form model where that is allowed.

        Spline means stay as offsets, on top of which the flow learns.

        With an epsilon for the model the start must not know the family Grams, which have none:
        then no site's data is in it.
        """
        from fedcausal.model.nodeflow import build, to_vector

        is_private = study.privacy.model is not None
        offsets = () if is_private else nodeflow_offsets(mechanisms)
        spec = NodeFlowSpec.from_schema(
            study.schema(),
            [(edge.source, edge.target) for edge in dag.edges],
            names=dag.nodes,
            ranges=ranges,
            hidden=study.model.hidden,
            bins=study.model.bins,
            offsets=offsets,
        )
        start = None if is_private else nodeflow_starts(families, offsets)
        return cls(
            spec=spec,
            weights=to_vector(build(spec, seed, start=start)),
            round_index=0,
            num_rounds=study.model.rounds,
            update_clip=study.model.update_clip,
            num_sites=num_sites,
        )

    @property
    def is_finished(self) -> bool:
        """Whether all rounds were taken."""
        return self.round_index >= self.num_rounds

    def request(self) -> Request:
        """What the next round asks of every site."""
        return update_request(
            self.spec,
            round_index=self.round_index,
            rounds=self.num_rounds,
            weights=self.weights,
        )

    def blobs(self) -> dict[str, bytes]:
        """The weights that travel with the request."""
        return {"weights": weights_to_bytes(self.weights)}

    def take(self, released: Released) -> "FlowTraining":
        """Add the mean update of a round."""
        delta = decode_update(released, update_clip=self.update_clip, num_sites=self.num_sites)
        weights = (self.weights + delta).astype(np.float32)
        return replace(self, weights=weights, round_index=self.round_index + 1)

    def model(self, dag: Graph, schema: Schema) -> StructuralCausalModel:
        """The causal model with the weights so far."""
        from fedcausal.model.nodeflow import from_vector

        return from_nodeflow(from_vector(self.spec, self.weights), dag, schema)
