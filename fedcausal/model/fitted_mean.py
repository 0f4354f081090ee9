"""A fitted mean as it travels in a request: what sites compute residuals about."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fedcausal.data.table import Table
from fedcausal.errors import ProtocolError
from fedcausal.model.families import requested_families
from fedcausal.model.family_basis import UNIT, Family, FloatArray, scale
from fedcausal.model.mechanism import Mechanism, NumericMechanism
from fedcausal.model.scaled_noise import ScaledNoiseMechanism
from fedcausal.model.spread import Spread, spread_basis
from fedcausal.statistics.kind import Request
from fedcausal.study import Study
from fedcausal_privacy.canonical import JsonValue

__all__ = ["FittedMean", "means_of", "requested_means"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FittedMean:
    """One numeric node's mean, the residual's standard deviation, and its spread if it has one.

    All in scaled units. Coefficients are multiples of 2^-24 and features are quantised, so that
    means are exact: a record has the same residual at every batch size and on every machine.
    """

    family: Family
    coefficients: FloatArray
    sd: float
    spread: Spread | None = None

    def residuals(self, batch: Table) -> FloatArray:
        """Standardised residuals (num_rows,); NaN where the node or a parent is missing."""
        columns = {name: batch.column(name) for name in self.family.members}
        complete = ~np.any([np.isnan(c) for c in columns.values()], axis=0)
        columns = {name: column[complete] for name, column in columns.items()}
        features = self.family.basis.evaluate(columns)
        np.clip(features, -1.0, 1.0, out=features)
        features *= UNIT
        np.rint(features, out=features)
        features /= UNIT
        mean = self.coefficients[0] + features @ self.coefficients[1:]
        left = scale(columns[self.family.node], self.family.known_range) - mean
        if self.spread is not None:
            left = left / self.spread.counted(columns)
        found = np.full(batch.num_rows, np.nan)
        found[complete] = left
        return found


def means_of(mechanisms: Mapping[str, Mechanism]) -> dict[str, JsonValue]:
    """The fitted means of the numeric nodes as JSON."""
    return {
        node: {"coefficients": m.coefficients.tolist(), "sd": m.residual.sd, **_spread_of(m)}
        for node, m in sorted(mechanisms.items())
        if isinstance(m, NumericMechanism)
    }


def requested_means(
    study: Study, request: Request, families: Mapping[str, Family] | None = None
) -> tuple[FittedMean, ...]:
    """The means that a request carries, by the families of its model.

    Raises
    ------
    ProtocolError
        The request is malformed, or names what is no numeric node of the families.
    """
    if families is None:
        families = {f.node: f for f in requested_families(study, request)}
    means = request.parameters.get("means")
    if not isinstance(means, Mapping) or not means:
        raise ProtocolError(f"{request.kind}: means: expected {{variable: {{coefficients, sd}}}}")
    return tuple(_mean(request.kind, families, node, means[node]) for node in sorted(means))


def _spread_of(mechanism: NumericMechanism) -> dict[str, JsonValue]:
    if not isinstance(mechanism, ScaledNoiseMechanism):
        return {}
    return {"spread": mechanism.spread.coefficients.tolist()}


def _mean(kind: str, families: Mapping[str, Family], node: str, value: JsonValue) -> FittedMean:
    family = families.get(node)
    if family is None or family.num_levels or not isinstance(value, Mapping):
        raise ProtocolError(f"{kind}: means.{node}: expected a numeric node of the model")
    coefficients, sd = _numbers(value.get("coefficients")), _numbers([value.get("sd")])
    if coefficients.shape != (1 + family.basis.num_features,) or sd.shape != (1,) or sd[0] < 0:
        raise ProtocolError(
            f"{kind}: means.{node}: expected {1 + family.basis.num_features} coefficients "
            f"and an sd of 0 or more"
        )
    spread = _spread(kind, family, value["spread"]) if "spread" in value else None
    return FittedMean(family=family, coefficients=coefficients, sd=float(sd[0]), spread=spread)


def _spread(kind: str, family: Family, value: JsonValue) -> Spread:
    basis, coefficients = spread_basis(family.basis), _numbers(value)
    if not basis.terms or coefficients.shape != (1 + basis.num_features,):
        raise ProtocolError(
            f"{kind}: means.{family.node}.spread: expected {1 + basis.num_features} coefficients"
        )
    return Spread(basis=basis, coefficients=coefficients)


def _numbers(value: JsonValue) -> FloatArray:
    """Finite numbers as an array; anything else is an empty one."""
    if not isinstance(value, list) or not all(isinstance(v, int | float) for v in value):
        return np.zeros(0)
    numbers = np.array(value, dtype=float)
    return numbers if np.isfinite(numbers).all() else np.zeros(0)
