"""The statistic "flow_likelihoods": how well the trained flow predicts held-out records."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from fedcausal.data.table import TableSource
from fedcausal.errors import ProtocolError
from fedcausal.model.likelihoods import STEPS, held, sums_spec
from fedcausal.model.nodeflow_spec import NodeFlowSpec
from fedcausal.model.update import Float32, check_weights, spec_of, weights_to_bytes
from fedcausal.statistics.kind import Request
from fedcausal.study import Study
from fedcausal_privacy.canonical import JsonValue, sha256_hex
from fedcausal_privacy.statistic_spec import IntVector, Released, StatisticSpec

if TYPE_CHECKING:
    from fedcausal.model.training_plan import TrainingPlan

__all__ = ["FlowLikelihoods", "decode_flow_likelihoods", "flow_likelihoods_request"]


class FlowLikelihoods:
    """The request for sums of a flow's log densities over held-out records, per number.

    Privacy: as "likelihoods"; the weights travel with the request and are public. Not asked for
    where the model has an epsilon.
    """

    name: ClassVar[str] = "flow_likelihoods"
    part: ClassVar[Literal["graph", "model", "effects"]] = "effects"
    complete_only: ClassVar[bool] = True

    def spec(self, study: Study, request: Request, num_sites: int) -> StatisticSpec:
        """Per node one count and one sum, which the count guards."""
        member = spec_of(study, request.parameters.get("spec"))
        return sums_spec(study, request, num_sites, [1] * len(_units(request, member)))

    def measure(
        self,
        study: Study,
        request: Request,
        source: TableSource,
        *,
        weights: Float32,
        plan: "TrainingPlan",
    ) -> IntVector:
        """The site's counts and sums."""
        from fedcausal.model.nodeflow import from_vector
        from fedcausal.model.nodeflow_queries import log_prob
        from fedcausal.model.training import gather_rows

        member = spec_of(study, request.parameters.get("spec"))
        check_weights(member, weights, request.parameters.get("weights_sha256"))
        units, rows = _units(request, member), gather_rows(member, source)
        logs = log_prob(from_vector(member, weights), rows)
        found: list[int] = []
        for node, unit in units.items():
            inside = [member.index(name) for name in (node, *member.parents(node))]
            complete = ~np.isnan(rows[:, inside]).any(axis=1)
            own = logs[complete, member.index(node)] + np.log(unit)
            found += [int(complete.sum()), held(own)]
        return np.array(found, dtype=np.int64)

    def width(self, study: Study, request: Request) -> int:
        """One number about the records of a node."""
        return 1


def flow_likelihoods_request(
    spec: NodeFlowSpec, weights: Float32, units: Mapping[str, float]
) -> Request | None:
    """Ask how well these weights predict the continuous nodes in `units`; None without any."""
    continuous = {
        n for n, kind in zip(spec.names, spec.kinds, strict=True) if kind == "continuous"
    }
    wanted: dict[str, JsonValue] = {n: u for n, u in sorted(units.items()) if n in continuous}
    if not wanted:
        return None
    return Request(
        kind=FlowLikelihoods.name,
        parameters={
            "spec": spec.to_json(),
            "units": wanted,
            "weights_sha256": sha256_hex(weights_to_bytes(weights)),
        },
    )


def decode_flow_likelihoods(
    study: Study, request: Request, released: Released
) -> dict[str, tuple[float, int]]:
    """Sum of log densities and number of records of every node whose number was released."""
    found: dict[str, tuple[float, int]] = {}
    member = spec_of(study, request.parameters.get("spec"))
    for place, node in enumerate(_units(request, member)):
        number = int(released.totals[2 * place])
        if number > 0 and not released.withheld[2 * place]:
            found[node] = float(released.totals[2 * place + 1]) / STEPS, number
    return found


def _units(request: Request, spec: NodeFlowSpec) -> dict[str, float]:
    units = request.parameters.get("units")
    if not isinstance(units, Mapping) or not units or not set(units) <= set(spec.names):
        raise ProtocolError("flow_likelihoods: units: expected {variable: unit}")
    found: dict[str, float] = {}
    for name, unit in sorted(units.items()):
        is_number = isinstance(unit, int | float) and 0.0 < unit < np.inf
        if not is_number or spec.kinds[spec.index(name)] != "continuous":
            raise ProtocolError(f"flow_likelihoods: units.{name}: expected a continuous variable")
        found[name] = float(unit)  # type: ignore[arg-type]
    return found
