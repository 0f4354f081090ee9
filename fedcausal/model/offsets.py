"""The closed form's curves from which a NodeFlow starts, so that it learns only what is left."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fedcausal.errors import ProtocolError
from fedcausal.model.curves import Curves, curves_of
from fedcausal.model.families import LEAST_GAP
from fedcausal.model.family_basis import FamilyBasis, FloatArray, Range, unscale
from fedcausal.model.family_terms import Knots, spline_terms
from fedcausal.model.mechanism import Mechanism, NumericMechanism
from fedcausal.schema import Kind, Variable
from fedcausal_privacy.canonical import JsonValue

__all__ = ["NodeOffset", "nodeflow_offsets"]

# Products of pairs hold any function of so many parents. Of more, the closed form's errors stay:
# they lie where no record does, and no training takes them back (docs/decisions/0058).
_MOST_PARENTS = 2


@dataclass(frozen=True, kw_only=True)
class NodeOffset:
    """A fitted mean of one node: splines of its numeric parents and of their pairs.

    Attributes
    ----------
    node, range
        The node and the range that scaled it.
    parents, ranges, knots
        One entry per parent: its name, its range and its interior knots.
    coefficients
        The intercept, then one number for each feature.

    Privacy: post-processing of released family Grams; the coefficients are public.

    Raises
    ------
    ProtocolError
        The parts do not fit together.
    """

    node: str
    range: Range
    parents: tuple[str, ...]
    ranges: tuple[Range, ...]
    knots: tuple[Knots, ...]
    coefficients: tuple[float, ...]

    def __post_init__(self) -> None:
        remedy = f"the closed form's mean of {self.node!r} does not fit its parents"
        if not self.parents or not len(self.parents) == len(self.ranges) == len(self.knots):
            raise ProtocolError(remedy)
        if any(not low < high for low, high in (self.range, *self.ranges)):
            raise ProtocolError(remedy)
        if any(not np.all(np.diff([-1.0, *own, 1.0]) >= LEAST_GAP) for own in self.knots):
            raise ProtocolError(remedy)
        numbers = np.array(self.coefficients)
        if numbers.shape != (1 + self._basis.num_features,) or not np.isfinite(numbers).all():
            raise ProtocolError(remedy)

    @cached_property
    def curves(self) -> Curves:
        """The mean as piecewise cubics of parents in declared units, in [-1, 1] of the range."""
        found = curves_of(self._basis, np.array(self.coefficients)[:, None])
        if found is None:
            raise ProtocolError(f"the mean of {self.node!r} has features other than splines")
        return found

    def mean(self, parents: Mapping[str, FloatArray]) -> FloatArray:
        """The mean in declared units."""
        return unscale(self.curves.evaluate(parents)[..., 0], self.range)

    def to_json(self) -> JsonValue:
        """The offset as a JSON object."""
        return {
            "node": self.node,
            "range": list(self.range),
            "parents": list(self.parents),
            "ranges": [list(pair) for pair in self.ranges],
            "knots": [list(own) for own in self.knots],
            "coefficients": list(self.coefficients),
        }

    @classmethod
    def from_json(cls, value: JsonValue) -> "NodeOffset":
        """Rebuild an offset from `to_json`; anything else is a `ProtocolError`."""
        if not isinstance(value, Mapping) or set(value) != set(cls.__dataclass_fields__):
            raise ProtocolError("a closed form's mean has other parts than expected")
        try:
            return cls(
                node=str(value["node"]),
                range=_pair(value["range"]),
                parents=tuple(str(name) for name in _items(value["parents"])),
                ranges=tuple(_pair(own) for own in _items(value["ranges"])),
                knots=tuple(_numbers(own) for own in _items(value["knots"])),
                coefficients=_numbers(value["coefficients"]),
            )
        except (TypeError, ValueError, RecursionError):
            raise ProtocolError("a closed form's mean cannot be read") from None

    @cached_property
    def _basis(self) -> FamilyBasis:
        ranges = dict(zip(self.parents, self.ranges, strict=True))
        knots = dict(zip(self.parents, self.knots, strict=True))
        variables = [Variable(name=n, kind=Kind.CONTINUOUS, bounds=ranges[n]) for n in ranges]
        return FamilyBasis(
            parents=self.parents,
            degree=1,
            terms=spline_terms(variables, knots),
            ranges=ranges,
            knots=knots,
        )


def nodeflow_offsets(mechanisms: Mapping[str, Mechanism]) -> tuple[NodeOffset, ...]:
    """The means of the numeric nodes of one or two parents, all numeric and with splines."""
    return tuple(
        NodeOffset(
            node=node,
            range=one.family.known_range,
            parents=one.family.basis.parents,
            ranges=tuple(one.family.basis.ranges[p] for p in one.family.basis.parents),
            knots=tuple(one.family.basis.knots[p] for p in one.family.basis.parents),
            coefficients=tuple(one.coefficients.tolist()),
        )
        for node, one in mechanisms.items()
        if isinstance(one, NumericMechanism) and _is_spline(one.family.basis)
    )


def _is_spline(basis: FamilyBasis) -> bool:
    few = 1 <= len(basis.parents) <= _MOST_PARENTS
    return few and set(basis.parents) == set(basis.knots)


def _items(value: JsonValue) -> list[JsonValue]:
    if not isinstance(value, list | tuple):
        raise TypeError("expected a list")
    return list(value)


def _numbers(value: JsonValue) -> tuple[float, ...]:
    return tuple(float(number) for number in _items(value))  # type: ignore[arg-type]


def _pair(value: JsonValue) -> Range:
    low, high = _numbers(value)
    return low, high
