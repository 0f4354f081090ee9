"""The adjacency matrix as CSV: a cell holds the mark at its column's end of the edge."""

import csv
from collections.abc import Sequence
from io import StringIO
from typing import cast, get_args

from fedcausal.errors import GraphError
from fedcausal.graph import Edge, Graph, GraphKind, Mark

__all__ = ["read_adjacency_csv", "write_adjacency_csv"]

Cells = dict[tuple[str, str], str]


def write_adjacency_csv(graph: Graph) -> str:
    """One row and column per variable; the corner holds the kind, probabilities have no place.

    >>> print(write_adjacency_csv(Graph.dag("xy", [("x", "y")])))
    dag,x,y
    x,,arrow
    y,tail,
    <BLANKLINE>
    """
    out = StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([graph.kind, *graph.nodes])
    for name in graph.nodes:
        writer.writerow([name, *(_mark_at(graph, name, other) for other in graph.nodes)])
    return out.getvalue()


def read_adjacency_csv(text: str) -> Graph:
    """Read what `write_adjacency_csv` wrote, or a matrix of 0 and 1 whose rows cause columns.

    In a matrix of 0 and 1, two opposite ones are an undirected edge. Without a kind in the
    corner the graph is a `dag` or, with undirected edges, a `cpdag`.

    Raises
    ------
    GraphError
        Names of rows and columns differ, a cell holds something else, or only one end of an edge
        has a mark.
    """
    try:
        rows = [row for row in csv.reader(StringIO(text), strict=True) if row]
    except csv.Error as error:
        raise GraphError(f"adjacency csv: the text cannot be read: {error}") from None
    if not rows or any(len(row) != len(rows) for row in rows):
        raise GraphError("adjacency csv: expected a square matrix with names above and beside it")
    corner, *names = rows[0]
    if [row[0] for row in rows[1:]] != names:
        raise GraphError("adjacency csv: expected the same names, in one order, above and beside")
    cells = {
        (row[0], other): cell.strip()
        for row in rows[1:]
        for other, cell in zip(names, row[1:], strict=True)
    }
    are_numbers = set(cells.values()) <= {"", "0", "1"}
    edges = _from_numbers(names, cells) if are_numbers else _from_marks(names, cells)
    kind = corner.strip() or _kind(edges)
    if kind not in get_args(GraphKind):
        raise GraphError(f"adjacency csv: expected a kind of {get_args(GraphKind)}, got {kind!r}")
    return Graph(kind=cast(GraphKind, kind), nodes=tuple(names), edges=tuple(edges))


def _mark_at(graph: Graph, name: str, other: str) -> str:
    edge = None if name == other else graph.edge(name, other)
    if edge is None:
        return ""
    return (edge.target_mark if edge.target == other else edge.source_mark).value


def _from_numbers(names: Sequence[str], cells: Cells) -> list[Edge]:
    edges = []
    for i, first in enumerate(names):
        for second in names[i:]:
            ends = (cells[first, second] == "1", cells[second, first] == "1")
            if first == second and any(ends):
                raise GraphError(f"adjacency csv: {first!r} cannot cause itself")
            if all(ends):
                edges.append(Edge.undirected(first, second))
            elif any(ends):
                edges.append(Edge.directed(*((first, second) if ends[0] else (second, first))))
    return edges


def _from_marks(names: Sequence[str], cells: Cells) -> list[Edge]:
    edges = []
    for i, first in enumerate(names):
        for second in names[i:]:
            at_second, at_first = cells[first, second], cells[second, first]
            if not at_second and not at_first:
                continue
            if at_first not in list(Mark) or at_second not in list(Mark) or first == second:
                raise GraphError(
                    f"adjacency csv: {first!r}, {second!r}: expected a mark ({', '.join(Mark)}) "
                    f"at either end, got {at_first!r} and {at_second!r}"
                )
            edges.append(
                Edge(
                    source=first,
                    target=second,
                    source_mark=Mark(at_first),
                    target_mark=Mark(at_second),
                )
            )
    return edges


def _kind(edges: Sequence[Edge]) -> GraphKind:
    if all(edge.is_directed for edge in edges):
        return "dag"
    return "cpdag" if all(edge.is_directed or edge.is_undirected for edge in edges) else "pag"
