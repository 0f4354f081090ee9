"""What a run writes: the same bytes for the same state, and an exact part without noise."""

import json
import re
from dataclasses import replace

import pytest

from fedcausal.errors import FedCausalError
from fedcausal.formats.reading import read_graph
from fedcausal.results.run_folder import result_of, rounded, write_run_folder
from fedcausal.study import Study

FILES = {
    "graph.dagitty.txt",
    "graph.json",
    "graph.png",
    "graph.svg",
    "model",
    "result.json",
    "run.json",
    "study.toml",
}


def test_the_folder_holds_the_whole_run(asked_run, asked_study):
    assert {path.name for path in asked_run.path.iterdir()} == FILES
    assert Study.load(asked_run.path / "study.toml").hash() == asked_study.hash()
    for name in ("graph.json", "graph.dagitty.txt"):
        graph = read_graph((asked_run.path / name).read_text())
        plain = [g.with_probabilities(lambda _: None) for g in (graph, asked_run.graph)]
        assert set(plain[0].edges) == set(plain[1].edges)
    assert (asked_run.path / "graph.png").read_bytes().startswith(b"\x89PNG")


def test_the_same_state_writes_the_same_bytes(tmp_path, asked_run, asked_states, make_card):
    write_run_folder(asked_states[-1], tmp_path, card=make_card(asked_states[-1].study))
    for path in asked_run.path.rglob("*"):
        if path.is_file():
            twin = tmp_path / path.relative_to(asked_run.path)
            assert twin.read_bytes() == path.read_bytes(), path.name


def test_floats_survive_json_bit_for_bit(asked_run, asked_states):
    expected = json.loads(json.dumps(result_of(asked_states[-1])))
    assert asked_run.result == expected
    assert rounded(asked_run.result["exact"]) == asked_run.result["exact"]


def test_the_exact_part_names_no_time_and_no_run(asked_run):
    text = json.dumps(asked_run.result["exact"])
    assert not re.search(r"20\d\d-\d\d-\d\d", text)
    assert asked_run.card["run_id"] not in text
    assert set(asked_run.result) == {"schema_version", "exact", "noised"}


def test_training_is_kept_out_of_the_exact_part(asked_study, mixed_sites, walk):
    content = asked_study.to_json()
    content["model"] |= {"family": "nodeflow", "rounds": 1, "local_epochs": 1, "hidden": 4}
    study = Study.model_validate(content)
    state = walk(study, mixed_sites, steps=("model",))[-1]
    result = result_of(state)
    assert set(result["noised"]) == {"nodeflow"}
    assert not any(name.startswith("update") for name in result["exact"]["totals"])
    other = replace(state, flow=replace(state.flow, weights=state.flow.weights + 1))
    assert result_of(other)["exact"] == result["exact"]
    assert result_of(other)["noised"] != result["noised"]


def test_mechanisms_name_levels_and_not_codes(asked_run):
    rows = {m["node"]: m for m in asked_run.result["exact"]["mechanisms"]}
    assert set(rows) == set(asked_run.graph.nodes)
    assert rows["drug"]["kind"] == "LevelMechanism"
    assert rows["pressure"]["records"] == 4500
    labels = " ".join(label for m in rows.values() for label in m["left_out"])
    assert not re.search(r"\w=\d", labels)


def test_discovery_alone_writes_no_model(tmp_path, asked_study, mixed_sites, walk, make_card):
    state = walk(asked_study, mixed_sites, steps=("discovery",))[-1]
    write_run_folder(state, tmp_path, card=make_card(asked_study))
    assert {path.name for path in tmp_path.iterdir()} == FILES - {"model"}
    exact = json.loads((tmp_path / "result.json").read_text())["exact"]
    assert exact["mechanisms"] == []
    assert exact["answers"]["effects"] == []


def test_an_unfinished_study_is_not_written(tmp_path, asked_states, make_card):
    with pytest.raises(FedCausalError, match="not done"):
        write_run_folder(asked_states[0], tmp_path, card=make_card(asked_states[0].study))
    assert list(tmp_path.iterdir()) == []


def test_numbers_that_are_no_floats_stay():
    assert rounded({"a": (1, True, None, "x", 10**15)}) == {"a": [1, True, None, "x", 10**15]}
    assert rounded(0.1 + 0.2) == 0.3
