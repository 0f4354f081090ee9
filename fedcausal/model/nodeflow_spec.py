"""What a NodeFlow is before it has parameters: variables, scales, graph and size, all public."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from fedcausal.errors import GraphError, ProtocolError, SchemaError
from fedcausal.model.offsets import NodeOffset
from fedcausal.schema import Kind, Schema, Variable
from fedcausal_privacy.canonical import JsonValue

__all__ = ["NUMBER", "OBSERVED", "NodeFlowSpec", "NodeKind", "NodeStart"]

NodeKind: TypeAlias = Literal["continuous", "ordinal", "discrete"]
Matrix = NDArray[np.float64]

# Roles of a network's inputs besides the codes of levels: a number, and whether it was observed.
NUMBER, OBSERVED = -1.0, -2.0

# The width of the bounds in units of the flow's scale: bounds at three standard deviations.
_BOUNDS_WIDTH = 6.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStart:
    """A simple mechanism of one node from which training sets out, in declared units.

    A numeric node starts at x = intercept + sum of slopes over its parents + N(0, scale^2); a
    parent has one slope per unit (numeric) or one per level. A missing numeric parent counts
    as the middle of its bounds. A discrete node starts at `probabilities`, one per level.

    Privacy: post-processing of whatever was released to compute it.
    """

    intercept: float = 0.0
    slopes: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    scale: float = 1.0
    probabilities: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class NodeFlowSpec:
    """The public description of a NodeFlow; equal specs have equal parameter vectors' meanings.

    Attributes
    ----------
    names, kinds, levels, bounds
        One entry per node. `levels` counts the levels of a discrete node (0 otherwise);
        `bounds` are the public (lo, hi) of a numeric node ((0, 0) otherwise).
    edges
        (parent, child) pairs without a cycle.
    hidden, bins
        Hidden units per node and bins of each spline.
    offsets
        Means in closed form that the locations of some nodes are learnt on top of.

    Raises
    ------
    SchemaError, GraphError
        When the parts contradict one another.
    """

    names: tuple[str, ...]
    kinds: tuple[NodeKind, ...]
    levels: tuple[int, ...]
    bounds: tuple[tuple[float, float], ...]
    edges: tuple[tuple[str, str], ...]
    hidden: int = 16
    bins: int = 6
    offsets: tuple[NodeOffset, ...] = ()

    def __post_init__(self) -> None:
        sizes = {len(self.names), len(self.kinds), len(self.levels), len(self.bounds)}
        if len(sizes) != 1 or not self.names or len(set(self.names)) != len(self.names):
            raise SchemaError("a NodeFlow needs one kind, level count and bounds for each name")
        if not 1 <= self.hidden <= 4096 or not 2 <= self.bins <= 128:
            raise SchemaError(
                "model: expected 1 <= hidden <= 4096 and 2 <= bins <= 128, "
                f"got hidden = {self.hidden}, bins = {self.bins}"
            )
        for name, kind, levels, (lo, hi) in zip(
            self.names, self.kinds, self.levels, self.bounds, strict=True
        ):
            _check_node(name, kind, levels, lo, hi)
        object.__setattr__(self, "edges", tuple(sorted(set(self.edges))))
        unknown = sorted({n for edge in self.edges for n in edge} - set(self.names))
        if unknown:
            raise GraphError(f"an edge names {unknown[0]!r}, which is no node of the model")
        _ = self.topological_levels
        _check_offsets(self)

    @classmethod
    def from_schema(
        cls,
        schema: Schema,
        edges: Iterable[tuple[str, str]],
        *,
        names: Sequence[str] | None = None,
        ranges: Mapping[str, tuple[float, float]] | None = None,
        hidden: int = 16,
        bins: int = 6,
        offsets: tuple[NodeOffset, ...] = (),
    ) -> "NodeFlowSpec":
        """Describe a flow over some of a study's variables (`names`; default all of them).

        `ranges` gives (lo, hi) where the study declares no bounds: released, never one site's.
        """
        variables = [schema[name] for name in (schema.names if names is None else names)]
        return cls(
            names=tuple(v.name for v in variables),
            kinds=tuple(_node_kind(v) for v in variables),
            levels=tuple(v.num_levels for v in variables),
            bounds=tuple(_bounds(v, ranges or {}) for v in variables),
            edges=tuple(edges),
            hidden=hidden,
            bins=bins,
            offsets=offsets,
        )

    def index(self, name: str) -> int:
        """Position of a node; an unknown name is a `SchemaError`."""
        if name not in self.names:
            raise SchemaError(f"unknown variable {name!r}; the model has {list(self.names)}")
        return self.names.index(name)

    def parents(self, name: str) -> tuple[str, ...]:
        """Parents in the order of `names`."""
        found = {parent for parent, child in self.edges if child == name}
        return tuple(n for n in self.names if n in found)

    def descendants(self, names: Iterable[str]) -> frozenset[str]:
        """All nodes reached by a directed path from `names`, without `names` themselves."""
        start = set(names)
        reached = set(start)
        for level in self.topological_levels:
            for node in level:
                if reached.intersection(self.parents(self.names[node])):
                    reached.add(self.names[node])
        return frozenset(reached - start)

    @cached_property
    def topological_levels(self) -> tuple[tuple[int, ...], ...]:
        """Positions of the nodes in levels: every parent lies in an earlier level."""
        missing = {name: set(self.parents(name)) for name in self.names}
        levels: list[tuple[int, ...]] = []
        while missing:
            ready = [name for name, parents in missing.items() if not parents]
            if not ready:
                raise GraphError(f"the edges among {sorted(missing)} form a cycle")
            levels.append(tuple(self.names.index(name) for name in ready))
            missing = {n: p - set(ready) for n, p in missing.items() if n not in ready}
        return tuple(levels)

    def inputs(self, name: str) -> tuple[tuple[int, float], ...]:
        """What a node's network sees, slot by slot: (position of a parent, role).

        The role is a level's code, `NUMBER` or `OBSERVED`.
        """
        slots: list[tuple[int, float]] = []
        for parent in self.parents(name):
            source = self.index(parent)
            levels = [float(code) for code in range(self.levels[source])]
            slots += [(source, role) for role in (*(levels or [NUMBER]), OBSERVED)]
        return tuple(slots)

    @cached_property
    def layer_sizes(self) -> dict[str, tuple[int, int]]:
        """(inputs, outputs) per node of the four layers, equal for all nodes by padding."""
        slots = max(1, *(len(self.inputs(name)) for name in self.names))
        levels = max(self.levels)
        return {
            "first": (slots, self.hidden),
            "second": (self.hidden, self.hidden),
            "head": (self.hidden, max(3 * self.bins + 1, levels)),
            "linear": (slots, max(2, levels)),
        }

    @property
    def num_parameters(self) -> int:
        """Length of the parameter vector."""
        sizes = self.layer_sizes.values()
        return len(self.names) * sum((fan_in + 1) * fan_out for fan_in, fan_out in sizes)

    @cached_property
    def _affine(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        lo, hi = np.array(self.bounds, dtype=np.float64).T
        discrete = np.array([kind == "discrete" for kind in self.kinds])
        middle = np.where(discrete, 0.0, (lo + hi) / 2)
        return middle, np.where(discrete, 1.0, (hi - lo) / _BOUNDS_WIDTH)

    @property
    def middles(self) -> NDArray[np.float64]:
        """The declared value at zero of the flow's scale (num_nodes,)."""
        return self._affine[0]

    @property
    def units(self) -> NDArray[np.float64]:
        """Declared units per unit of the flow's scale (num_nodes,): a sixth of the bounds."""
        return self._affine[1]

    def scale(self, values: Matrix) -> Matrix:
        """Declared units (num_rows, num_nodes) to the flow's scale; codes and NaN stay."""
        return np.asarray((values - self.middles) / self.units)

    def unscale(self, scaled: Matrix) -> Matrix:
        """The inverse of `scale`, up to rounding."""
        return np.asarray(scaled * self.units + self.middles)

    def to_json(self) -> dict[str, JsonValue]:
        """The spec as a JSON object."""
        return {
            "names": list(self.names),
            "kinds": list(self.kinds),
            "levels": list(self.levels),
            "bounds": [list(pair) for pair in self.bounds],
            "edges": [list(pair) for pair in self.edges],
            "hidden": self.hidden,
            "bins": self.bins,
            "offsets": [offset.to_json() for offset in self.offsets],
        }

    @classmethod
    def from_json(cls, value: JsonValue) -> "NodeFlowSpec":
        """Rebuild a spec from `to_json`, with or without offsets; else a `ProtocolError`."""
        known = set(cls.__dataclass_fields__)
        if not isinstance(value, Mapping) or set(value) | {"offsets"} != known:
            raise ProtocolError(f"a NodeFlow's description needs exactly {sorted(known)}")
        fields: dict[str, object] = {
            key: tuple(tuple(i) if isinstance(i, Sequence) and key in _PAIRS else i for i in item)
            if isinstance(item, Sequence) and not isinstance(item, str)
            else item
            for key, item in value.items()
            if key != "offsets"
        }
        offsets = value.get("offsets", [])
        if not isinstance(offsets, Sequence) or isinstance(offsets, str):
            raise ProtocolError("a NodeFlow's offsets cannot be read")
        fields["offsets"] = tuple(NodeOffset.from_json(offset) for offset in offsets)
        try:
            return cls(**fields)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            raise ProtocolError("a NodeFlow's description cannot be read") from None


_PAIRS = ("bounds", "edges")


def _check_node(name: str, kind: str, levels: int, lo: float, hi: float) -> None:
    if kind not in get_args(NodeKind):
        raise SchemaError(f"variable {name!r}: expected a kind of {get_args(NodeKind)}")
    if (kind == "discrete") != (levels >= 2):
        raise SchemaError(f"variable {name!r}: a discrete node has 2 or more levels, others none")
    if kind != "discrete" and not (np.isfinite([lo, hi]).all() and lo < hi):
        raise SchemaError(f"variable {name!r}: expected bounds lo < hi, got [{lo}, {hi}]")


def _check_offsets(spec: NodeFlowSpec) -> None:
    nodes = [offset.node for offset in spec.offsets]
    if len(set(nodes)) != len(nodes):
        raise SchemaError("a NodeFlow has one offset for a node at most")
    for offset in spec.offsets:
        at = [spec.index(name) for name in (offset.node, *offset.parents)]
        if any(spec.levels[node] for node in at):
            raise SchemaError(f"the offset of {offset.node!r} reads a variable with levels")
        if set(offset.parents) != set(spec.parents(offset.node)):
            raise GraphError(f"the offset of {offset.node!r} has other parents than the graph")


def _node_kind(variable: Variable) -> NodeKind:
    if not variable.is_numeric:
        return "discrete"
    return "ordinal" if variable.kind in (Kind.ORDINAL, Kind.COUNT) else "continuous"


def _bounds(variable: Variable, ranges: Mapping[str, tuple[float, float]]) -> tuple[float, float]:
    if not variable.is_numeric:
        return (0.0, 0.0)
    pair = variable.bounds or ranges.get(variable.name)
    if pair is None:
        raise SchemaError(
            f"variable {variable.name!r} has no bounds and no range was released; "
            f"write variables.{variable.name}.bounds = [lo, hi]"
        )
    return (float(pair[0]), float(pair[1]))
