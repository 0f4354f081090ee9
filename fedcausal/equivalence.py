"""Markov equivalence: classes of DAGs, their members, and the independences they share."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from fedcausal.errors import GraphError
from fedcausal.graph import Edge, Graph, Mark
from fedcausal.pdag import Pdag, apply_knowledge, bits, class_of, close, extend

if TYPE_CHECKING:
    from fedcausal.discovery.knowledge import Knowledge

__all__ = [
    "cpdag_of",
    "extension",
    "graph_of_parents",
    "graph_of_pdag",
    "is_ancestral",
    "is_d_separated",
    "is_m_separated",
    "last_first",
    "mag_of",
    "meek_closure",
    "pdag_of",
]


def cpdag_of(dag: Graph, knowledge: "Knowledge | None" = None) -> Graph:
    """The equivalence class of a DAG, as its completed partially directed graph.

    With knowledge, the class is that of the equivalent DAGs which honour it, and more edges are
    oriented (Meek's rules are complete for this).

    Raises
    ------
    GraphError
        If the argument is not a DAG.

    References
    ----------
    Meek (1995), Causal inference and causal explanation with background knowledge, UAI.

    Examples
    --------
    >>> cpdag_of(Graph.dag("abc", [("a", "c"), ("b", "c")])).directed_edges
    (('a', 'c'), ('b', 'c'))
    >>> cpdag_of(Graph.dag("ab", [("a", "b")])).undirected_edges
    (('a', 'b'),)
    """
    if dag.kind != "dag":
        raise GraphError(f"an equivalence class is built from a dag, got a {dag.kind}")
    pdag = pdag_of(dag)
    parents = [pdag.parents(i) for i in range(len(dag.nodes))]
    allowed = None if knowledge is None else knowledge.allowed_parents(dag.nodes)
    return graph_of_pdag(dag.nodes, class_of(parents, allowed))


def meek_closure(cpdag: Graph, knowledge: "Knowledge | None" = None) -> Graph:
    """Orient what knowledge and Meek's rules 1 to 4 compel in a partially directed graph.

    Raises
    ------
    GraphError
        If the rules contradict each other: the graph then represents no DAG at all.
    """
    pdag = pdag_of(cpdag)
    if knowledge is not None:
        apply_knowledge(pdag, knowledge.allowed_parents(cpdag.nodes))
    close(pdag)
    return graph_of_pdag(cpdag.nodes, pdag)


def extension(cpdag: Graph, knowledge: "Knowledge | None" = None) -> Graph:
    """One DAG of the class that honours the knowledge; always the same one.

    Where several orientations are possible, variables of earlier tiers (then: earlier in the
    schema) come first in the causal order.

    Raises
    ------
    GraphError
        If no DAG has this skeleton, these arrowheads and colliders, and honours the knowledge.

    References
    ----------
    Dor and Tarsi (1992), A simple algorithm to construct a consistent extension of a partially
    oriented graph, UCLA R-185.
    """
    if cpdag.kind == "dag":
        return cpdag
    pdag = pdag_of(cpdag)
    if knowledge is not None:
        apply_knowledge(pdag, knowledge.allowed_parents(cpdag.nodes))
    before = None if knowledge is None else knowledge.predecessors(cpdag.nodes)
    parents = extend(pdag, last_first(cpdag.nodes, knowledge), before)
    if parents is None:
        raise GraphError(
            "this partially directed graph has no consistent extension: its arrowheads (with the "
            "background knowledge) force a cycle or a new collider"
        )
    return graph_of_parents(cpdag.nodes, parents)


def last_first(nodes: tuple[str, ...], knowledge: "Knowledge | None") -> list[int]:
    """All positions, latest tier first, then latest in the schema; free variables by schema."""
    if knowledge is None:
        return list(range(len(nodes)))[::-1]
    tiers = [knowledge.tier(name) for name in nodes]
    return sorted(range(len(nodes)), key=lambda i: (-(tiers[i] or 0), -i))


def is_m_separated(
    graph: Graph, first: Iterable[str], second: Iterable[str], given: Iterable[str] = ()
) -> bool:
    """Whether two sets are separated given a third, with directed and bidirected edges.

    A walk is open if every collider on it is in or above `given` and nothing else on it is in
    `given`. For DAGs this is d-separation; a `cpdag`, and a `pag` with circle marks, is judged by
    one of its members, which all have the same separations.

    Raises
    ------
    GraphError
        Unknown names, overlapping sets, or marks that no ancestral graph has.

    References
    ----------
    Richardson and Spirtes (2002), Ancestral graph Markov models, Annals of Statistics 30.
    """
    if graph.kind == "cpdag":
        graph = extension(graph)
    sources, targets, conditioned = set(first), set(second), set(given)
    if sources & targets or (sources | targets) & conditioned:
        raise GraphError("separation needs three sets that share no variable")
    for name in sources | targets | conditioned:
        graph.index(name)
    if any(Mark.CIRCLE in (edge.source_mark, edge.target_mark) for edge in graph.edges):
        graph = mag_of(graph)
    above = conditioned.union(*(graph.ancestors(name) for name in conditioned))
    return not _reachable(graph, sources, conditioned, above) & targets


def is_d_separated(
    dag: Graph, first: Iterable[str], second: Iterable[str], given: Iterable[str] = ()
) -> bool:
    """Whether two sets of a DAG are d-separated given a third; see `is_m_separated`.

    >>> collider = Graph.dag("abc", [("a", "c"), ("b", "c")])
    >>> is_d_separated(collider, ["a"], ["b"]), is_d_separated(collider, ["a"], ["b"], ["c"])
    (True, False)
    """
    return is_m_separated(dag, first, second, given)


def mag_of(pag: Graph) -> Graph:
    """One maximal ancestral graph of the class that a PAG stands for; always the same one.

    Circles on `o->` become tails and those on `-o` arrowheads; the edges with two circles are
    directed without a cycle or a new unshielded collider.

    Raises
    ------
    GraphError
        When no ancestral graph has these marks: tests that contradict each other leave such ones.

    References
    ----------
    Zhang (2008), On the completeness of orientation rules for causal discovery in the presence of
    latent confounders and selection bias, Artificial Intelligence 172, theorem 2.
    """
    if pag.kind != "pag":
        raise GraphError(f"expected a pag, got a {pag.kind}; use equivalence.extension")
    both = [e for e in pag.edges if e.source_mark is e.target_mark is Mark.CIRCLE]
    pairs = [(pag.index(edge.source), pag.index(edge.target)) for edge in both]
    component = Pdag.from_edges(len(pag.nodes), (), pairs)
    parents = extend(component, last_first(pag.nodes, None))
    if parents is None:
        raise GraphError("the circle edges of this pag close a cycle without chords: no member")
    edges = [*graph_of_parents(pag.nodes, parents).edges]
    edges += [_without_circle(edge) for edge in pag.edges if edge not in both]
    member = Graph(kind="pag", nodes=pag.nodes, edges=tuple(edges))
    if not is_ancestral(member):
        raise GraphError("no ancestral graph has the marks of this pag; its tests contradict")
    return member


def is_ancestral(graph: Graph) -> bool:
    """Whether every arrowhead can say "not a cause of the other end".

    No directed path leads from an arrowhead to the other end of its edge, and no arrowhead stands
    at an undirected edge.
    """
    undirected = {name for pair in graph.undirected_edges for name in pair}
    return not any(
        edge.source_mark is Mark.ARROW
        and (edge.source in undirected or edge.source in graph.ancestors(edge.target))
        for edge in [*graph.edges, *(edge.reversed() for edge in graph.edges)]
    )


def _without_circle(edge: Edge) -> Edge:
    """`->` for `o->` and `-o`, whichever way they are read; an edge without a circle stays."""
    if Mark.CIRCLE not in (edge.source_mark, edge.target_mark):
        return edge
    is_cause = Mark.ARROW is edge.target_mark or Mark.TAIL is edge.source_mark
    ends = (edge.source, edge.target)
    return Edge.directed(*(ends if is_cause else ends[::-1]))


def _reachable(
    graph: Graph, sources: set[str], conditioned: set[str], above: set[str] | frozenset[str]
) -> set[str]:
    """All ends of open walks, by breadth over (variable, was it entered at an arrowhead)."""
    ends: dict[str, list[Edge]] = {name: [] for name in graph.nodes}
    for edge in graph.edges:
        ends[edge.source].append(edge)
        ends[edge.target].append(edge.reversed())
    frontier = [(edge.target, edge.target_mark) for name in sources for edge in ends[name]]
    seen: set[tuple[str, Mark]] = set()
    while frontier:
        state = frontier.pop()
        if state in seen:
            continue
        seen.add(state)
        name, entered_at = state
        for edge in ends[name]:
            is_collider = entered_at is Mark.ARROW and edge.source_mark is Mark.ARROW
            if name in above if is_collider else name not in conditioned:
                frontier.append((edge.target, edge.target_mark))
    return {name for name, _ in seen}


def pdag_of(graph: Graph) -> Pdag:
    """The bit masks of a DAG or CPDAG."""
    if graph.kind == "pag":
        raise GraphError("expected a dag or a cpdag, got a pag")
    place = graph.index
    return Pdag.from_edges(
        len(graph.nodes),
        [(place(a), place(b)) for a, b in graph.directed_edges],
        [(place(a), place(b)) for a, b in graph.undirected_edges],
    )


def graph_of_pdag(nodes: tuple[str, ...], pdag: Pdag) -> Graph:
    """The CPDAG value of bit masks."""
    directed = [(nodes[i], nodes[j]) for i in range(len(nodes)) for j in bits(pdag.children(i))]
    undirected = [
        (nodes[i], nodes[j]) for i in range(len(nodes)) for j in bits(pdag.undirected(i)) if i < j
    ]
    return Graph.cpdag(nodes, directed, undirected)


def graph_of_parents(nodes: tuple[str, ...], parents: Iterable[int]) -> Graph:
    """The DAG value of one mask of parents per variable."""
    edges = [(nodes[i], nodes[j]) for j, mask in enumerate(parents) for i in bits(mask)]
    return Graph.dag(nodes, edges)
