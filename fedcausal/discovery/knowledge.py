"""Background knowledge: which edges a graph must have, and which it must not."""

from collections.abc import Sequence
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
        place = {name: i for i, name in enumerate(names)}
        everyone, later = (1 << len(names)) - 1, self._masks_of_other_tiers(names)[1]
        allowed = [everyone & ~(1 << i) & ~later[i] for i in range(len(names))]
        reversed_required = [(child, parent) for parent, child in self.required]
        for parent, child in [*self.forbidden, *reversed_required]:
            if parent in place and child in place:
                allowed[place[child]] &= ~(1 << place[parent])
        return allowed

    def required_parents(self, names: Sequence[str]) -> list[int]:
        """Per variable of `names`, the bit mask of its required parents."""
        place = {name: i for i, name in enumerate(names)}
        required = [0] * len(names)
        for parent, child in self.required:
            if parent in place and child in place:
                required[place[child]] |= 1 << place[parent]
        return required

    def predecessors(self, names: Sequence[str]) -> list[int]:
        """Per variable, the mask of all that must stand before it in a causal order."""
        before = self._direct_predecessors(names)
        for via in range(len(names)):
            for i in range(len(names)):
                if before[i] >> via & 1:
                    before[i] |= before[via]
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
        found += [
            f"{late} causes {early}, of an earlier tier"
            for late, early in self.causes_of_the_past(graph)
            if (late, early) not in present
        ]
        return found

    def causes_of_the_past(self, graph: Graph) -> list[tuple[str, str]]:
        """Pairs (later, earlier) with a directed path from a later tier to an earlier one."""
        tier_of = {name: i for i, tier in enumerate(self.tiers) for name in tier}
        return [
            (late, early)
            for early in graph.nodes
            if early in tier_of
            for late in sorted(graph.ancestors(early), key=graph.index)
            if tier_of.get(late, -1) > tier_of[early]
        ]

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
        earlier = self._masks_of_other_tiers(names)[0]
        return [a | b for a, b in zip(earlier, self.required_parents(names), strict=True)]

    def _masks_of_other_tiers(self, names: Sequence[str]) -> tuple[list[int], list[int]]:
        """Per variable, the masks of all in earlier and in later tiers."""
        place = {name: i for i, name in enumerate(names)}
        tiers = [[place[name] for name in tier if name in place] for tier in self.tiers]
        masks = [sum(1 << i for i in tier) for tier in tiers]
        earlier, later = [0] * len(names), [0] * len(names)
        for position, tier in enumerate(tiers):
            for i in tier:
                earlier[i] = sum(masks[:position])
                later[i] = sum(masks[position + 1 :])
        return earlier, later

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
