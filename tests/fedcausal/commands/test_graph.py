"""`fedcausal graph convert`."""

import json

import pytest

from fedcausal.cli import main
from fedcausal.formats.files import read_graph_file
from fedcausal.graph import Edge, Graph, Mark


@pytest.fixture
def pag(tmp_path):
    circle = Edge(
        source="a",
        target="b",
        source_mark=Mark.CIRCLE,
        target_mark=Mark.ARROW,
        probability=0.75,
        target_mark_probability=0.5,
    )
    graph = Graph(kind="pag", nodes=("a", "b"), edges=(circle,))
    (tmp_path / "in.json").write_text(json.dumps(graph.to_json()))
    return graph


@pytest.mark.parametrize("suffix", ["dot", "graphml", "gml"])
def test_marks_and_probabilities_survive(tmp_path, pag, suffix, capsys):
    there, back = tmp_path / f"out.{suffix}", tmp_path / "back.json"
    assert main(["graph", "convert", str(tmp_path / "in.json"), str(there)]) == 0
    assert "a pag of 2 variables, 1 edges" in capsys.readouterr().out
    assert main(["graph", "convert", str(there), str(back), "--quiet"]) == 0
    assert capsys.readouterr().out == f"{back}\n"
    assert read_graph_file(back) == pag


def test_what_is_lost_is_said(tmp_path, pag, capsys):
    arguments = ["graph", "convert", str(tmp_path / "in.json"), str(tmp_path / "out.txt")]
    assert main([*arguments, "--format", "json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["data"]["format"] == "DAGitty"
    assert "probabilities" in answer["data"]["notes"][0]
    assert '"a" @-> "b"' in (tmp_path / "out.txt").read_text()


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        ("in.json", "out.png", "ending in one of"),
        ("in.json", "out.bif", "only read"),
        ("in.json", "in.json", "exists"),
        ("none.json", "out.dot", "no such file"),
    ],
)
def test_mistakes_exit_with_4_and_write_nothing(tmp_path, pag, capsys, source, target, message):
    before = sorted(tmp_path.iterdir())
    assert main(["graph", "convert", str(tmp_path / source), str(tmp_path / target)]) == 4
    assert message in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == before
