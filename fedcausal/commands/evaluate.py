"""`fedcausal evaluate`: a run against held-out records and a known graph."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedcausal.console import Format, FormatOption, QuietOption, emit, table

if TYPE_CHECKING:
    from fedcausal.evaluation.evaluate import DataEvaluation, Evaluation, GraphEvaluation

__all__ = ["app"]

app = typer.Typer(add_completion=False)


@app.command()
def evaluate(
    run: Annotated[str, typer.Argument(help="A run folder, or an id under runs/.")],
    data: Annotated[
        Path | None, typer.Option(help="Records that no site used, CSV or Parquet.")
    ] = None,
    truth: Annotated[Path | None, typer.Option(help="The true graph, in any format.")] = None,
    site_column: Annotated[
        str | None, typer.Option(help="Test independences within the sites of this column.")
    ] = None,
    family: Annotated[
        str | None, typer.Option(help='"gram" or "nodeflow"; the default is the run\'s own.')
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draws.")] = 0,
    output: FormatOption = Format.TEXT,
    quiet: QuietOption = False,
) -> None:
    """Compare a run with held-out records, with a known graph, or with both."""
    from fedcausal.data.sources import to_arrow
    from fedcausal.evaluation.evaluate import evaluate as compare
    from fedcausal.formats.files import read_graph_file
    from fedcausal.results.run import load_run

    found_run = load_run(run)
    graph = None if truth is None else read_graph_file(truth)
    frame = None
    if data is not None:
        frame = to_arrow(data).to_pandas()
        frame.attrs["source"] = str(data)
    found = compare(
        found_run, frame, truth=graph, site_column=site_column, family=family, seed=seed
    )
    emit(found.to_json(), list(_lines(found, quiet)), output)


def _lines(found: "Evaluation", quiet: bool) -> Iterator[str]:
    if found.graph is not None:
        yield from _graph_lines(found.graph)
    if found.data is not None:
        yield from _data_lines(found.data)
        if not quiet:
            yield from _variable_lines(found.data)


def _graph_lines(graph: "GraphEvaluation") -> Iterator[str]:
    yield (
        f"graph: skeleton F1 {graph.skeleton_f1:.3f}, arrowhead F1 {graph.arrowhead_f1:.3f}, "
        f"SHD {graph.structural_hamming_distance}"
    )
    if graph.adjustment_mistakes is not None:
        yield (
            f"  effects adjusted for wrongly: {graph.adjustment_mistakes} of {graph.num_pairs} "
            "ordered pairs"
        )


def _data_lines(data: "DataEvaluation") -> Iterator[str]:
    made, test = data.generation, data.falsification
    rows = [
        [name, f"{q.score:.3f}", f"{q.shape:.3f}", f"{q.trend:.3f}"]
        for name, q in (
            ("drawn by the model", made),
            ("one half beside the other", data.ceiling),
            ("columns shuffled", data.floor),
        )
    ]
    yield f"{data.num_records} held-out records beside records that are"
    yield from table(["", "quality", "shapes", "trends"], rows)
    yield f"  a classifier tells them apart with AUC {data.detection_auc:.3f} (0.5: not at all)"
    yield (
        f"independences: {test.num_rejected} of {test.num_tests} implied ones rejected at "
        f"{test.alpha:g}"
    )
    yield f"  {1 - test.p_value:.0%} of graphs with exchanged variables do worse"


def _variable_lines(data: "DataEvaluation") -> Iterator[str]:
    rows = []
    for name, shape in data.generation.shapes.items():
        found = data.likelihood.get(name)
        gain = "-" if found is None else f"{found.gain:+.3f}"
        rows.append([name, f"{shape:.3f}", gain])
    yield from table(["variable", "shape", "nats gained by its parents"], rows)
