"""Which directions an answer rests on that the data leave open.

A model is over one DAG. Where it was learnt, the data admit a class of DAGs, and the model's own
is one of them, chosen by a rule: what an answer owes to that choice is said with the answer.
"""

from collections.abc import Callable, Collection, Iterable

from fedcausal.graph import Graph

__all__ = [
    "class_of",
    "open_above",
    "open_at",
    "open_below",
    "open_between",
    "open_sentence",
    "possibly_above",
    "possibly_below",
]

Arrow = tuple[str, str]


def class_of(dag: Graph, learnt: Graph | None) -> Graph:
    """The class that a DAG was chosen from: the graph learnt, where it is over the same variables.

    A given graph, or one whose every edge has a direction, is the DAG alone.
    """
    if learnt is None or learnt.kind != "cpdag" or set(learnt.nodes) != set(dag.nodes):
        return dag
    return learnt if learnt.undirected_edges else dag


def open_at(dag: Graph, learnt: Graph | None, names: Iterable[str]) -> tuple[Arrow, ...]:
    """Open edges of these variables, as the DAG directs them.

    The law under do() of some variables is the joint law without their mechanisms, so that it is
    the same in every DAG of a class in which they have the same parents.

    References
    ----------
    Pearl (2009), Causality, section 3.2.3 (truncated factorisation).
    """
    around = set(names)
    return _chosen(dag, learnt, lambda first, second: bool(around & {first, second}))


def open_below(dag: Graph, learnt: Graph | None, names: Iterable[str]) -> tuple[Arrow, ...]:
    """Open edges of these variables and of all that they may cause: a counterfactual needs them.

    The noise of every variable below an action is told from its own parents.
    """
    graph = class_of(dag, learnt)
    if graph is dag:
        return ()  # asked with every record: walking a large graph takes longer than the answer
    return open_at(dag, learnt, possibly_below(graph, names))


def open_above(dag: Graph, learnt: Graph | None, name: str) -> tuple[Arrow, ...]:
    """Open edges between a variable and all that may cause it."""
    return open_at(dag, learnt, possibly_above(class_of(dag, learnt), name))


def open_between(
    dag: Graph, learnt: Graph | None, treatment: str, outcome: str
) -> tuple[Arrow, ...]:
    """Open edges of what may lie on the way from the treatment to the outcome."""
    graph = class_of(dag, learnt)
    below, above = possibly_below(graph, [treatment]), possibly_above(graph, outcome)
    return _chosen(
        dag,
        learnt,
        lambda first, second: bool(below & {first, second}) and {first, second} <= above,
    )


def open_sentence(edges: Collection[Arrow]) -> tuple[str, ...]:
    """What an answer must say of the open edges that it rests on; nothing where there is none.

    >>> open_sentence([("a", "b")])[0][:44]
    'a -> b: the data leave this direction open, '
    """
    if not edges:
        return ()
    arrows = ", ".join(f"{cause} -> {effect}" for cause, effect in edges)
    is_one = len(edges) == 1
    which, were = ("this direction", "it was") if is_one else ("these directions", "they were")
    return (
        f"{arrows}: the data leave {which} open, and {were} chosen within the class of graphs "
        "that they admit; another choice may give another answer. State what you know under "
        "knowledge.",
    )


def possibly_below(graph: Graph, names: Iterable[str]) -> frozenset[str]:
    """The variables themselves and all that a path without an arrowhead against it reaches."""
    return _reached(graph, names, graph.children)


def possibly_above(graph: Graph, name: str) -> frozenset[str]:
    """The variable itself and all from which such a path leads to it."""
    return _reached(graph, [name], graph.parents)


def _reached(
    graph: Graph, names: Iterable[str], step: Callable[[str], tuple[str, ...]]
) -> frozenset[str]:
    linked: dict[str, list[str]] = {name: [] for name in graph.nodes}
    for first, second in graph.undirected_edges:
        linked[first].append(second)
        linked[second].append(first)
    found, frontier = set[str](), list(names)
    while frontier:
        name = frontier.pop()
        if name not in found:
            found.add(name)
            frontier += [*step(name), *linked[name]]
    return frozenset(found)


def _chosen(
    dag: Graph, learnt: Graph | None, is_wanted: Callable[[str, str], bool]
) -> tuple[Arrow, ...]:
    """Open edges as the model's DAG directs them, in its order."""
    graph = class_of(dag, learnt)
    wanted = {frozenset(pair) for pair in graph.undirected_edges if is_wanted(*pair)}
    return tuple(pair for pair in dag.directed_edges if frozenset(pair) in wanted)
