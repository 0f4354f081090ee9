"""Write what a study found: result, graph, model and report, into one folder."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from fedcausal.discovery.heterogeneity import varying
from fedcausal.discovery.noisy_table_pc import NoisyTablePC
from fedcausal.errors import FedCausalError
from fedcausal.formats.dagitty import Dagitty, write_dagitty
from fedcausal.model.candidates import FLOW
from fedcausal.private.effects_budget import effects_are_private
from fedcausal.private.graph_budget import num_colluding
from fedcausal.private.noisy_totals import NoisyTotals, noisy_covariance
from fedcausal.report.drawing import draw_png, draw_svg
from fedcausal.report.run_card import run_card
from fedcausal.results.answers import Answers, answer
from fedcausal.results.privacy_statement import privacy_statements
from fedcausal.results.run import CARD_FILE, MODEL_FOLDER, RESULT_FILE, RESULT_VERSION
from fedcausal.schema import Schema
from fedcausal.statistics.implied import fits_privately
from fedcausal.statistics.records import left_out_note
from fedcausal.steps.graph import LearntGraph
from fedcausal.steps.state import StudyState
from fedcausal.study import Study
from fedcausal_privacy.canonical import JsonValue, sha256_hex

__all__ = ["result_of", "write_run_folder"]

DIGITS = 12
TRAINING = ("update", "validation", "flow_likelihoods")
NOISY_MODEL = (
    "model_scale",
    "noisy_families",
    "effect_scale",
    "effect_families",
    "noisy_residuals",
    "noisy_aipw",
)


def write_run_folder(state: StudyState, out: Path, *, card: Mapping[str, JsonValue]) -> None:
    """Write the result, the graph in four formats, the model, the study and the run card.

    The report is a view of these files; `fedcausal.report.story.write_report` makes it.

    Raises
    ------
    FedCausalError
        The study is not done.
    """
    if not state.done or state.discovery is None:
        raise FedCausalError("the study is not done; its run cannot be written")
    out.mkdir(parents=True, exist_ok=True)
    (out / "study.toml").write_text(state.study.to_toml(), encoding="utf-8")
    _write_graph(state.discovery, state, out)
    if state.model is not None:
        _write_model(state, out)
    _write_json(out / RESULT_FILE, result_of(state))
    _write_json(out / CARD_FILE, dict(card))


def result_of(state: StudyState) -> dict[str, JsonValue]:
    """The content of result.json.

    `exact` follows from the released exact totals and the seed alone: it is the same in every
    engine and for every order of arrival. `noised` holds what training produced, which draws
    privacy noise or depends on the machine's floating point. Under an epsilon for the graph, the
    graph and all that was asked along it are noised too (from tables, too); under one for a
    closed-form model or for the effects, the model and its answers.
    """
    answers = Answers()
    if state.model is not None and "effects" in state.steps:
        learnt = None if state.discovery is None else state.discovery.graph
        answers = answer(
            state.study,
            state.model,
            graph=learnt,
            seed=state.seed,
            second=state.second_estimates,
            varying=_varying(state),
        )
    totals = {name: d for name, d in state.digests.items() if not name.startswith(TRAINING)}
    agreed: dict[str, JsonValue] = {
        "study_hash": state.study.hash(),
        "seed": state.seed,
        "steps": list(state.steps),
        "num_sites": state.num_sites,
        "ranges": {name: list(pair) for name, pair in sorted(state.ranges.items())},
    }
    graph: dict[str, JsonValue] = {
        "num_records": _num_records(state),
        "totals": {name: d for name, d in totals.items() if not name.startswith(NOISY_MODEL)},
        **_graph_part(state.discovery, _left_out(state)),
        "varying": {name: list(what) for name, what in _varying(state).items()},
    }
    model: dict[str, JsonValue] = {
        "mechanisms": _mechanisms(state),
        "choices": [own.to_json() for _, own in sorted(state.choices.items())],
        "answers": answers.to_json(),
    }
    noised = _noised(state)
    has_budget = fits_privately(state.study) or effects_are_private(state.study)
    has_flow = any(FLOW in own.scores for own in state.choices.values())
    is_noisy = state.model is not None and (has_budget or has_flow)
    has_noisy_graph = isinstance(state.gram, NoisyTotals) or isinstance(state.tables, NoisyTablePC)
    if has_noisy_graph or is_noisy:
        noised = {**model, **noised}
    else:
        agreed.update(model)
    if is_noisy:
        found = {name: d for name, d in totals.items() if name.startswith(NOISY_MODEL)}
        noised["model_totals"] = dict(found)
    if isinstance(state.gram, NoisyTotals):
        noised = {**graph, "noise": _noise(state.study, state.gram), **noised}
    elif has_noisy_graph:
        noised = {**graph, **noised}
    else:
        agreed.update(graph)
    return {
        "schema_version": RESULT_VERSION,
        "exact": rounded(agreed),
        "noised": rounded(noised),
    }


def rounded(value: Any) -> Any:
    """The same JSON value with every float rounded to 12 significant digits.

    Sums of floats may differ in the last bits between builds of the linear algebra; nobody reads
    a thirteenth digit.

    >>> rounded({"x": [0.1 + 0.2]})
    {'x': [0.3]}
    """
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, Mapping):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    return value


def _left_out(state: StudyState) -> tuple[str, ...]:
    note = left_out_note(state.left_out, state.study.privacy.min_cell)
    return (note,) if note else ()


def _graph_part(found: LearntGraph | None, more: tuple[str, ...]) -> dict[str, JsonValue]:
    if found is None:
        return {}
    return {
        "graph": found.graph.to_json(),
        "dag": None if found.dag is None else found.dag.to_json(),
        "objective": found.objective,
        "score": found.score,
        "dropped": [list(pair) for pair in found.dropped],
        "by_nonlinearity": [list(pair) for pair in found.by_nonlinearity],
        "heterogeneity": [test.to_json() for test in found.heterogeneity],
        "notes": [*found.notes, *more],
        "votes": _votes(found),
        "disagreements": [
            {
                "pair": [d.first, d.second],
                "pooled": d.pooled,
                "merged": d.merged,
                "adjacent": d.adjacent,
                "forward": d.forward,
                "backward": d.backward,
            }
            for d in found.disagreements
        ],
    }


def _varying(state: StudyState) -> dict[str, tuple[str, ...]]:
    """Variables whose mechanism differs between the sites; empty where nobody compared."""
    compared = () if state.discovery is None else state.discovery.heterogeneity
    return varying(compared, alpha=state.study.discovery.alpha)


def _votes(found: LearntGraph) -> JsonValue:
    """Per edge of the graph, the shares of the sites' ballots, read from source to target."""
    if found.votes is None:
        return None
    known = set(found.votes.names)
    return [
        {"pair": [e.source, e.target], **found.votes.shares(e.source, e.target)}
        for e in found.graph.edges
        if {e.source, e.target} <= known
    ]


def _mechanisms(state: StudyState) -> list[JsonValue]:
    return [
        {
            "node": node,
            "kind": type(mechanism).__name__,
            "parents": list(mechanism.family.basis.parents),
            "degree": mechanism.family.basis.degree,
            "features": mechanism.family.basis.num_features,
            "records": state.families[node].num_records,
            "left_out": [_named(label, state.study.schema()) for label in mechanism.dropped],
        }
        for node, mechanism in sorted(state.mechanisms.items())
    ]


def _named(label: str, schema: Schema) -> str:
    """A feature's label with the names of levels instead of their codes."""
    factors = []
    for factor in label.split(" * "):
        name, _, code = factor.rpartition("=")
        is_level = name in schema and code.isdigit() and not schema[name].is_numeric
        factors.append(f"{name} = {schema[name].categories[int(code)]}" if is_level else factor)
    return " x ".join(factors)


def _num_records(state: StudyState) -> int | None:
    if isinstance(state.gram, NoisyTotals):
        return round(state.gram.num_records)
    return None if state.gram is None else state.gram.num_rows


def _noise(study: Study, totals: NoisyTotals) -> dict[str, JsonValue]:
    """What was drawn for the graph: budget, ball, and the noise that a correlation has."""
    noise, part = noisy_covariance(totals).noise, study.privacy.graph
    return {
        "epsilon": None if part is None else part.epsilon,
        "delta": study.privacy.delta,
        "colluding_sites": num_colluding(study, totals.num_sites),
        "radius": totals.features.radius,
        "scales": {name: list(scale) for name, scale in totals.features.scales.items()},
        "noise_of_a_correlation": None if noise is None else noise.typical,
        "records_worth": None
        if noise is None
        else 1.0 / (1.0 / totals.num_records + noise.typical**2),
    }


def _noised(state: StudyState) -> dict[str, JsonValue]:
    if state.flow is None:
        return {}
    setting, flow = state.study.privacy.model, state.flow
    return {
        "nodeflow": {
            "rounds": flow.round_index,
            "parameters": int(flow.weights.size),
            "members": state.study.model.members,
            "strategy": state.study.model.strategy,
            "losses": list(flow.losses),
            "stopped_early": flow.stopped_early,
            "weights_sha256": sha256_hex(flow.chosen.astype("<f4").tobytes()),
            "epsilon": None if setting is None else setting.epsilon,
            "delta": state.study.privacy.delta,
        }
    }


def _write_graph(found: LearntGraph, state: StudyState, out: Path) -> None:
    tiers = state.study.knowledge.tiers
    queries = state.study.effects.queries
    _write_json(out / "graph.json", rounded(found.graph.to_json()))
    (out / "graph.svg").write_text(draw_svg(found.graph, tiers), encoding="utf-8")
    (out / "graph.png").write_bytes(draw_png(found.graph, tiers))
    nodes = set(found.graph.nodes)
    document = Dagitty(
        graph=found.graph,
        exposures=tuple(sorted({q.treatment for q in queries} & nodes)),
        outcomes=tuple(sorted({q.outcome for q in queries} & nodes)),
    )
    (out / "graph.dagitty.txt").write_text(write_dagitty(document), encoding="utf-8")


def _write_model(state: StudyState, out: Path) -> None:
    from fedcausal.model.artifact import save

    if state.model is None:
        return
    models = [state.model]
    if state.flow is not None:
        flow = state.flow.model(state.model.graph, state.study.schema())
        trained = replace(flow, learnt=state.model.learnt)
        models = [trained, *models] if _answers_by_flow(state.study) else [*models, trained]
    save(models, out / MODEL_FOLDER, _provenance(state))


def _answers_by_flow(study: Study) -> bool:
    """Whether the flow alone is the model, and not one candidate of each mechanism."""
    return study.model.family == "nodeflow" and study.model.mechanism != "auto"


def _provenance(state: StudyState) -> dict[str, JsonValue]:
    """What a model's card says of where it comes from."""
    section = state.study.study
    found = state.discovery
    return {
        "study_hash": state.study.hash(),
        "study": {"name": section.name, "title": section.title, "question": section.question},
        "seed": state.seed,
        "num_sites": state.num_sites,
        "privacy": [s.to_json() for s in privacy_statements(state.study, steps=state.steps)],
        "notes": [] if found is None else list(found.notes),
        "versions": dict(run_card()),
    }


def _write_json(path: Path, content: Any) -> None:
    text = json.dumps(content, indent=2, ensure_ascii=False, sort_keys=True, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")
