import json

import pytest

from fedcausal.errors import InputError
from fedcausal_server.app import parties


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
