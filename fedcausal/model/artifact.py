"""A model on disk: safetensors and a manifest with hashes, checked before anything is used."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as read_tensors
from safetensors.numpy import save as write_tensors

from fedcausal.errors import InputError
from fedcausal.graph import Graph
from fedcausal.model.calibration import Calibration
from fedcausal.model.count_mechanism import CountMechanism
from fedcausal.model.ensemble import EnsembleModel
from fedcausal.model.family_basis import Family, Range, family_of_degree, family_of_knots
from fedcausal.model.fitting import assemble
from fedcausal.model.flow_mechanism import FlowMechanism
from fedcausal.model.formula import Formula
from fedcausal.model.formula_mechanism import FormulaMechanism
from fedcausal.model.gram_model import GramModel
from fedcausal.model.mechanism import LevelMechanism, Mechanism, NumericMechanism
from fedcausal.model.nodeflow_model import NodeFlowModel, from_members, from_nodeflow
from fedcausal.model.nodeflow_spec import NodeFlowSpec
from fedcausal.model.open_edges import class_of
from fedcausal.model.own_node import OwnNode, own_mechanism, own_variable
from fedcausal.model.residual_law import ResidualLaw
from fedcausal.model.scaled_noise import ScaledNoiseMechanism
from fedcausal.model.scm import StructuralCausalModel
from fedcausal.model.spread import Spread, spread_basis
from fedcausal.schema import Schema, Variable
from fedcausal_privacy.canonical import JsonValue, canonical_json, json_hash, sha256_hex

if TYPE_CHECKING:
    from fedcausal.model.nodeflow import NodeFlow

__all__ = ["MANIFEST", "load", "manifest", "save"]

MANIFEST = "manifest.json"
FORMAT = "fedcausal-model-1"

Tensors = dict[str, NDArray[Any]]
Json = dict[str, Any]


def save(
    models: Sequence[StructuralCausalModel],
    folder: Path,
    manifest_extra: Mapping[str, JsonValue] | None = None,
) -> Path:
    """Write models of one graph, one file per family, with a manifest; the first is the default.

    `manifest_extra` is stored under "extra" (study hash, ...). Returns the manifest's path; files
    appear whole or not at all, the manifest last.
    """
    first = models[0]
    if len({model.family for model in models}) < len(models):
        raise InputError("a model folder holds at most one model of each family")
    if any(m.graph != first.graph or m.schema != first.schema for m in models):
        raise InputError("the models of one folder share their graph and schema")
    folder.mkdir(parents=True, exist_ok=True)
    families = {model.family: _write_family(model, folder) for model in models}
    content: Json = {
        "format": FORMAT,
        "default": first.family,
        "graph": first.graph.to_json(),
        **_described_class(first),
        "schema": first.schema.to_json(),
        "families": families,
        "extra": dict(manifest_extra or {}),
    }
    content["sha256"] = json_hash(content)
    _replace(folder / MANIFEST, json.dumps(content, indent=2, ensure_ascii=False).encode())
    return folder / MANIFEST


def load(folder: Path, family: str | None = None) -> StructuralCausalModel:
    """Read a model back: the named family, or the folder's default.

    Raises
    ------
    InputError
        No manifest, no such family, or a hash that does not match: the folder was changed after
        it was written.
    """
    content = manifest(folder)
    families: Json = content["families"]
    chosen = family or content["default"]
    if chosen not in families:
        raise InputError(f"{folder}: no {chosen!r} model; it has {', '.join(families)}")
    about: Json = families[chosen]
    tensors = _read_family(folder / f"{chosen}.safetensors", about)
    graph = Graph.from_json(content["graph"])
    schema = _schema(content["schema"])
    builders: dict[str, Callable[[Json, Tensors, Graph, Schema], StructuralCausalModel]] = {
        "gram": _gram_model,
        "nodeflow": _nodeflow_model,
    }
    found = builders[chosen](about, tensors, graph, schema)
    learnt = content.get("learnt")
    return replace(found, learnt=None if learnt is None else Graph.from_json(learnt))


def manifest(folder: Path) -> Json:
    """The manifest of a model folder, its own hash checked."""
    path = folder / MANIFEST
    try:
        content: Json = json.loads(path.read_bytes())
        claimed = content.pop("sha256")
    except FileNotFoundError:
        raise InputError(f"{folder}: no {MANIFEST}; expected the model folder of a run") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InputError(f"{path}: cannot be read as a model manifest") from None
    if content.get("format") != FORMAT:
        raise InputError(f"{path}: expected format {FORMAT!r}, got {content.get('format')!r}")
    if json_hash(content) != claimed:
        raise InputError(f"{path}: its hash does not match; it was changed after the run")
    return content


def _described_class(model: StructuralCausalModel) -> Json:
    """The class that the graph was chosen from, where it is one: edges without probabilities."""
    learnt = class_of(model.graph, model.learnt)
    if not learnt.undirected_edges:
        return {}
    return {"learnt": learnt.with_probabilities(lambda edge: None).to_json()}


def _write_family(model: StructuralCausalModel, folder: Path) -> Json:
    if isinstance(model.engine, GramModel):
        about, tensors = _describe_gram(model.engine, model.calibrations)
    elif isinstance(model.engine, NodeFlowModel):
        about, tensors = _describe_nodeflow((model.engine,))
    elif isinstance(model.engine, EnsembleModel):
        about, tensors = _describe_nodeflow(model.engine.members)
    else:
        raise InputError(f"a model of family {model.family!r} cannot be saved")
    content = write_tensors(tensors)
    about["sha256"] = sha256_hex(content)
    about["tensors"] = {name: _tensor_hash(value) for name, value in tensors.items()}
    _replace(folder / f"{model.family}.safetensors", content)
    return about


def _read_family(path: Path, about: Json) -> Tensors:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: the manifest names this file and it is absent") from None
    if sha256_hex(content) != about["sha256"]:
        raise InputError(f"{path}: its hash does not match; it was changed after the run")
    try:
        tensors: Tensors = read_tensors(content)
    except SafetensorError:
        raise InputError(f"{path}: is not a safetensors file") from None
    if {name: _tensor_hash(value) for name, value in tensors.items()} != about["tensors"]:
        raise InputError(f"{path}: a tensor's hash does not match the manifest")
    return tensors


def _describe_gram(
    engine: GramModel, calibrations: Mapping[str, Calibration]
) -> tuple[Json, Tensors]:
    nodes: list[Json] = []
    about, tensors = _describe_flow(engine)
    for k, name in enumerate(engine.names):
        mechanism = engine.mechanisms[name]
        family = mechanism.family
        parts, extra = _mechanism_parts(mechanism)
        if name in calibrations:
            own = calibrations[name]
            parts |= {"radii": own.radii, "at_most": own.at_most}
            extra["held_out"] = own.num_records
        tensors |= {f"{k}.{part}": np.ascontiguousarray(v) for part, v in parts.items()}
        ranges = dict(family.basis.ranges)
        if family.range is not None:
            ranges[name] = family.range
        nodes.append(
            {
                "node": name,
                "parents": list(family.basis.parents),
                "degree": family.basis.degree,
                "knots": {n: list(own) for n, own in family.basis.knots.items()},
                "ranges": {n: list(pair) for n, pair in ranges.items()},
                **extra,
            }
        )
    return {"nodes": nodes, **about}, tensors


def _describe_flow(engine: GramModel) -> tuple[Json, Tensors]:
    """The flow that some nodes are taken from."""
    flows = [m.flow for m in engine.mechanisms.values() if isinstance(m, FlowMechanism)]
    if not flows:
        return {}, {}
    from fedcausal.model.nodeflow import to_vector

    return {"flow": flows[0].spec.to_json()}, {"flow.parameters": to_vector(flows[0])}


def _mechanism_parts(mechanism: Mechanism) -> tuple[Tensors, Json]:
    if isinstance(mechanism, NumericMechanism):
        parts = {
            "coefficients": mechanism.coefficients,
            "covariance": mechanism.covariance,
            "edges": mechanism.residual.edges,
            "masses": mechanism.residual.masses,
        }
        if isinstance(mechanism, ScaledNoiseMechanism):
            parts["spread"] = mechanism.spread.coefficients
        extra = {"num_records": mechanism.residual.num_records}
        return parts, {**extra, "dropped": list(mechanism.dropped)}
    if isinstance(mechanism, FormulaMechanism):
        return {}, {"formula": mechanism.formula.text, "dropped": []}
    if isinstance(mechanism, FlowMechanism):
        return {}, {"flow": True, "dropped": []}
    if isinstance(mechanism, CountMechanism):
        parts, extra = _mechanism_parts(mechanism.fitted)
        return parts, {**extra, "dispersion": mechanism.dispersion}
    if isinstance(mechanism, OwnNode):
        own: Json = {"name": mechanism.name, "version": mechanism.version}
        return dict(mechanism.arrays), {"own": own, "dropped": []}
    if not isinstance(mechanism, LevelMechanism):
        raise InputError(
            f"the mechanism of {mechanism.family.node!r} is no kind that can be saved; offer it "
            "as an installed one (fedcausal.model.own_mechanism)"
        )
    level = mechanism
    parts = {
        "coefficients": level.coefficients,
        "feature_covariance": level.feature_covariance,
        "level_covariance": level.level_covariance,
    }
    return parts, {"dropped": list(level.dropped)}


def _gram_model(
    about: Json, tensors: Tensors, graph: Graph, schema: Schema
) -> StructuralCausalModel:
    mechanisms: dict[str, Mechanism] = {}
    calibrations: dict[str, Calibration] = {}
    for k, node in enumerate(about["nodes"]):
        name, ranges = node["node"], {n: (lo, hi) for n, (lo, hi) in node["ranges"].items()}
        family = _family(schema, node, ranges)
        parts = {key.split(".", 1)[1]: v for key, v in tensors.items() if key.startswith(f"{k}.")}
        if "held_out" in node:
            calibrations[name] = Calibration(
                radii=parts.pop("radii"),
                at_most=parts.pop("at_most"),
                num_records=node["held_out"],
            )
        if "own" in node:
            mechanisms[name] = _own(schema, family, node["own"], parts)
        elif node.get("flow"):
            mechanisms[name] = FlowMechanism(family=family, flow=_flow(about, tensors))
        else:
            mechanisms[name] = _mechanism(family, parts, node)
    return assemble(graph, schema, mechanisms, calibrations)


def _own(schema: Schema, family: Family, about: Json, parts: Tensors) -> OwnNode:
    """A user's own mechanism, from what is installed here under its name."""
    levels = {name: schema[name].num_levels for name in family.basis.parents}
    own = own_mechanism(about["name"], about["version"], own_variable(family, levels))
    return OwnNode(
        family=family, name=about["name"], version=about["version"], own=own, arrays=parts
    )


def _flow(about: Json, tensors: Tensors) -> "NodeFlow":
    from fedcausal.model.nodeflow import from_vector
    from fedcausal.model.placing import in_double

    flow = from_vector(NodeFlowSpec.from_json(about["flow"]), tensors["flow.parameters"])
    return in_double(flow)


def _family(schema: Schema, node: Json, ranges: Mapping[str, Range]) -> Family:
    name, parents = node["node"], node["parents"]
    if node["knots"]:
        knots = {n: tuple(own) for n, own in node["knots"].items()}
        return family_of_knots(schema, name, parents, ranges=ranges, knots=knots)
    return family_of_degree(schema, name, parents, ranges=ranges, degree=node["degree"])


def _mechanism(family: Family, parts: Tensors, node: Json) -> Mechanism:
    dropped = tuple(node["dropped"])
    if "formula" in node:
        return FormulaMechanism(family=family, formula=Formula.parse(node["formula"]))
    if family.num_levels:
        return LevelMechanism(family=family, dropped=dropped, **parts)
    law = ResidualLaw(
        edges=parts.pop("edges"), masses=parts.pop("masses"), num_records=node["num_records"]
    )
    if "spread" not in parts:
        plain = NumericMechanism(family=family, residual=law, dropped=dropped, **parts)
        if "dispersion" in node:
            return CountMechanism(fitted=plain, dispersion=node["dispersion"])
        return plain
    spread = Spread(basis=spread_basis(family.basis), coefficients=parts.pop("spread"))
    return ScaledNoiseMechanism(
        family=family, residual=law, dropped=dropped, spread=spread, **parts
    )


def _describe_nodeflow(members: Sequence[NodeFlowModel]) -> tuple[Json, Tensors]:
    from fedcausal.model.nodeflow import to_vector

    vectors = np.stack([to_vector(member.flow) for member in members])
    return {"spec": members[0].spec.to_json()}, {"parameters": vectors}


def _nodeflow_model(
    about: Json, tensors: Tensors, graph: Graph, schema: Schema
) -> StructuralCausalModel:
    from fedcausal.model.nodeflow import from_vector

    spec = NodeFlowSpec.from_json(about["spec"])
    flows = [from_vector(spec, vector) for vector in np.atleast_2d(tensors["parameters"])]
    if len(flows) == 1:
        return from_nodeflow(flows[0], graph, schema)
    return from_members(flows, graph, schema)


def _schema(content: list[Json]) -> Schema:
    return Schema(tuple(_variable(value) for value in content))


def _variable(value: Json) -> Variable:
    bounds = value["bounds"]
    return Variable(
        **{
            **value,
            "bounds": None if bounds is None else (bounds[0], bounds[1]),
            "categories": tuple(value["categories"]),
            "missing": tuple(value["missing"]),
        }
    )


def _tensor_hash(value: NDArray[Any]) -> str:
    about: JsonValue = [str(value.dtype), list(value.shape)]
    return sha256_hex(canonical_json(about) + np.ascontiguousarray(value).tobytes())


def _replace(path: Path, content: bytes) -> None:
    """Write a file whole: beside it first, synced, then renamed."""
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
