"""`fedcausal graph`: graph files of other programs."""

from pathlib import Path
from typing import Annotated

import typer

from fedcausal.console import Format, FormatOption, QuietOption, emit

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True)


@app.callback()
def group() -> None:
    """Read and write graph files of other programs."""


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A graph file.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="The graph file to write.")],
    output: FormatOption = Format.TEXT,
    quiet: QuietOption = False,
) -> None:
    """Convert a graph file; the extensions name the formats.

    Read and written: .json, .dot, .gv, .graphml, .gml, .csv, .dagitty, .txt (DAGitty). Read only:
    .bif.
    """
    from fedcausal.formats.files import format_of, lost_in, read_graph_file, write_graph_file

    format_of(target)
    graph = read_graph_file(source)
    chosen = write_graph_file(graph, target)
    notes = lost_in(graph, chosen)
    counts = f"{len(graph.nodes)} variables, {len(graph.edges)} edges"
    lines = [f"note: {note}" for note in notes]
    lines.append(f"wrote {target}: {chosen.name}, a {graph.kind} of {counts}")
    data = {
        "path": str(target),
        "format": chosen.name,
        "kind": graph.kind,
        "variables": len(graph.nodes),
        "edges": len(graph.edges),
        "notes": list(notes),
    }
    emit(data, [str(target)] if quiet else lines, output)
