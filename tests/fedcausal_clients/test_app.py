import json
import subprocess
import sys

import pytest
from flwr.app import Context, RecordDict
from flwr.app import Message as FlowerMessage
from flwr.supercore.object_ref import validate
from flwr.supercore.task_identity import TaskIdentity

from fedcausal.errors import InputError
from fedcausal_clients.app import app, home_of
from fedcausal_clients.codec import decode, encode
from fedcausal_privacy.messages import Message


def context(tmp_path, **node_config):
    return Context(
        run_id=1,
        node_id=7,
        node_config=node_config,
        state=RecordDict(),
        run_config={"workspace": str(tmp_path)},
    )


def send(message, to, message_type=None):
    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, 1, 1
    record = message if isinstance(message, RecordDict) else encode(message)
    return app(FlowerMessage(record, 7, message_type or message.kind), to)


def test_flower_finds_the_app_without_importing_it():
    assert validate("fedcausal_clients.app:app")[0]
    assert validate("fedcausal_server.app:app")[0]


STEWARD = '[site]\nname = "keys"\nrole = "steward"\n'


def test_the_home_is_the_nodes_own_or_the_workspaces(tmp_path):
    (tmp_path / "nodes.json").write_text(json.dumps([{"home": "a"}, {"home": "b"}]))
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "site.toml").write_text(STEWARD + "[simulation]\nseed = 1\n")
    assert home_of(context(tmp_path, **{"partition-id": 1})) == tmp_path / "b"
    assert str(home_of(context(tmp_path, home="/srv/x", **{"partition-id": 1}))) == "/srv/x"


def test_a_coordinator_cannot_choose_the_home_of_a_real_site(tmp_path):
    """The workspace is named by the run's configuration, which the coordinator writes."""
    (tmp_path / "nodes.json").write_text(json.dumps([{"home": "a"}]))
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "site.toml").write_text(STEWARD + f'[trust]\nnorth = "{"ab" * 32}"\n')
    with pytest.raises(InputError, match="simulated"):
        home_of(context(tmp_path, **{"partition-id": 0}))


@pytest.mark.parametrize(
    ("message", "message_type"),
    [
        (RecordDict(), "query.hello"),
        (Message(kind="query.hello", header={"run_id": "r"}), "query.upload"),
        (Message(kind="query.hello", header={"run_id": "r"}), "query.hello"),
        (Message(kind="train.upload", header={"run_id": "r"}), "train.upload"),
        (Message(kind="query.unknown"), "query.unknown"),
    ],
)
def test_every_failure_is_the_same_constant(tmp_path, message, message_type, caplog):
    where = context(tmp_path, home=str(tmp_path / "nowhere"))
    if message_type == "query.unknown":
        with pytest.raises(ValueError, match="No query function"):
            send(message, where, message_type)
        return
    reply = send(message, where, message_type)
    assert dict(decode(reply.content).header) == {
        "name": "unnamed",
        "refusal": "site-error",
        "where": "",
    }
    assert len(caplog.records) == 1


def test_nothing_of_a_node_is_kept_in_flowers_state(tmp_path):
    where = context(tmp_path, home=str(tmp_path))
    send(Message(kind="query.hello", header={"run_id": "r"}), where)
    assert len(where.state) == 0


def test_clients_and_server_do_not_import_each_other():
    for ours, other in (("clients", "server"), ("server", "clients")):
        code = (
            f"import sys, fedcausal_{ours}.app; "
            f"sys.exit(any(m.startswith('fedcausal_{other}') for m in sys.modules))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path)}, check=False
        )
        assert done.returncode == 0
