"""A coordinator that ships code: what a real SuperNode does with it, guarded and not."""

import datetime
import json
import os
import subprocess
import sys
import textwrap
from contextlib import ExitStack, closing
from types import SimpleNamespace

import pytest
from flwr.cli.build import build_fab_from_files
from flwr.proto.control_pb2 import StartRunRequest
from flwr.proto.fab_pb2 import Fab

from fedcausal.daemons.processes import await_until, end_process, free_port
from fedcausal.study import Study
from fedcausal_privacy.canonical import sha256_hex
from fedcausal_server.daemon.control import Control, is_serving
from fedcausal_server.daemon.home import create_home
from fedcausal_simulations.rehearsal import enrol_party
from fedcausal_simulations.workspace import prepare_workspace, read_nodes

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore:GitWildMatchPattern:DeprecationWarning"),
]

# A coordinator that does not check what it runs itself.
HOSTILE = """
import sys
from pathlib import Path
from fedcausal.daemons.processes import go_offline
from fedcausal_server.daemon.home import open_home
home = open_home(Path(sys.argv[1]))
go_offline(home.state / "flwr")
from fedcausal_server.daemon import coordinator, worker as server_worker
server_worker.pinned_install = lambda install, pinned: install
coordinator.serve(home, say=print)
"""
# A site as Flower makes it: a fresh process that unpacks the bundle and looks there first.
UNGUARDED = """
import sys
from importlib import import_module
from pathlib import Path
from fedcausal_clients.daemon.daemon import serve
from fedcausal.daemons.processes import go_offline
home = Path(sys.argv[1])
go_offline(home / "state" / "flwr")
from fedcausal_clients.daemon import worker as daemon_worker
def unguarded(guard):
    for name in [n for n in sys.modules if n.partition(".")[0] == "fedcausal_clients"]:
        del sys.modules[name]
    return import_module("flwr.supernode.runtime.run_clientapp")
daemon_worker.guard_client_app = unguarded
serve(home, poll_seconds=0.2, say=print)
"""
GUARDED = """
import sys
from pathlib import Path
from fedcausal_clients.daemon.daemon import serve
serve(Path(sys.argv[1]), poll_seconds=0.2, say=print)
"""
SHADOW = """
import os
from pathlib import Path
from flwr.app import Message, RecordDict
from flwr.clientapp import ClientApp
place = Path(os.environ["FLWR_HOME"])
place.mkdir(parents=True, exist_ok=True)
(place / "marker").write_text("the shipped code ran")
app = ClientApp()
@app.query("hello")
def hello(message, context):
    return Message(RecordDict(), reply_to=message)
"""
SERVER = """
import json, time
from pathlib import Path
from flwr.app import Message, RecordDict
from flwr.serverapp import ServerApp
app = ServerApp()
@app.main()
def main(grid, context):
    deadline = time.monotonic() + 300
    while len(list(grid.get_node_ids())) < 2 and time.monotonic() < deadline:
        time.sleep(0.5)
    sent = [Message(RecordDict(), node, "query.hello") for node in grid.get_node_ids()]
    replies = grid.send_and_receive(sent, timeout=300.0)
    said = [reply.error.reason if reply.has_error() else "answered" for reply in replies]
    Path(OUT).write_text(json.dumps(said))
"""
PROJECT = """
[project]
name = "hostile"
version = "1.0.0"
description = "x"
license = "Apache-2.0"
dependencies = []
[tool.flwr.app]
publisher = "fedcausal"
[tool.flwr.app.components]
serverapp = "hostile_server:app"
clientapp = "fedcausal_clients.app:app"
"""


def hostile_bundle(out):
    """A bundle whose `fedcausal_clients` is not ours."""
    server = f"OUT = {str(out)!r}\n{textwrap.dedent(SERVER)}"
    files = {
        "pyproject.toml": PROJECT.encode(),
        "hostile_server.py": server.encode(),
        "fedcausal_clients/__init__.py": b"",
        "fedcausal_clients/app.py": SHADOW.encode(),
    }
    return build_fab_from_files(files)[0]


def start(ending, script, folder, log):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with log.open("ab") as file:
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", script, str(folder)],
            env=environment,
            stdout=file,
            stderr=file,
        )
    ending.callback(end_process, process, seconds=20)


@pytest.fixture(scope="module")
def attacked(tmp_path_factory):
    """One guarded and one unguarded site, after a coordinator shipped them its code."""
    scratch = tmp_path_factory.mktemp("shipped")
    kinds = {name: {"kind": "continuous", "bounds": [-10, 10]} for name in "xy"}
    study = Study.model_validate({"variables": kinds})
    rows = {"x": [1.0, 2.0] * 20, "y": [1.0, 3.0] * 20}
    work = prepare_workspace(
        study, dict.fromkeys(("guarded", "unguarded", "other"), rows), scratch / "work", seed=0
    )
    home = create_home(
        scratch / "coordinator",
        name="hostile",
        hosts=["127.0.0.1"],
        port=free_port(),
        bind="127.0.0.1",
        now=datetime.datetime.now(datetime.UTC),
    )
    nodes = {node.name: node for node in read_nodes(work)}
    bundle = hostile_bundle(scratch / "replies.json")
    with ExitStack() as ending:
        start(ending, HOSTILE, home.folder, scratch / "coordinator.log")
        await_until(lambda: is_serving(home), "the coordinator", seconds=300)
        for name, script in (("guarded", GUARDED), ("unguarded", UNGUARDED)):
            enrol_party(home, work / name, nodes[name], scratch)
            start(ending, script, work / name, scratch / f"{name}.log")
        with closing(Control(home)) as control:
            fab = Fab(hash_str=sha256_hex(bundle), content=bundle)
            control._client.StartRun(StartRunRequest(fab=fab))
        await_until((scratch / "replies.json").exists, "the hostile study", seconds=600)
    return SimpleNamespace(
        guarded=work / "guarded",
        unguarded=work / "unguarded",
        bundle=bundle,
        replies=json.loads((scratch / "replies.json").read_text()),
    )


def flower_home(site):
    return site / "state" / "flwr"


def test_without_the_guard_shipped_code_runs(attacked):
    assert (flower_home(attacked.unguarded) / "marker").read_text() == "the shipped code ran"
    assert list((flower_home(attacked.unguarded) / "apps").iterdir())


def test_a_guarded_site_neither_runs_nor_unpacks_it(attacked):
    assert not (flower_home(attacked.guarded) / "marker").exists()
    assert not list(flower_home(attacked.guarded).rglob("*.py"))


def test_the_coordinator_learns_a_constant_and_the_site_the_hash(attacked):
    (refused,) = [reply for reply in attacked.replies if reply != "answered"]
    assert refused == "<class 'PermissionError'>:<'BUNDLE_NOT_APPROVED'>"
    lines = (attacked.guarded / "audit.jsonl").read_text().splitlines()
    noted = [json.loads(line) for line in lines]
    found = [line["details"]["hash"] for line in noted if line["event"] == "bundle refused"]
    assert found == [sha256_hex(attacked.bundle)]
