import json
from contextlib import closing

import pytest

from fedcausal.errors import DeadlineError, InputError
from fedcausal_server import app as app_module
from fedcausal_server.app import alone_on, parties, registered_nodes


def write(folder, nodes):
    (folder / "nodes.json").write_text(json.dumps(nodes))
    return folder


def test_the_parties_of_a_workspace(tmp_path):
    nodes = [{"name": n, "role": "site"} for n in "cab"] + [{"name": "k", "role": "steward"}]
    assert parties(write(tmp_path, nodes)) == (("a", "b", "c"), "k", "")


def test_a_second_steward(tmp_path):
    nodes = [{"name": n, "role": "site"} for n in "abc"]
    nodes += [{"name": "k", "role": "steward"}, {"name": "p", "role": "second-steward"}]
    assert parties(write(tmp_path, nodes)) == (("a", "b", "c"), "k", "p")
    with pytest.raises(InputError, match="at most one second steward, got 1 and 2"):
        parties(write(tmp_path, [*nodes, {"name": "q", "role": "second-steward"}]))


@pytest.mark.parametrize(
    "nodes", [[{"name": "a"}], 3, [{"name": "a", "role": "site"}], [{"role": "steward"}]]
)
def test_a_list_of_nodes_that_is_none(tmp_path, nodes):
    with pytest.raises(InputError, match=r"nodes.json: expected"):
        parties(write(tmp_path, nodes))


def test_no_list_of_nodes(tmp_path):
    with pytest.raises(InputError, match="write one entry"):
        parties(tmp_path)


def test_two_processes_never_work_on_one_run(tmp_path, monkeypatch):
    monkeypatch.setattr(app_module, "ALONE_SECONDS", 0.1)
    with (
        alone_on(tmp_path),
        pytest.raises(DeadlineError, match="earlier process"),
        alone_on(tmp_path),
    ):
        pass
    with alone_on(tmp_path), alone_on(tmp_path / "no folder"):
        pass


def test_nodes_have_numbers_in_a_deployment_only(tmp_path):
    (tmp_path / "nodes.json").write_text('[{"name": "a", "node_id": 7}]')
    assert registered_nodes(tmp_path) == {"a": 7}
    (tmp_path / "nodes.json").write_text('[{"name": "a"}]')
    assert registered_nodes(tmp_path) is None


def test_a_run_is_kept_in_its_own_file_or_in_the_database_that_was_chosen(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(app_module, "PostgresStore", lambda *where: asked.append(where) or "there")
    with closing(app_module.open_store(tmp_path, tmp_path / "out")):
        assert (tmp_path / "out" / "journal" / "study.db").is_file()
    (tmp_path / "store.json").write_text('{"url": "postgresql://h/d", "run": "small-1-ab"}')
    assert app_module.open_store(tmp_path, tmp_path / "out") == "there"
    assert asked == [("postgresql://h/d", "small-1-ab")]
