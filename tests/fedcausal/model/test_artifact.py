import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from fedcausal.errors import FedCausalError, InputError
from fedcausal.graph import Graph
from fedcausal.model.artifact import MANIFEST, load, manifest, save
from fedcausal.model.nodeflow_model import from_nodeflow, nodeflow_starts
from fedcausal.model.nodeflow_spec import NodeFlowSpec


@pytest.fixture(scope="module")
def neural(mixed_fit, mixed_edges):
    from fedcausal.model.nodeflow import build

    schema = mixed_fit.model.schema
    spec = NodeFlowSpec.from_schema(schema, mixed_edges, hidden=4, bins=3)
    flow = build(spec, 0, start=nodeflow_starts(mixed_fit.grams))
    return from_nodeflow(flow, mixed_fit.model.graph, schema)


@pytest.fixture
def folder(mixed_fit, neural, tmp_path):
    save([mixed_fit.model, neural], tmp_path / "model", {"study_hash": "ab" * 32})
    return tmp_path / "model"


@pytest.mark.parametrize("family", ["gram", "nodeflow", None])
def test_a_loaded_model_gives_the_same_samples(mixed_fit, neural, folder, family):
    expected = neural if family == "nodeflow" else mixed_fit.model
    found = load(folder, family)
    assert found.graph == expected.graph
    assert found.schema == expected.schema
    assert found.ranges == expected.ranges
    pd.testing.assert_frame_equal(found.sample(50, seed=3), expected.sample(50, seed=3))
    frame = expected.sample(20, seed=4)
    pd.testing.assert_frame_equal(
        found.counterfactual(frame, do={"drug": "1"}, draws=4),
        expected.counterfactual(frame, do={"drug": "1"}, draws=4),
    )


def test_a_loaded_model_gives_the_same_effect(mixed_fit, folder):
    asked = ("drug", "pressure", ("0", "1"))
    assert load(folder).effect(*asked, draws=20) == mixed_fit.model.effect(*asked, draws=20)


def test_the_manifest_names_what_it_holds(folder):
    content = manifest(folder)
    assert content["extra"] == {"study_hash": "ab" * 32}
    assert set(content["families"]) == {"gram", "nodeflow"}
    assert sorted(p.name for p in folder.iterdir()) == [
        "gram.safetensors",
        MANIFEST,
        "nodeflow.safetensors",
    ]


@pytest.mark.parametrize("name", ["gram.safetensors", MANIFEST])
def test_one_changed_byte_is_refused(folder, name):
    path = folder / name
    content = bytearray(path.read_bytes())
    place = content.index(b"0.") if name == MANIFEST else len(content) - 3
    content[place] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(FedCausalError):
        load(folder)


def test_an_edited_graph_is_refused(folder):
    content = json.loads((folder / MANIFEST).read_text())
    content["graph"]["edges"].pop()
    (folder / MANIFEST).write_text(json.dumps(content))
    with pytest.raises(FedCausalError, match="hash does not match"):
        load(folder)


def test_absent_files_are_named(folder, tmp_path):
    with pytest.raises(InputError, match=r"no manifest\.json"):
        load(tmp_path)
    with pytest.raises(InputError, match="no 'other' model; it has gram, nodeflow"):
        load(folder, "other")
    (folder / "gram.safetensors").unlink()
    with pytest.raises(FedCausalError, match="it is absent"):
        load(folder)


@pytest.mark.parametrize("text", ["", "[]", "{}", "not json", '{"sha256": 1}'])
def test_garbage_is_not_a_manifest(tmp_path, text):
    (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(FedCausalError):
        manifest(tmp_path)


def test_two_models_of_one_family_are_refused(mixed_fit, tmp_path):
    with pytest.raises(InputError, match="at most one model of each family"):
        save([mixed_fit.model, mixed_fit.model], tmp_path)


def test_arrays_are_stored_not_pickled(folder):
    from safetensors.numpy import load as read

    tensors = read((folder / "gram.safetensors").read_bytes())
    assert all(isinstance(value, np.ndarray) for value in tensors.values())


def test_splines_are_kept(tmp_path, mixed_study, mixed_sites, federated_fit):
    knots = {"age": (-0.5, 0.0, 0.4), "pressure": (-0.2, 0.1)}
    edges = [("age", "pressure"), ("drug", "pressure"), ("pressure", "status")]
    model = federated_fit(mixed_study, edges, mixed_sites, knots=knots).model
    save([model], tmp_path)
    again = load(tmp_path)
    assert again.engine.mechanisms["pressure"].family.basis.knots == {"age": knots["age"]}
    assert again.sample(50, seed=1).equals(model.sample(50, seed=1))


def test_the_class_that_the_graph_was_chosen_from_is_kept(mixed_fit, tmp_path):
    model, edge = mixed_fit.model, mixed_fit.model.graph.directed_edges[0]
    others = model.graph.directed_edges[1:]
    learnt = Graph.cpdag(model.graph.nodes, directed=others, undirected=[edge])
    save([replace(model, learnt=learnt.with_probabilities(lambda e: 0.5))], tmp_path / "open")
    assert load(tmp_path / "open").learnt == learnt
    settled = Graph.cpdag(model.graph.nodes, directed=model.graph.directed_edges)
    save([replace(model, learnt=settled)], tmp_path / "settled")
    assert load(tmp_path / "settled").learnt is None
