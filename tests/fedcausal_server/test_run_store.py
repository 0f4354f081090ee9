import json
from datetime import UTC, datetime

import pytest

from fedcausal.errors import InputError
from fedcausal_server.run_store import list_runs, new_run_folder, resolve_run, show_run


def finished(root, name):
    (root / name).mkdir(parents=True)
    card = {"study": {"name": "heart"}, "sites": ["a", "b", "c"], "rounds": 4}
    (root / name / "run.json").write_text(json.dumps(card))


def test_runs_are_listed_and_found(tmp_path):
    assert list_runs(tmp_path / "none") == ()
    finished(tmp_path, "20260101-000000")
    finished(tmp_path, "20260102-000000")
    (tmp_path / "unfinished").mkdir()
    runs = list_runs(tmp_path)
    assert [(r.name, r.study, r.num_sites, r.num_rounds) for r in runs] == [
        ("20260101-000000", "heart", 3, 4),
        ("20260102-000000", "heart", 3, 4),
    ]
    assert resolve_run("20260102", tmp_path) == tmp_path / "20260102-000000"
    assert resolve_run(str(tmp_path / "20260101-000000"), tmp_path) == runs[0].folder
    assert show_run(runs[0].folder)["rounds"] == 4


@pytest.mark.parametrize("reference", ["2026", "2027", ""])
def test_an_ambiguous_or_unknown_run(tmp_path, reference):
    finished(tmp_path, "20260101-000000")
    finished(tmp_path, "20260102-000000")
    with pytest.raises(InputError, match="expected one run called"):
        resolve_run(reference, tmp_path)


def test_a_run_folder_is_never_taken_twice(tmp_path):
    now = datetime(2026, 1, 1, tzinfo=UTC)
    first = new_run_folder(tmp_path, now=now)
    first.mkdir()
    assert first.name == "20260101-000000"
    assert new_run_folder(tmp_path, now=now).name == "20260101-000000-2"


def test_a_broken_card(tmp_path):
    (tmp_path / "run.json").write_text("[]")
    with pytest.raises(InputError, match="expected a run card"):
        show_run(tmp_path)
