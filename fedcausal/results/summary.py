"""A run in a few lines for a terminal of 80 columns."""

import textwrap
from collections.abc import Iterable
from typing import Any

from fedcausal.console import table
from fedcausal.graph import Graph
from fedcausal.model.open_edges import open_below, open_sentence
from fedcausal.results.participation import hiding_sentence, site_sentences
from fedcausal.results.run import Run

__all__ = ["summary_lines", "told_at_site"]

WIDTH = 80
SHOWN_PROBABILITY = 0.01
SHOWN_NOTES = 8


def summary_lines(run: Run, *, brief: bool = False) -> list[str]:
    """What a run learnt: who took part, the graph, the answers, what was private, where it is."""
    exact, card = run.findings, run.card
    study = card["study"]
    lines = [
        f"study {study['name']}  {study['fingerprint']}",
        f"{len(card['sites'])} sites, {_records(exact)}{card['rounds']} rounds, "
        f"{_uploaded_bytes(card) / 1e6:.1f} MB of {_sent(card)} from all sites",
        *_wrapped(site_sentences(card)),
        "",
        *_edge_lines(exact),
        *_answer_lines(exact, brief=brief),
    ]
    if not brief:
        lines += [*_note_lines(exact), "", *_privacy_lines(card), "", *_path_lines(run)]
    return lines


def _wrapped(sentences: list[str]) -> list[str]:
    return [line for sentence in sentences for line in textwrap.wrap(sentence, WIDTH)]


def _records(exact: dict[str, Any]) -> str:
    """The number of records, where the study released one: a given graph needs no Gram."""
    return f"{exact['num_records']} records, " if exact["num_records"] else ""


def _sent(card: dict[str, Any]) -> str:
    return "open sums" if card.get("robust") else "ciphertexts"


def _uploaded_bytes(card: dict[str, Any]) -> int:
    return sum(sum(transfer["statistics"].values()) for transfer in card["transfers"])


def _edge_lines(exact: dict[str, Any]) -> list[str]:
    rows = []
    for edge in Graph.from_json(exact["graph"]).edges:
        shown = "" if edge.probability is None else f"{edge.probability:.2f}"
        rows.append((f"{edge.source} {edge.sign} {edge.target}", shown))
    return table(("edge", "probability"), rows)


def _note_lines(exact: dict[str, Any]) -> list[str]:
    """What a reader must know of the sums and the search; the report has all of it."""
    notes, lines = exact["notes"], list[str]()
    for note in notes[:SHOWN_NOTES]:
        lines += textwrap.wrap(note, WIDTH - 4, initial_indent="- ", subsequent_indent="  ")
    if len(notes) > SHOWN_NOTES:
        lines.append(f"- {len(notes) - SHOWN_NOTES} more: see report.html")
    return ["", "notes", *(f"  {line}" for line in lines)] if lines else []


def _answer_lines(exact: dict[str, Any], *, brief: bool) -> list[str]:
    answers = exact["answers"]
    lines: list[str] = []
    for effect in answers["effects"]:
        second = "" if effect.get("second") is None else effect["second"]["sentence"]
        lines += ["", *textwrap.wrap(f"{effect['sentence']} {second}".rstrip(), WIDTH)]
    for refused in answers.get("refused", []):
        text = f"No answer to {refused['key']}: {refused['reason']}."
        lines += ["", *textwrap.wrap(text, WIDTH)]
    for one in answers.get("at_sites", []):
        lines += ["", *textwrap.wrap(told_at_site(one), WIDTH)]
    imagined = answers["counterfactual"]
    if imagined and not brief:
        lines += ["", *_imagined_lines(imagined), *_open_lines(exact, imagined["do"])]
    return lines


def told_at_site(question: dict[str, Any]) -> str:
    """Where a query about one site's records is answered, and how."""
    return (
        f"{question['key']} is about {question['population']} alone and answered there: "
        f'fedcausal model effect RUN --population "{question["population"]}" --records OWN.csv'
    )


def _imagined_lines(imagined: dict[str, Any]) -> list[str]:
    do = ", ".join(f"{name} = {_shown(value)}" for name, value in imagined["do"].items())
    laws: dict[str, list[str]] = {}
    for label, probability in imagined["probabilities"].items():
        name, _, level = label.partition("=")
        if probability >= SHOWN_PROBABILITY:
            laws.setdefault(name, []).append(f"{level} ({probability:.0%})")
    rows = [
        (name, _shown(value), ", ".join(laws.get(name, [])) or _shown(would))
        for name, value in imagined["factual"].items()
        for would in [imagined["counterfactual"][name]]
        if name in laws or would != value
    ]
    return [f"{imagined['name']}, had {do}:", *table(("", "was", "would be"), rows)]


def _open_lines(exact: dict[str, Any], do: Iterable[str]) -> list[str]:
    """The directions that the imagined record rests on and the data leave open."""
    dag, graph = (Graph.from_json(exact[key]) for key in ("dag", "graph"))
    return [
        line
        for text in open_sentence(open_below(dag, graph, do))
        for line in textwrap.wrap(text, WIDTH - 2, initial_indent="  ", subsequent_indent="  ")
    ]


def _privacy_lines(card: dict[str, Any]) -> list[str]:
    hiding = textwrap.wrap(hiding_sentence(card), WIDTH - 4, subsequent_indent="  ")
    parts = [line for part in card["privacy"] for line in _part_lines(part)]
    return ["privacy", *(f"  {line}" for line in [*hiding, *parts])]


def _part_lines(part: dict[str, Any]) -> list[str]:
    return textwrap.wrap(f"{part['part']}: {part['sentence']}", WIDTH - 4, subsequent_indent="  ")


def _path_lines(run: Run) -> list[str]:
    files = ("report.html", "result.json", "graph.svg", "graph.dagitty.txt", "audit.jsonl")
    return [
        f"run {run.path}",
        *(f"  {run.path / name}" for name in files if (run.path / name).exists()),
    ]


def _shown(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.4g}"
