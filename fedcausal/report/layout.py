"""A layered layout of a causal graph: causes above effects, long edges routed around nodes."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fedcausal.graph import Edge, Graph

__all__ = ["BOX_HEIGHT", "Box", "Layout", "Route", "layered_layout", "short_label"]

Point = tuple[float, float]
Key = tuple[str, int] | str

BOX_HEIGHT = 30.0
CHARACTER_WIDTH = 7.4
LAYER_GAP = 64.0
NODE_GAP = 26.0
BEND_WIDTH = 12.0
MARGIN = 18.0
SWEEPS = 12
LONGEST_LABEL = 26


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A node's box: its centre and its width."""

    x: float
    y: float
    width: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """An edge from the border of the upper box to the border of the lower one.

    `is_flipped` says that the upper end is the edge's target.
    """

    edge: Edge
    points: tuple[Point, ...]
    is_flipped: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where everything of a drawing lies, in pixels from the upper left corner."""

    width: float
    height: float
    boxes: Mapping[str, Box]
    routes: tuple[Route, ...]


def layered_layout(graph: Graph, tiers: Sequence[Sequence[str]] = ()) -> Layout:
    """Lay out a graph: one layer per tier and depth, edges downward, crossings reduced.

    References
    ----------
    Sugiyama, Tagawa and Toda (1981), methods for visual understanding of hierarchical systems.
    """
    order = _pseudo_order(graph, _tier_of(graph, tiers))
    layer = _layers(graph, order, _tier_of(graph, tiers))
    chains = {edge: _chain(edge, layer, order) for edge in graph.edges}
    rows = _rows(graph, layer, chains)
    links = [pair for chain in chains.values() for pair in itertools.pairwise(chain)]
    rows = _fewer_crossings(rows, links)
    x = _coordinates(rows, links)
    return _finished(graph, rows, chains, x)


def short_label(name: str) -> str:
    """A name that fits its box."""
    return name if len(name) <= LONGEST_LABEL else name[: LONGEST_LABEL - 1] + "…"


def _tier_of(graph: Graph, tiers: Sequence[Sequence[str]]) -> dict[str, int]:
    """Tier of each node; one that no tier names stands in the first."""
    listed = {name: k for k, tier in enumerate(tiers) for name in tier}
    return {name: listed.get(name, 0) for name in graph.nodes}


def _pseudo_order(graph: Graph, tier: Mapping[str, int]) -> dict[str, int]:
    """Positions that respect directed edges, then tiers, then the schema."""
    remaining = list(graph.nodes)
    order: dict[str, int] = {}
    while remaining:
        free = [n for n in remaining if all(p in order for p in graph.parents(n))]
        chosen = min(free or remaining, key=lambda n: (tier[n], graph.nodes.index(n)))
        order[chosen] = len(order)
        remaining.remove(chosen)
    return order


def _layers(graph: Graph, order: Mapping[str, int], tier: Mapping[str, int]) -> dict[str, int]:
    """Longest path from the top, where every tier starts below the one before it."""
    depth: dict[str, int] = {}
    floor, current = 0, None
    for name in sorted(graph.nodes, key=lambda n: (tier[n], order[n])):
        if current != tier[name]:
            floor, current = max(depth.values(), default=-1) + 1, tier[name]
        above = [depth[n] + 1 for n in graph.nodes if n in depth and graph.adjacent(n, name)]
        depth[name] = max([floor, *above])
    used = {d: k for k, d in enumerate(sorted(set(depth.values())))}
    return {name: used[d] for name, d in depth.items()}


def _chain(edge: Edge, layer: Mapping[str, int], order: Mapping[str, int]) -> list[Key]:
    """The edge's ends, upper first, with a bend in every layer between them."""
    ends = sorted((edge.source, edge.target), key=lambda n: (layer[n], order[n]))
    label = f"{edge.source}\0{edge.target}"
    bends: list[Key] = [(label, k) for k in range(layer[ends[0]] + 1, layer[ends[1]])]
    return [ends[0], *bends, ends[1]]


def _rows(
    graph: Graph, layer: Mapping[str, int], chains: Mapping[Edge, Sequence[Key]]
) -> list[list[Key]]:
    rows: list[list[Key]] = [[] for _ in range(max(layer.values(), default=-1) + 1)]
    for name in graph.nodes:
        rows[layer[name]].append(name)
    for chain in chains.values():
        for key in chain:
            if isinstance(key, tuple):
                rows[key[1]].append(key)
    return rows


def _fewer_crossings(
    rows: Sequence[Sequence[Key]], links: Sequence[tuple[Key, Key]]
) -> list[list[Key]]:
    """Order every row by the mean position of its neighbours, down and up in turn."""
    near = _neighbours(links)
    result = [list(row) for row in rows]
    for sweep in range(SWEEPS):
        position = {key: k / max(len(row) - 1, 1) for row in result for k, key in enumerate(row)}
        sequence = result if sweep % 2 == 0 else result[::-1]
        for row in sequence:
            centre = {
                key: sum(position[n] for n in near[key]) / len(near[key])
                if near.get(key)
                else position[key]
                for key in row
            }
            row.sort(key=centre.__getitem__)
            position |= {key: k / max(len(row) - 1, 1) for k, key in enumerate(row)}
    return result


def _coordinates(
    rows: Sequence[Sequence[Key]], links: Sequence[tuple[Key, Key]]
) -> dict[Key, float]:
    """Horizontal centres: pulled towards neighbours, never closer than the gap allows."""
    near = _neighbours(links)
    x: dict[Key, float] = {}
    for row in rows:
        x |= _packed(row, [0.0] * len(row))
    for _ in range(SWEEPS):
        for row in rows:
            wanted = [
                sum(x[n] for n in near[key]) / len(near[key]) if near.get(key) else x[key]
                for key in row
            ]
            x |= _packed(row, wanted)
    return x


def _packed(row: Sequence[Key], wanted: Sequence[float]) -> dict[Key, float]:
    """Centres in the row's order, as near to `wanted` as the mean of both packings gets."""
    size = [_width(key) for key in row]
    right = list(wanted)
    for i in range(1, len(row)):
        gap = (size[i - 1] + size[i]) / 2 + NODE_GAP
        right[i] = max(right[i], right[i - 1] + gap)
    left = list(wanted)
    for i in range(len(row) - 2, -1, -1):
        gap = (size[i] + size[i + 1]) / 2 + NODE_GAP
        left[i] = min(left[i], left[i + 1] - gap)
    return {key: (a + b) / 2 for key, a, b in zip(row, left, right, strict=True)}


def _finished(
    graph: Graph,
    rows: Sequence[Sequence[Key]],
    chains: Mapping[Edge, Sequence[Key]],
    x: Mapping[Key, float],
) -> Layout:
    left = min((x[key] - _width(key) / 2 for row in rows for key in row), default=0.0) - MARGIN
    right = max((x[key] + _width(key) / 2 for row in rows for key in row), default=0.0) + MARGIN
    height = len(rows) * BOX_HEIGHT + max(len(rows) - 1, 0) * LAYER_GAP + 2 * MARGIN
    middle = MARGIN + BOX_HEIGHT / 2
    place = {
        key: (x[key] - left, middle + k * (BOX_HEIGHT + LAYER_GAP))
        for k, row in enumerate(rows)
        for key in row
    }
    boxes = {n: Box(x=place[n][0], y=place[n][1], width=_width(n)) for n in graph.nodes}
    routes = _routes(chains, place, boxes)
    return Layout(width=right - left, height=height, boxes=boxes, routes=routes)


def _routes(
    chains: Mapping[Edge, Sequence[Key]],
    place: Mapping[Key, Point],
    boxes: Mapping[str, Box],
) -> tuple[Route, ...]:
    routes = []
    for edge, chain in chains.items():
        upper, lower = str(chain[0]), str(chain[-1])
        out = [c for c in chains.values() if c[0] == upper]
        into = [c for c in chains.values() if c[-1] == lower]
        start = _port(boxes[upper], chain, sorted(out, key=lambda c: place[c[1]][0]))
        end = _port(boxes[lower], chain, sorted(into, key=lambda c: place[c[-2]][0]))
        points = (
            (start, boxes[upper].y + BOX_HEIGHT / 2),
            *(place[key] for key in chain[1:-1]),
            (end, boxes[lower].y - BOX_HEIGHT / 2),
        )
        routes.append(Route(edge=edge, points=points, is_flipped=edge.source != upper))
    return tuple(routes)


def _port(box: Box, chain: Sequence[Key], beside: Sequence[Sequence[Key]]) -> float:
    """Where on a box's side an edge ends: edges of one side stand apart, in order."""
    rank = next(k for k, other in enumerate(beside) if other is chain)
    return box.x + (rank + 1) / (len(beside) + 1) * 0.8 * box.width - 0.4 * box.width


def _neighbours(links: Sequence[tuple[Key, Key]]) -> dict[Key, list[Key]]:
    near: dict[Key, list[Key]] = {}
    for a, b in links:
        near.setdefault(a, []).append(b)
        near.setdefault(b, []).append(a)
    return near


def _width(key: Key) -> float:
    if isinstance(key, tuple):
        return BEND_WIDTH
    return max(len(short_label(key)) * CHARACTER_WIDTH + 20.0, 54.0)
