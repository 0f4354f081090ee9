"""Partially directed graphs as bit masks: what searches and Meek's rules work on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

__all__ = ["Pdag", "apply_knowledge", "bits", "class_of", "close", "extend"]


@dataclass(slots=True)
class Pdag:
    """Directed and undirected edges between variables 0..d-1.

    Bit j of `to[i]` is set when i -> j or i -- j; `back` is its transpose. A workspace of the
    functions in this module: `orient` changes it in place, callers outside hold `Graph` values.
    """

    to: list[int]
    back: list[int]

    @classmethod
    def from_edges(
        cls,
        num_variables: int,
        directed: Iterator[tuple[int, int]] | Sequence[tuple[int, int]],
        undirected: Iterator[tuple[int, int]] | Sequence[tuple[int, int]] = (),
    ) -> "Pdag":
        """Build from (parent, child) and unordered pairs."""
        pdag = cls([0] * num_variables, [0] * num_variables)
        for i, j in directed:
            pdag._admit(i, j)
        for i, j in undirected:
            pdag._admit(i, j)
            pdag._admit(j, i)
        return pdag

    def adjacent(self, i: int) -> int:
        """All variables joined with i."""
        return self.to[i] | self.back[i]

    def undirected(self, i: int) -> int:
        """All j with i -- j."""
        return self.to[i] & self.back[i]

    def parents(self, i: int) -> int:
        """All j with j -> i."""
        return self.back[i] & ~self.to[i]

    def children(self, i: int) -> int:
        """All j with i -> j."""
        return self.to[i] & ~self.back[i]

    def orient(self, i: int, j: int) -> None:
        """Make i -- j (or j -> i) into i -> j."""
        self._admit(i, j)
        self.to[j] &= ~(1 << i)
        self.back[i] &= ~(1 << j)

    def copy(self) -> "Pdag":
        """An independent copy."""
        return Pdag(list(self.to), list(self.back))

    def _admit(self, i: int, j: int) -> None:
        self.to[i] |= 1 << j
        self.back[j] |= 1 << i


def bits(mask: int) -> Iterator[int]:
    """The positions of the set bits, smallest first.

    >>> list(bits(0b1010))
    [1, 3]
    """
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


def class_of(parents: Sequence[int], allowed: Sequence[int] | None = None) -> Pdag:
    """The Markov equivalence class of a DAG given by its parent masks.

    With `allowed` (per child, the parents that background knowledge permits) the class is
    restricted to the DAGs that honour it.

    References
    ----------
    Meek (1995), Causal inference and causal explanation with background knowledge, UAI.
    """
    num_variables = len(parents)
    edges = [(i, j) for j in range(num_variables) for i in bits(parents[j])]
    dag = Pdag.from_edges(num_variables, edges)
    pdag = Pdag.from_edges(num_variables, (), edges)
    for child, mask in enumerate(parents):
        for parent in bits(mask):
            if mask & ~dag.adjacent(parent) & ~(1 << parent):
                pdag.orient(parent, child)
    if allowed is not None:
        apply_knowledge(pdag, allowed)
    close(pdag)
    return pdag


def apply_knowledge(pdag: Pdag, allowed: Sequence[int]) -> None:
    """Orient every undirected edge that knowledge permits in one direction only."""
    for i in range(len(pdag.to)):
        for j in bits(pdag.undirected(i)):
            if not allowed[j] >> i & 1 and allowed[i] >> j & 1:
                pdag.orient(j, i)


def close(pdag: Pdag) -> None:
    """Apply Meek's rules 1 to 4 until none applies; rule 4 matters only with knowledge."""
    changed = True
    while changed:
        changed = False
        for i in range(len(pdag.to)):
            for j in bits(pdag.undirected(i)):
                if pdag.undirected(i) >> j & 1 and _is_compelled(pdag, i, j):
                    pdag.orient(i, j)
                    changed = True


def _is_compelled(pdag: Pdag, i: int, j: int) -> bool:
    """Whether one of Meek's rules turns i -- j into i -> j."""
    apart = ~(pdag.adjacent(j) | 1 << j)
    if pdag.parents(i) & apart:  # rule 1: k -> i -- j, k and j apart
        return True
    into = pdag.parents(j)
    if pdag.children(i) & into:  # rule 2: i -> k -> j
        return True
    beside = pdag.undirected(i)
    between = beside & into  # rule 3: i -- k -> j, i -- l -> j, k and l apart
    if any(between & ~pdag.adjacent(k) & ~(1 << k) for k in bits(between)):
        return True
    far = beside & apart  # rule 4: i -- k -> l -> j, k and j apart
    return bool(far) and any(pdag.parents(k) & far for k in bits(into & pdag.adjacent(i)))


def extend(
    pdag: Pdag, last_first: Sequence[int], predecessors: Sequence[int] | None = None
) -> list[int] | None:
    """Orient the rest without a cycle or a new collider; None when that is impossible.

    Parameters
    ----------
    pdag
        Left unchanged.
    last_first
        All variables; where several could be the next sink, the first in this order is taken,
        which makes the result deterministic.
    predecessors
        Per variable, the mask of all that must stand before it in the causal order, edge or not.

    Returns
    -------
    list of int or None
        One mask of parents per variable.

    References
    ----------
    Dor and Tarsi (1992), A simple algorithm to construct a consistent extension of a partially
    oriented graph, UCLA R-185.
    """
    rest = pdag.copy()
    parents = [pdag.parents(i) for i in range(len(pdag.to))]
    left = list(last_first)
    before = [0] * len(left) if predecessors is None else predecessors
    while left:
        early = 0
        for x in left:
            early |= before[x]
        sink = next((x for x in left if not early >> x & 1 and _is_free_sink(rest, x)), None)
        if sink is None:
            return None
        parents[sink] |= rest.undirected(sink)
        for i in bits(rest.adjacent(sink)):
            rest.to[i] &= ~(1 << sink)
            rest.back[i] &= ~(1 << sink)
        rest.to[sink] = rest.back[sink] = 0
        left.remove(sink)
    return parents


def _is_free_sink(pdag: Pdag, x: int) -> bool:
    """No child, and every undirected neighbour is joined with all others around x."""
    if pdag.children(x):
        return False
    around = pdag.adjacent(x)
    return all(not around & ~pdag.adjacent(y) & ~(1 << y) for y in bits(pdag.undirected(x)))
