"""A model card: what a saved model is, rests on and may be used for, from its artifact alone."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fedcausal.graph import Graph
from fedcausal.model.artifact import load, manifest
from fedcausal.model.count_mechanism import CountMechanism
from fedcausal.model.flow_mechanism import FlowMechanism
from fedcausal.model.gram_model import GramModel
from fedcausal.model.mechanism import LevelMechanism, Mechanism, NumericMechanism
from fedcausal.model.open_edges import open_at, open_sentence
from fedcausal.model.own_node import OwnNode
from fedcausal.model.scaled_noise import ScaledNoiseMechanism
from fedcausal.model.scm import ASSUMPTIONS, StructuralCausalModel
from fedcausal.schema import Variable
from fedcausal.transform import Warped
from fedcausal_privacy.canonical import JsonValue, json_hash

__all__ = ["CARD_FORMAT", "card_markdown", "model_card"]

CARD_FORMAT = "fedcausal-model-card-1"
FIT_ROWS, FIT_SEED = 4000, 0
CHOSEN = "linked; this direction is a choice within the class of graphs that the data admit"
NOT_RECORDED = "not recorded in the artifact"

USES = (
    "Questions about the population that the sites' records come from: what would happen on "
    "average under an intervention (sample, effect), and what a given record would have been "
    "(counterfactual).",
    "Records drawn from it stand for no person and may be used to plan or to rehearse a study.",
)
LIMITS = (
    "It is as right as its graph: a wrong or hidden cause makes its answers wrong, and no "
    "interval shows that.",
    "A counterfactual of a number assumes noise in which it is monotone, one of levels Gumbel-max "
    "noise; neither can be checked with data.",
    "Beyond the bounds below no site has data: a value there is refused, or answered along a "
    "straight line with a warning.",
    "It is no medical device: it was not validated for the care of single patients.",
)


def model_card(folder: Path, learnt: Graph | None = None) -> dict[str, JsonValue]:
    """What the artifact says about its models, as a JSON object.

    `learnt` is the run's graph, for an artifact that does not name the class its DAG is of.

    The manifest's and the tensors' hashes are checked. What the artifact does not hold is left
    out or null, never guessed; shares explained are computed from records that the model itself
    draws.

    Raises
    ------
    InputError, FedCausalError
        No model folder, or one that was changed after it was written.
    """
    content = manifest(folder)
    models = {family: load(folder, family) for family in content["families"]}
    first, extra = models[content["default"]], content["extra"]
    first = first if first.learnt is not None else replace(first, learnt=learnt)
    return {
        "format": CARD_FORMAT,
        "what": "A structural causal model over a directed acyclic graph, learnt from secure sums "
        "of several sites; it holds no record.",
        "study": {**extra.get("study", {}), "hash": extra.get("study_hash")},
        "num_sites": extra.get("num_sites"),
        "seed": extra.get("seed"),
        "default_family": content["default"],
        "variables": [_variable(v, first) for v in first.schema if v.name in first.graph.nodes],
        "graph": [list(edge) for edge in first.graph.directed_edges],
        "open_directions": [
            list(edge) for edge in open_at(first.graph, first.learnt, first.graph.nodes)
        ],
        "families": {name: _mechanisms(model) for name, model in models.items()},
        "privacy": extra.get("privacy"),
        "notes": extra.get("notes", []),
        "intended_use": list(USES),
        "limits": list(LIMITS),
        "assumptions": list(ASSUMPTIONS),
        "versions": extra.get("versions", {}),
        "hashes": {
            "manifest": json_hash(content),
            **{f"{name}.safetensors": about["sha256"] for name, about in _about(content)},
        },
    }


def card_markdown(card: Mapping[str, Any]) -> str:
    """The card as Markdown."""
    study, parts = card["study"], list[str]()
    title = study.get("title") or study.get("name") or "causal model"
    parts += [f"# Model card: {_text(title)}", card["what"]]
    parts.append(
        _list(
            [
                f"Study: {_text(study.get('name') or NOT_RECORDED)}",
                f"Question: {_text(study.get('question') or NOT_RECORDED)}",
                f"Study hash: `{study.get('hash') or NOT_RECORDED}`",
                f"Sites: {card['num_sites'] or NOT_RECORDED}",
                f"Default family: {card['default_family']}",
            ]
        )
    )
    parts += ["## Intended use", _list(card["intended_use"])]
    parts += ["## Limits", _list(card["limits"])]
    parts += ["## Assumptions", _list(card["assumptions"])]
    parts += ["## Variables and where they may be set", _variables(card["variables"])]
    parts += ["## Graph", _list(_edges(card) or ["no edge"])]
    parts += open_sentence([(_text(a), _text(b)) for a, b in card["open_directions"]])
    for family, nodes in card["families"].items():
        parts += [f"## Mechanisms: {family}", _nodes(nodes)]
    parts += ["## Privacy spent", _privacy(card["privacy"])]
    if card["notes"]:
        parts += ["## Notes of the run", _list([_text(note) for note in card["notes"]])]
    versions = [f"{name} {number}" for name, number in sorted(card["versions"].items())]
    parts += ["## Versions", _list(versions or [NOT_RECORDED])]
    parts += ["## Hashes (SHA-256)", _list([f"{n}: `{h}`" for n, h in card["hashes"].items()])]
    return "\n\n".join(parts) + "\n"


def _edges(card: Mapping[str, Any]) -> list[str]:
    """The model's edges; one whose direction the data leave open is no finding and says so."""
    chosen = {tuple(edge) for edge in card["open_directions"]}
    return [
        f"{_text(a)} -> {_text(b)}" + (f" ({CHOSEN})" if (a, b) in chosen else "")
        for a, b in card["graph"]
    ]


def _about(content: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    families: Mapping[str, Any] = content["families"]
    return sorted(families.items())


def _variable(variable: Variable, model: StructuralCausalModel) -> JsonValue:
    bounds = model.ranges.get(variable.name)
    return {
        "name": variable.name,
        "kind": variable.kind.value,
        "unit": variable.unit,
        "label": variable.label,
        "levels": list(variable.categories),
        "bounds": None if bounds is None or variable.categories else list(bounds),
    }


def _mechanisms(model: StructuralCausalModel) -> JsonValue:
    if not isinstance(model.engine, GramModel):
        return [
            {
                "node": name,
                "parents": list(model.graph.parents(name)),
                "form": "neural spline flow",
            }
            for name in model.graph.nodes
        ]
    held = {name: own.num_records for name, own in model.calibrations.items()}
    drawn = model.engine.sample(FIT_ROWS, do={}, rng=np.random.default_rng(FIT_SEED))
    spread = {name: float(np.std(values)) for name, values in drawn.items()}
    return [
        _mechanism(m, spread[name], held.get(name)) for name, m in model.engine.mechanisms.items()
    ]


def _mechanism(mechanism: Mechanism, spread: float, held_out: int | None) -> JsonValue:
    family = mechanism.family
    about: dict[str, JsonValue] = {
        "node": family.node,
        "parents": list(family.basis.parents),
        "form": _form(mechanism),
        "features": family.basis.num_features,
        "left_out": list(mechanism.dropped),
    }
    if isinstance(mechanism, NumericMechanism):
        about["records"] = mechanism.residual.num_records
    if isinstance(mechanism, NumericMechanism) and isinstance(family.range, Warped):
        about["transform"] = family.range.transform.value
    elif isinstance(mechanism, NumericMechanism):
        low, high = family.known_range
        noise = mechanism.residual.sd * 0.5 * (high - low)
        share = 1.0 - (noise / spread) ** 2 if spread > 0 else 0.0
        about["residual_sd"] = float(f"{noise:.6g}")
        about["share_explained"] = round(min(max(share, 0.0), 1.0), 3)
    if held_out is not None:
        about["held_out_records"] = held_out
    return about


def _form(mechanism: Mechanism) -> str:
    basis = mechanism.family.basis
    if isinstance(mechanism, FlowMechanism):
        return "neural spline flow"
    if isinstance(mechanism, OwnNode):
        return f"{mechanism.name} {mechanism.version} (a user's own)"
    if not basis.parents:
        shape = "a law of its own"
    elif basis.knots:
        shape = "penalised splines"
    else:
        shape = f"polynomials of degree {basis.degree}"
    number = f"mean of its {_transform(mechanism)}" if _transform(mechanism) else "mean"
    if isinstance(mechanism, CountMechanism):
        return f"mean of a count: {shape}; dispersion {mechanism.dispersion:.3g}"
    kind = "probabilities" if isinstance(mechanism, LevelMechanism) else number
    scaled = "; spread: of the parents" if isinstance(mechanism, ScaledNoiseMechanism) else ""
    return f"{kind}: {shape}{scaled}"


def _transform(mechanism: Mechanism) -> str:
    interval = mechanism.family.range
    return interval.transform.value if isinstance(interval, Warped) else ""


def _variables(variables: Sequence[Mapping[str, Any]]) -> str:
    rows = [["variable", "kind", "unit", "levels or bounds"]]
    for v in variables:
        bounds = "" if v["bounds"] is None else "{:g} to {:g}".format(*v["bounds"])
        name = f"{v['name']} ({v['label']})" if v["label"] else v["name"]
        rows.append([name, v["kind"], v["unit"], ", ".join(v["levels"]) or bounds])
    return _table(rows)


def _nodes(nodes: Sequence[Mapping[str, Any]]) -> str:
    rows = [["variable", "parents", "form", "records", "residual sd", "share explained"]]
    for node in nodes:
        numbers = [node.get(key) for key in ("records", "residual_sd", "share_explained")]
        told = ["" if number is None else f"{number:.6g}" for number in numbers]
        rows.append([node["node"], ", ".join(node["parents"]), node["form"], *told])
    left = [
        f"{n['node']}: left out {', '.join(n['left_out'])}" for n in nodes if n.get("left_out")
    ]
    return _table(rows) + ("\n\n" + _list([_text(text) for text in left]) if left else "")


def _privacy(statements: Sequence[Mapping[str, Any]] | None) -> str:
    if statements is None:
        return _list([NOT_RECORDED])
    return _list(
        [
            f"{s['part']}: "
            + ("" if s["epsilon"] is None else f"epsilon {s['epsilon']:g}: ")
            + s["sentence"]
            for s in statements
        ]
    )


def _table(rows: Sequence[Sequence[str]]) -> str:
    head, *body = [f"| {' | '.join(_text(cell) for cell in row)} |" for row in rows]
    return "\n".join([head, "|" + " --- |" * len(rows[0]), *body])


def _list(items: Iterable[str]) -> str:
    return "\n".join(f"- {item}" for item in items)


def _text(value: object) -> str:
    """A name as it is, with what Markdown or HTML would read as its own escaped."""
    text = " ".join(str(value).split()).replace("&", "&amp;").replace("<", "&lt;")
    for sign in "\\`*_[]|":
        text = text.replace(sign, "\\" + sign)
    return text
