"""The model card: what the artifact holds, and nothing else."""

import json

import pytest

from fedcausal.errors import FedCausalError
from fedcausal.graph import Graph
from fedcausal.model.artifact import MANIFEST, save
from fedcausal.model.card import card_markdown, model_card
from fedcausal.model.nodeflow_model import from_nodeflow, nodeflow_starts
from fedcausal.model.nodeflow_spec import NodeFlowSpec

EXTRA = {
    "study_hash": "ab" * 32,
    "study": {"name": "mixed", "title": "Pressure | <drug>", "question": "Does it help?"},
    "seed": 7,
    "num_sites": 3,
    "privacy": [{"part": "model", "epsilon": 2.0, "sentence": "noisy family sums"}],
    "notes": ["Sites differ in age"],
    "versions": {"fedcausal": "0.1.0", "numpy": "2.4.6"},
}


@pytest.fixture
def folder(mixed_fit, mixed_edges, tmp_path):
    from fedcausal.model.nodeflow import build

    schema = mixed_fit.model.schema
    spec = NodeFlowSpec.from_schema(schema, mixed_edges, hidden=4, bins=3)
    flow = build(spec, 0, start=nodeflow_starts(mixed_fit.grams))
    neural = from_nodeflow(flow, mixed_fit.model.graph, schema)
    save([mixed_fit.model, neural], tmp_path / "model", EXTRA)
    return tmp_path / "model"


def test_the_card_says_what_the_artifact_holds(folder, mixed_fit, mixed_edges):
    card = model_card(folder)
    content = json.loads((folder / MANIFEST).read_text())
    assert card["study"] == {**EXTRA["study"], "hash": EXTRA["study_hash"]}
    assert card["privacy"] == EXTRA["privacy"]
    assert sorted(map(tuple, card["graph"])) == sorted(mixed_edges)
    assert card["hashes"]["manifest"] == content["sha256"]
    assert card["hashes"]["gram.safetensors"] == content["families"]["gram"]["sha256"]
    ages = [v for v in card["variables"] if v["name"] == "age"]
    assert ages == [
        {
            "name": "age",
            "kind": "continuous",
            "unit": "years",
            "label": "",
            "levels": [],
            "bounds": [-6.0, 6.0],
        }
    ]
    pressure = next(m for m in card["families"]["gram"] if m["node"] == "pressure")
    assert pressure["records"] == sum(site.num_rows for site in mixed_fit.sites)
    # the noise of pressure is standard normal, its own spread about 2.6
    assert pressure["residual_sd"] == pytest.approx(1.0, abs=0.1)
    assert 0.7 < pressure["share_explained"] < 0.95
    assert {m["form"] for m in card["families"]["nodeflow"]} == {"neural spline flow"}
    assert json.loads(json.dumps(card)) == card


def test_the_card_in_markdown(folder):
    text = card_markdown(model_card(folder))
    assert text.startswith("# Model card: Pressure \\| &lt;drug>\n")
    for part in ("Intended use", "Limits", "Graph", "Privacy spent", "Versions", "Hashes"):
        assert f"\n## {part}" in text
    assert "- model: epsilon 2: noisy family sums" in text
    assert "| age | continuous | years | -6 to 6 |" in text
    assert "- age -> drug" in text


def test_what_the_artifact_does_not_hold_is_not_said(mixed_fit, tmp_path):
    save([mixed_fit.model], tmp_path, {})
    card = model_card(tmp_path)
    assert card["privacy"] is None
    assert card["num_sites"] is None
    assert card["study"] == {"hash": None}
    text = card_markdown(card)
    assert "- Study: not recorded in the artifact" in text
    assert "## Privacy spent\n\n- not recorded in the artifact" in text


def test_a_changed_artifact_has_no_card(folder):
    path = folder / MANIFEST
    path.write_text(path.read_text().replace('"seed": 7', '"seed": 8'))
    with pytest.raises(FedCausalError, match="its hash does not match"):
        model_card(folder)


def test_a_direction_that_the_data_leave_open_is_no_fact(folder, mixed_fit):
    graph = mixed_fit.model.graph
    others = [e for e in graph.directed_edges if e != ("drug", "pressure")]
    learnt = Graph.cpdag(graph.nodes, directed=others, undirected=[("drug", "pressure")])
    assert model_card(folder)["open_directions"] == []
    card = model_card(folder, learnt)
    assert card["open_directions"] == [["drug", "pressure"]]
    text = card_markdown(card)
    assert "- drug -&gt; pressure" not in text
    assert "- drug -> pressure (linked; this direction is a choice within the class" in text
    assert "- age -> pressure\n" in text
    assert "drug -> pressure: the data leave this direction open" in text
