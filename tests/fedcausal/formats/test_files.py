"""Graph files: formats by extension."""

import pytest

from fedcausal.errors import GraphError, InputError
from fedcausal.formats.files import FORMATS, lost_in, read_graph_file, write_graph_file
from fedcausal.graph import Graph

GRAPH = Graph.cpdag(("a", "b", "c"), [("a", "b"), ("c", "b")], [("a", "c")])
WRITTEN = [suffix for suffix, chosen in FORMATS.items() if chosen.write]


@pytest.mark.parametrize("suffix", WRITTEN)
def test_every_extension_comes_back(tmp_path, suffix):
    path = tmp_path / "new" / f"graph{suffix.upper()}"
    write_graph_file(GRAPH, path)
    assert read_graph_file(path) == GRAPH


def test_a_text_file_and_an_unknown_extension_are_told_by_their_beginning(tmp_path):
    for name in ("graph.txt", "graph.any"):
        (tmp_path / name).write_text("\ufeffdigraph { a -> b }", encoding="utf-8")
        assert read_graph_file(tmp_path / name) == Graph.dag("ab", [("a", "b")])


def test_what_cannot_be_read_or_written_is_told(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_graph_file(tmp_path / "none.json")
    with pytest.raises(InputError, match="cannot be read"):
        read_graph_file(tmp_path)
    (tmp_path / "latin.dot").write_bytes(b"digraph { \xe9 }")
    with pytest.raises(InputError, match="UTF-8"):
        read_graph_file(tmp_path / "latin.dot")
    (tmp_path / "wrong.json").write_text("dag { a }")
    with pytest.raises(GraphError):
        read_graph_file(tmp_path / "wrong.json")
    with pytest.raises(InputError, match="only read"):
        write_graph_file(GRAPH, tmp_path / "x.bif")
    with pytest.raises(InputError, match="ending in one of"):
        write_graph_file(GRAPH, tmp_path / "x.png")
    with pytest.raises(InputError, match="exists"):
        write_graph_file(GRAPH, tmp_path / "latin.dot")


def test_what_a_format_cannot_hold_is_said():
    sure = GRAPH.with_probabilities(lambda edge: 0.5)
    assert lost_in(sure, FORMATS[".csv"]) == [
        "adjacency CSV has no place for edge probabilities; they are left out"
    ]
    assert lost_in(sure, FORMATS[".gml"]) == lost_in(GRAPH, FORMATS[".csv"]) == []
