"""`fedcausal evaluate`."""

import json

import pytest


@pytest.fixture
def held_out(tmp_path, rows):
    path = tmp_path / "held-out.csv"
    rows.to_csv(path, index=False)
    return path


def test_held_out_records_and_truth(run, ask, held_out, tmp_path):
    truth = tmp_path / "truth.json"
    truth.write_text(json.dumps(run.graph.to_json()))
    said = ask("evaluate", run.path, "--data", held_out, "--truth", truth)
    assert said.code == 0
    assert said.lines[0].startswith("graph: skeleton F1 1.000, arrowhead F1 1.000, SHD 0")
    assert any("drawn by the model" in line for line in said.lines)
    assert any(line.split()[:1] == ["dose"] for line in said.lines)
    assert max(map(len, said.lines)) <= 80
    quiet = ask("evaluate", run.path, "--data", held_out, "--site-column", "site", "-q")
    assert not any(line.split()[:1] == ["dose"] for line in quiet.lines)


def test_in_json(run, ask, held_out):
    data = ask("evaluate", run.path, "--data", held_out, "--format", "json").answer["data"]
    assert data["graph"] is None
    assert 0 <= data["data"]["generation"]["score"] <= 1
    assert set(data["data"]["likelihood"]) == {"age", "dose", "sex", "sick"}


@pytest.mark.parametrize(
    ("arguments", "fragment"),
    [
        ([], "expected held-out records (--data), a known graph (--truth) or both"),
        (["--data", "absent.csv"], "absent.csv"),
        (["--truth", "absent.json"], "absent.json"),
        (["--family", "forest"], "no 'forest' model"),
    ],
)
def test_bad_input_is_told(run, ask, held_out, arguments, fragment):
    if "--family" in arguments:
        arguments = [*arguments, "--data", held_out]
    said = ask("evaluate", run.path, *arguments)
    assert said.code == 4
    assert fragment in said.err
