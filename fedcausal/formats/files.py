"""Graph files: the format follows from the extension."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fedcausal.errors import InputError
from fedcausal.formats.adjacency_csv import read_adjacency_csv, write_adjacency_csv
from fedcausal.formats.bif import read_bif
from fedcausal.formats.dagitty import Dagitty, read_dagitty, write_dagitty
from fedcausal.formats.dot import read_dot, write_dot
from fedcausal.formats.gml import read_gml, write_gml
from fedcausal.formats.graph_json import read_graph_json, write_graph_json
from fedcausal.formats.graphml import read_graphml, write_graphml
from fedcausal.formats.reading import read_graph
from fedcausal.graph import PROBABILITIES, Graph

__all__ = ["FileFormat", "format_of", "lost_in", "read_graph_file", "write_graph_file"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFormat:
    """How files with some extension are read and, unless None, written."""

    name: str
    read: Callable[[str], Graph]
    write: Callable[[Graph], str] | None
    has_probabilities: bool = True


def _read_dagitty(text: str) -> Graph:
    return read_dagitty(text).graph


def _write_dagitty(graph: Graph) -> str:
    return write_dagitty(Dagitty(graph=graph))


def _read_bif(text: str) -> Graph:
    return read_bif(text).graph


JSON = FileFormat(name="JSON", read=read_graph_json, write=write_graph_json)
DOT = FileFormat(name="DOT", read=read_dot, write=write_dot)
GRAPHML = FileFormat(name="GraphML", read=read_graphml, write=write_graphml)
GML = FileFormat(name="GML", read=read_gml, write=write_gml)
BIF = FileFormat(name="BIF", read=_read_bif, write=None)
# A text file may hold any of them; what is written is DAGitty's.
TEXT = FileFormat(name="DAGitty", read=read_graph, write=_write_dagitty, has_probabilities=False)
DAGITTY = FileFormat(
    name="DAGitty", read=_read_dagitty, write=_write_dagitty, has_probabilities=False
)
CSV = FileFormat(
    name="adjacency CSV",
    read=read_adjacency_csv,
    write=write_adjacency_csv,
    has_probabilities=False,
)
FORMATS: Mapping[str, FileFormat] = {
    ".json": JSON,
    ".dot": DOT,
    ".gv": DOT,
    ".graphml": GRAPHML,
    ".gml": GML,
    ".csv": CSV,
    ".dagitty": DAGITTY,
    ".txt": TEXT,
    ".bif": BIF,
}


def format_of(path: Path) -> FileFormat:
    """The format of a file name; an unknown extension is an `InputError` that lists the known."""
    found = FORMATS.get(path.suffix.lower())
    if found is None:
        raise InputError(f"{path}: expected a name ending in one of {', '.join(FORMATS)}")
    return found


def read_graph_file(path: Path) -> Graph:
    """Read a graph file; an extension that is not known leaves it to the file's beginning.

    Raises
    ------
    InputError
        The file cannot be read, or does not hold a graph.
    """
    known = FORMATS.get(path.suffix.lower())
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file; give the path of a graph") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: expected UTF-8 text; save the file as UTF-8") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    return (read_graph if known is None else known.read)(text)


def write_graph_file(graph: Graph, path: Path) -> FileFormat:
    """Write a graph in the format of the file's extension, and return that format.

    Raises
    ------
    InputError
        The extension is unknown, the format is read only, or the file exists.
    """
    chosen = format_of(path)
    if chosen.write is None:
        writable = ", ".join(suffix for suffix, each in FORMATS.items() if each.write)
        raise InputError(f"{path}: {chosen.name} is only read; write one of {writable}")
    if path.exists():
        raise InputError(f"{path}: the file exists; name another one or remove it")
    text = chosen.write(graph)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return chosen


def lost_in(graph: Graph, chosen: FileFormat) -> list[str]:
    """What a format cannot hold of this graph, as sentences."""
    if chosen.has_probabilities or not any(
        getattr(edge, name) is not None for edge in graph.edges for name in PROBABILITIES
    ):
        return []
    return [f"{chosen.name} has no place for edge probabilities; they are left out"]
