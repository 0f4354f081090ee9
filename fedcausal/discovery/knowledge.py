"""Background knowledge: which edges a graph must have, and which it must not."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from fedcausal.errors import KnowledgeError
from fedcausal.graph import Graph
from fedcausal.pdag import bits

__all__ = ["Knowledge"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Knowledge:
    """Tiers, required and forbidden edges over named variables.

    Parameters
    ----------
    nodes
        All variable names in schema order.
    tiers
        Groups in temporal order: a variable never causes one of an earlier tier. A variable in no
        tier is free.
    required
        (parent, child) edges that must be present.
    forbidden
        (parent, child) edges that must be absent; forbid both directions and the pair is never
        joined, nor tested.

    Raises
    ------
    KnowledgeError
        Unknown or repeated names, an edge both required and forbidden, a required edge against
        the tiers, or required edges that form a cycle (with the order of the tiers).

    Examples
    --------
    >>> knowledge = Knowledge(nodes=("age", "dose"), tiers=(("age",), ("dose",)))
    >>> knowledge.allows("age", "dose"), knowledge.allows("dose", "age")
    (True, False)
    """

    nodes: tuple[str, ...]
    tiers: tuple[tuple[str, ...], ...] = ()
    required: tuple[tuple[str, str], ...] = ()
    forbidden: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        tiered = [name for tier in self.tiers for name in tier]
        for name in tiered:
            self._check_name("tiers", name)
        if len(set(tiered)) < len(tiered):
            repeated = sorted({name for name in tiered if tiered.count(name) > 1})
            raise KnowledgeError(
                f"knowledge.tiers: each variable has one tier, got {repeated} twice"
            )
        self._check_edges()
        if self._causal_order() is None:
            raise KnowledgeError(
                "knowledge.required: the required edges form a cycle (together with the order of "
                "knowledge.tiers); remove one of them"
            )

    def tier(self, name: str) -> int | None:
        """The position of a variable's tier, or None if it has none."""
        return next((i for i, tier in enumerate(self.tiers) if name in tier), None)

    def allows(self, parent: str, child: str) -> bool:
        """Whether `parent -> child` may be in the graph."""
        if (
            parent == child
            or (parent, child) in self.forbidden
            or (child, parent) in self.required
        ):
            return False
        before, after = self.tier(parent), self.tier(child)
        return before is None or after is None or before <= after

    def requires(self, parent: str, child: str) -> bool:
        """Whether `parent -> child` must be in the graph."""
        return (parent, child) in self.required

    def allows_pair(self, first: str, second: str) -> bool:
        """Whether the two may be joined at all."""
        return self.allows(first, second) or self.allows(second, first)

    @property
    def is_empty(self) -> bool:
        """True when nothing is known."""
        return not (self.required or self.forbidden or len([t for t in self.tiers if t]) > 1)

    def restrict(self, names: Sequence[str]) -> "Knowledge":
        """The same knowledge about fewer variables.

        Raises
        ------
        KnowledgeError
            When a required edge would lose an end: it could no longer be honoured.
        """
        kept = set(names)
        for parent, child in self.required:
            for name in {parent, child} - kept:
                raise KnowledgeError(
                    f"knowledge.required: {parent!r} -> {child!r} needs {name!r}, which has no "
                    f"usable data; remove the edge or supply the variable"
                )
        return Knowledge(
            nodes=tuple(names),
            tiers=tuple(tuple(name for name in tier if name in kept) for tier in self.tiers),
            required=self.required,
            forbidden=tuple((a, b) for a, b in self.forbidden if a in kept and b in kept),
        )

    def allowed_parents(self, names: Sequence[str]) -> list[int]:
        """Per variable of `names`, the bit mask of its permitted parents."""
        return [_mask(self.allows(parent, child) for parent in names) for child in names]

    def required_parents(self, names: Sequence[str]) -> list[int]:
        """Per variable of `names`, the bit mask of its required parents."""
        return [_mask(self.requires(parent, child) for parent in names) for child in names]

    def predecessors(self, names: Sequence[str]) -> list[int]:
        """Per variable, the mask of all that must stand before it in a causal order."""
        before = self._direct_predecessors(names)
        for _ in names:
            before = [_absorb(mask, before) for mask in before]
        return before

    def violations(self, graph: Graph) -> list[str]:
        """What in a graph contradicts this knowledge, as sentences; empty when nothing does."""
        found = [
            f"{parent} -> {child} is forbidden"
            for parent, child in graph.directed_edges
            if not self.allows(parent, child)
        ]
        found += [
            f"{first} -- {second} is known to have a direction, or is forbidden"
            for first, second in graph.undirected_edges
            if not (self.allows(first, second) and self.allows(second, first))
        ]
        present = set(graph.directed_edges)
        found += [f"{a} -> {b} is required" for a, b in self.required if (a, b) not in present]
        return found

    def _check_name(self, key: str, name: str) -> None:
        if name not in self.nodes:
            close = get_close_matches(name, self.nodes, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else f"; expected one of {self.nodes}"
            raise KnowledgeError(f"knowledge.{key}: {name!r} is not a variable{hint}")

    def _check_edges(self) -> None:
        for key, edges in (("required", self.required), ("forbidden", self.forbidden)):
            for parent, child in edges:
                self._check_name(key, parent)
                self._check_name(key, child)
                if parent == child:
                    raise KnowledgeError(f"knowledge.{key}: {parent!r} cannot cause itself")
        for parent, child in self.required:
            if (parent, child) in self.forbidden:
                raise KnowledgeError(
                    f"knowledge: {parent!r} -> {child!r} is both required and forbidden; "
                    f"remove it from one list"
                )
            before, after = self.tier(parent), self.tier(child)
            if before is not None and after is not None and before > after:
                raise KnowledgeError(
                    f"knowledge.required: {parent!r} -> {child!r} goes against knowledge.tiers "
                    f"(tier {before + 1} to tier {after + 1}); change one of them"
                )

    def _direct_predecessors(self, names: Sequence[str]) -> list[int]:
        required = self.required_parents(names)
        tiers = [self.tier(name) for name in names]
        return [
            required[j]
            | sum(
                1 << i
                for i, before in enumerate(tiers)
                if before is not None and after is not None and before < after
            )
            for j, after in enumerate(tiers)
        ]

    def _causal_order(self) -> list[int] | None:
        before = self._direct_predecessors(self.nodes)
        left, order = (1 << len(self.nodes)) - 1, list[int]()
        while left:
            ready = next((i for i in bits(left) if not before[i] & left), None)
            if ready is None:
                return None
            order.append(ready)
            left &= ~(1 << ready)
        return order


def _mask(members: Iterable[bool]) -> int:
    return sum(1 << i for i, is_member in enumerate(members) if is_member)


def _absorb(mask: int, before: Sequence[int]) -> int:
    for i in bits(mask):
        mask |= before[i]
    return mask
