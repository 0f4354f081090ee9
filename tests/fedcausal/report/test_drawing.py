import sys
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from fedcausal.graph import Edge, Graph, Mark
from fedcausal.report.drawing import draw_png, draw_svg

SVG = "{http://www.w3.org/2000/svg}"
PAG = Graph(
    kind="pag",
    nodes=("a", "b", "<script>", "d"),
    edges=(
        replace(Edge.directed("a", "b"), probability=0.25),
        Edge(source="b", target="<script>", source_mark=Mark.CIRCLE, target_mark=Mark.ARROW),
        Edge(source="a", target="d", source_mark=Mark.ARROW, target_mark=Mark.ARROW),
    ),
)


@pytest.fixture(scope="module")
def picture():
    return ET.fromstring(draw_svg(PAG))  # noqa: S314


def test_marks_are_drawn_as_they_are(picture):
    assert len(picture.findall(f".//{SVG}polygon")) == 4
    assert len(picture.findall(f".//{SVG}circle")) == 1
    assert len(picture.findall(f".//{SVG}path")) == 3


def test_undirected_edges_have_no_arrowhead():
    graph = Graph.cpdag(("a", "b"), [], [("a", "b")])
    assert "<polygon" not in draw_svg(graph)


def test_weak_edges_are_thin_and_pale(picture):
    groups = [g for g in picture.findall(f"{SVG}g") if g.find(f"{SVG}path") is not None]
    by_title = {g.find(f"{SVG}title").text: g for g in groups}
    weak, sure = by_title["a --> b (probability 0.25)"], by_title["a <-> d"]
    assert float(weak.get("opacity")) < float(sure.get("opacity"))
    width = [float(g.find(f"{SVG}path").get("stroke-width")) for g in (weak, sure)]
    assert width[0] < width[1]


def test_an_arrowhead_ends_on_the_border_of_its_box(picture):
    tips = [
        tuple(float(v) for v in p.get("points").split()[0].split(","))
        for p in picture.findall(f".//{SVG}polygon")
    ]
    borders = []
    for box in picture.findall(f".//{SVG}rect"):
        x, y, w, h = (float(box.get(key)) for key in ("x", "y", "width", "height"))
        borders += [(x, x + w, y), (x, x + w, y + h)]
    for x, y in tips:
        assert any(left <= x <= right and abs(y - edge) < 0.2 for left, right, edge in borders)


def test_names_are_escaped_and_nothing_is_loaded(picture):
    text = draw_svg(PAG)
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    assert text.count("http") == 1  # the namespace
    labels = [t.text for t in picture.findall(f".//{SVG}text")]
    assert sorted(labels) == sorted(PAG.nodes)


def test_png_is_a_png_and_leaves_matplotlib_alone():
    already = "matplotlib.pyplot" in sys.modules
    picture = draw_png(PAG)
    assert picture.startswith(b"\x89PNG\r\n")
    assert draw_png(PAG) == picture
    assert ("matplotlib.pyplot" in sys.modules) == already


def test_math_signs_in_names_are_plain_text():
    assert draw_png(Graph.dag(("$x_1^", "a"), [("$x_1^", "a")])).startswith(b"\x89PNG")
