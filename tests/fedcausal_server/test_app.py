import json

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
