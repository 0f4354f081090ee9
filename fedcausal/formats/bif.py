"""BIF, the Bayesian network Interchange Format: structure and states, read only."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from fedcausal.errors import GraphError
from fedcausal.graph import Graph

__all__ = ["BifNetwork", "read_bif"]

_SKIPPED = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}()\[\];,|]|[^\s{}()\[\];,|"]+')


@dataclass(frozen=True, slots=True, kw_only=True)
class BifNetwork:
    """A discrete network: its DAG, and per variable the names of its states in order."""

    graph: Graph
    states: Mapping[str, tuple[str, ...]]


def read_bif(text: str) -> BifNetwork:
    """Read the structure and the states; probabilities and properties are passed over.

    Raises
    ------
    GraphError
        When the text is not BIF, a parent is not declared, or the arcs form a cycle.

    >>> network = read_bif(
    ...     "network n {} variable a { type discrete [ 2 ] { no, yes }; }"
    ...     "variable b { type discrete [ 2 ] { no, yes }; } probability ( b | a ) { }"
    ... )
    >>> network.graph.directed_edges, network.states["b"]
    ((('a', 'b'),), ('no', 'yes'))
    """
    tokens = _TOKEN.findall(_SKIPPED.sub(" ", text))
    states: dict[str, tuple[str, ...]] = {}
    parents: dict[str, tuple[str, ...]] = {}
    for head, body in _blocks(iter(tokens)):
        keyword = head[0].lower()
        if keyword == "variable" and len(head) == 2:
            states[_name(head[1])] = _states(head[1], body)
        elif keyword == "probability":
            child, *others = _family(head)
            parents[child] = tuple(others)
        elif keyword != "network":
            raise GraphError(
                f"bif: expected network, variable or probability, got {' '.join(head[:3])!r}"
            )
    if not states:
        raise GraphError("bif: the text declares no variable")
    edges = [(parent, child) for child, others in parents.items() for parent in others]
    return BifNetwork(graph=Graph.dag(tuple(states), edges), states=states)


def _blocks(tokens: Iterator[str]) -> Iterator[tuple[list[str], list[str]]]:
    """Everything before a brace, and everything in it (braces inside included)."""
    head: list[str] = []
    for token in tokens:
        if token != "{":  # noqa: S105  (a brace is no password)
            head.append(token)
            continue
        if not head:
            raise GraphError("bif: expected a keyword before '{'")
        yield head, list(_inside(tokens))
        head = []
    if head:
        raise GraphError(f"bif: expected '{{' after {' '.join(head[:3])!r}")


def _inside(tokens: Iterator[str]) -> Iterator[str]:
    depth = 1
    for token in tokens:
        depth += {"{": 1, "}": -1}.get(token, 0)
        if depth == 0:
            return
        yield token
    raise GraphError("bif: a '{' is never closed")


def _states(variable: str, body: list[str]) -> tuple[str, ...]:
    """`type discrete [ 2 ] { no, yes };`."""
    if [token.lower() for token in body[:3]] != ["type", "discrete", "["] or "{" not in body:
        raise GraphError(f"bif: variable {variable!r}: expected type discrete [ n ] {{ ... }}")
    start = body.index("{")
    end = body.index("}", start)
    states = tuple(_name(token) for token in body[start + 1 : end] if token != ",")  # noqa: S105
    if body[3] != str(len(states)):
        raise GraphError(
            f"bif: variable {variable!r}: expected {body[3]} states, got {len(states)}"
        )
    return states


def _family(head: list[str]) -> list[str]:
    """`probability ( child | parent, parent )`."""
    if len(head) < 4 or head[1] != "(" or head[-1] != ")":
        raise GraphError(f"bif: expected probability ( child | parents ), got {' '.join(head)!r}")
    return [_name(token) for token in head[2:-1] if token not in ("|", ",")]


def _name(token: str) -> str:
    return re.sub(r"\\(.)", r"\1", token[1:-1]) if token.startswith('"') else token
