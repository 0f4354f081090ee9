"""`fedcausal model card` and `export-onnx`: what a model is, and the model for other programs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from fedcausal.console import WIDTH, Format, FormatOption, emit
from fedcausal.errors import InputError

if TYPE_CHECKING:
    from fedcausal.graph import Graph

__all__ = ["card", "export_onnx", "model_folder"]


def card(
    run: Annotated[
        str, typer.Argument(help="A run folder, an id under runs/, or a model folder.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="A file to write: .md, or .json.")
    ] = None,
    output: FormatOption = Format.TEXT,
) -> None:
    """Say what a model is, what it rests on, what it may be used for, and what it cost.

    Everything is read from the model's own files, whose hashes are checked.
    """
    import json

    from fedcausal.model.card import card_markdown, model_card

    found = model_card(*_model_and_graph(run))
    if out is None:
        if output is Format.JSON:
            emit(found, [], output)
        else:
            typer.echo(card_markdown(found), nl=False)
        return
    if out.suffix not in (".md", ".json"):
        raise InputError(f"--out {out}: expected a file that ends in .md or .json")
    is_markdown = out.suffix == ".md"
    text = card_markdown(found) if is_markdown else json.dumps(found, indent=2, ensure_ascii=False)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text if is_markdown else text + "\n", encoding="utf-8")
    emit({"path": str(out)}, [f"wrote the model card to {out}"], output)


def export_onnx(
    run: Annotated[
        str, typer.Argument(help="A run folder, an id under runs/, or a model folder.")
    ],
    out: Annotated[Path, typer.Option("--out", help="The .onnx file to write.")],
    question: Annotated[
        str, typer.Option(help='"sample" (also under do()), or "counterfactual".')
    ] = "sample",
    family: Annotated[
        str | None, typer.Option(help='"gram" or "nodeflow"; the default is the run\'s own.')
    ] = None,
    output: FormatOption = Format.TEXT,
) -> None:
    """Write a closed-form model as an ONNX graph, with its inputs described in the file.

    Needs the extra onnx: pip install "fedcausal[onnx]".
    """
    from dataclasses import replace
    from textwrap import wrap

    from fedcausal.model.artifact import load
    from fedcausal.model.onnx_export import export_onnx as export
    from fedcausal.model.open_edges import open_at, open_sentence

    if question not in ("sample", "counterfactual"):
        raise InputError(f"--question {question}: expected sample or counterfactual")
    if out.suffix != ".onnx":
        raise InputError(f"--out {out}: expected a file that ends in .onnx")
    folder, learnt = _model_and_graph(run)
    model = load(folder, family)
    model = model if model.learnt is not None else replace(model, learnt=learnt)
    inputs = export(model, out, cast(Any, question))
    warnings = open_sentence(open_at(model.graph, model.learnt, model.graph.nodes))
    lines = [f"wrote {out}", *(f"  {name}: {words}" for name, words in inputs.items())]
    for text in warnings:
        lines += wrap(f"warning: {text}", WIDTH, initial_indent="  ", subsequent_indent="    ")
    data = {"path": str(out), "question": question, "inputs": inputs, "warnings": list(warnings)}
    emit(data, lines, output)


def _model_and_graph(reference: str) -> "tuple[Path, Graph | None]":
    """The model's folder, and what its run learnt where a run is named."""
    from fedcausal.results.run import load_run

    folder = model_folder(reference)
    return folder, None if folder == Path(reference) else load_run(reference).graph


def model_folder(reference: str) -> Path:
    """The folder of a model given by itself or by its run."""
    from fedcausal.model.artifact import MANIFEST
    from fedcausal.results.run import load_run

    folder = Path(reference)
    return folder if (folder / MANIFEST).is_file() else load_run(reference).model.folder
