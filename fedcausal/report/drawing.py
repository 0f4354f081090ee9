"""The graph as a picture: self-contained SVG, and PNG by the same layout."""

import itertools
from collections.abc import Sequence
from html import escape
from io import BytesIO

from fedcausal.graph import Edge, Graph, Mark
from fedcausal.report.layout import BOX_HEIGHT, Box, Layout, Route, layered_layout, short_label

__all__ = ["draw_png", "draw_svg"]

INK = "#1f2d3d"
LINE = "#2f5d8a"
FILL = "#eef4fa"
ARROW_LENGTH = 10.0
ARROW_HALF = 4.5
CIRCLE_RADIUS = 4.0


def draw_svg(graph: Graph, tiers: Sequence[Sequence[str]] = ()) -> str:
    """The graph as an SVG document without any outer resource.

    An edge is as thick and as dark as its probability says; a line without an arrowhead is an
    edge whose direction the data do not tell; a small circle is an end that may be either.
    """
    layout = layered_layout(graph, tiers)
    routes = "".join(_svg_route(route) for route in layout.routes)
    boxes = "".join(_svg_box(name, layout.boxes[name]) for name in graph.nodes)
    size = f'width="{layout.width:.0f}" height="{layout.height:.0f}"'
    view = f'viewBox="0 0 {layout.width:.1f} {layout.height:.1f}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {view} role="img" '
        f'aria-label="{escape(_summary(graph))}" font-family="sans-serif" font-size="13">'
        f"{routes}{boxes}</svg>"
    )


def draw_png(graph: Graph, tiers: Sequence[Sequence[str]] = (), *, dpi: int = 144) -> bytes:
    """The same picture as PNG bytes; matplotlib's global state is not touched."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    layout = layered_layout(graph, tiers)
    figure = Figure(figsize=(layout.width / 96, layout.height / 96), facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, layout.width)
    axes.set_ylim(layout.height, 0)
    axes.axis("off")
    _paint(axes, layout)
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def _summary(graph: Graph) -> str:
    return f"causal graph of {len(graph.nodes)} variables and {len(graph.edges)} edges"


def _strength(edge: Edge) -> tuple[float, float]:
    """Line width and opacity."""
    probability = 1.0 if edge.probability is None else edge.probability
    return 1.0 + 1.6 * probability, 0.25 + 0.75 * probability


def _line_points(route: Route) -> list[tuple[float, float]]:
    """The route, shortened at both ends by the marks that stand there."""
    points = list(route.points)
    upper, lower = _marks(route)
    points[0] = (points[0][0], points[0][1] + _mark_length(upper))
    points[-1] = (points[-1][0], points[-1][1] - _mark_length(lower))
    return points


def _marks(route: Route) -> tuple[Mark, Mark]:
    ends = (route.edge.source_mark, route.edge.target_mark)
    return (ends[1], ends[0]) if route.is_flipped else ends


def _mark_length(mark: Mark) -> float:
    return {Mark.ARROW: ARROW_LENGTH - 1.0, Mark.CIRCLE: 2 * CIRCLE_RADIUS, Mark.TAIL: 0.0}[mark]


def _svg_route(route: Route) -> str:
    width, opacity = _strength(route.edge)
    points = _line_points(route)
    path = f"M{points[0][0]:.1f},{points[0][1]:.1f}"
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        middle = (y0 + y1) / 2
        path += f"C{x0:.1f},{middle:.1f} {x1:.1f},{middle:.1f} {x1:.1f},{y1:.1f}"
    upper, lower = _marks(route)
    marks = _svg_mark(upper, route.points[0], 1.0) + _svg_mark(lower, route.points[-1], -1.0)
    return (
        f'<g opacity="{opacity:.2f}"><title>{escape(_edge_title(route.edge))}</title>'
        f'<path d="{path}" fill="none" stroke="{LINE}" stroke-width="{width:.2f}"/>{marks}</g>'
    )


def _svg_mark(mark: Mark, tip: tuple[float, float], away: float) -> str:
    """A mark whose tip touches the box; `away` is +1 where the line goes down from it."""
    x, y = tip
    if mark is Mark.ARROW:
        base = y + away * ARROW_LENGTH
        corners = (
            f"{x:.1f},{y:.1f} {x - ARROW_HALF:.1f},{base:.1f} {x + ARROW_HALF:.1f},{base:.1f}"
        )
        return f'<polygon points="{corners}" fill="{LINE}"/>'
    if mark is Mark.CIRCLE:
        centre = y + away * CIRCLE_RADIUS
        return (
            f'<circle cx="{x:.1f}" cy="{centre:.1f}" r="{CIRCLE_RADIUS - 0.8}" fill="#ffffff" '
            f'stroke="{LINE}" stroke-width="1.5"/>'
        )
    return ""


def _svg_box(name: str, box: Box) -> str:
    left, top = box.x - box.width / 2, box.y - BOX_HEIGHT / 2
    return (
        f"<g><title>{escape(name)}</title>"
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{box.width:.1f}" height="{BOX_HEIGHT}" '
        f'rx="6" fill="{FILL}" stroke="{INK}" stroke-width="1.1"/>'
        f'<text x="{box.x:.1f}" y="{box.y + 4.5:.1f}" text-anchor="middle" fill="{INK}">'
        f"{escape(short_label(name))}</text></g>"
    )


def _edge_title(edge: Edge) -> str:
    left = {Mark.TAIL: "-", Mark.ARROW: "<", Mark.CIRCLE: "o"}[edge.source_mark]
    right = {Mark.TAIL: "-", Mark.ARROW: ">", Mark.CIRCLE: "o"}[edge.target_mark]
    share = "" if edge.probability is None else f" (probability {edge.probability:.2f})"
    return f"{edge.source} {left}-{right} {edge.target}{share}"


def _paint(axes: object, layout: Layout) -> None:
    """Draw a layout on matplotlib axes."""
    for route in layout.routes:
        _paint_route(axes, route)
    for name, box in layout.boxes.items():
        _paint_box(axes, name, box)


def _paint_route(axes: object, route: Route) -> None:
    from matplotlib.patches import Circle, PathPatch, Polygon
    from matplotlib.path import Path

    width, opacity = _strength(route.edge)
    points = _line_points(route)
    vertices, codes = [points[0]], [Path.MOVETO]
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        middle = (y0 + y1) / 2
        vertices += [(x0, middle), (x1, middle), (x1, y1)]
        codes += [Path.CURVE4] * 3
    line = PathPatch(Path(vertices, codes), fill=False, edgecolor=LINE, lw=width, alpha=opacity)
    axes.add_patch(line)  # type: ignore[attr-defined]
    ends = zip(_marks(route), (route.points[0], route.points[-1]), (1.0, -1.0), strict=True)
    for mark, (x, y), away in ends:
        if mark is Mark.ARROW:
            base = y + away * ARROW_LENGTH
            corners = [(x, y), (x - ARROW_HALF, base), (x + ARROW_HALF, base)]
            axes.add_patch(Polygon(corners, color=LINE, lw=0, alpha=opacity))  # type: ignore[attr-defined]
        elif mark is Mark.CIRCLE:
            centre = (x, y + away * CIRCLE_RADIUS)
            ring = Circle(centre, CIRCLE_RADIUS - 0.8, facecolor="white", edgecolor=LINE)
            axes.add_patch(ring)  # type: ignore[attr-defined]


def _paint_box(axes: object, name: str, box: Box) -> None:
    from matplotlib.patches import FancyBboxPatch

    corner = (box.x - box.width / 2, box.y - BOX_HEIGHT / 2)
    style = "round,pad=0,rounding_size=6"
    patch = FancyBboxPatch(
        corner, box.width, BOX_HEIGHT, boxstyle=style, facecolor=FILL, edgecolor=INK, lw=1.0
    )
    axes.add_patch(patch)  # type: ignore[attr-defined]
    axes.text(  # type: ignore[attr-defined]
        box.x,
        box.y,
        short_label(name),
        ha="center",
        va="center",
        color=INK,
        fontsize=9.5,
        parse_math=False,
    )
