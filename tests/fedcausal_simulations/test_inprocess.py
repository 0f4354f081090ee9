import json
import os
import socket
from contextlib import closing

import numpy as np
import pytest
from flwr.app import ArrayRecord, RecordDict
from flwr.app import Message as FlowerMessage
from flwr.clientapp import ClientApp
from flwr.supercore.task_identity import TaskIdentity

from fedcausal.errors import DataError, DeadlineError, DisclosureError, ProtocolError
from fedcausal_clients.app import app as client_app
from fedcausal_clients.run_state import save_run
from fedcausal_privacy.audit import AuditLog
from fedcausal_privacy.dp.ledger import Ledger
from fedcausal_server.app import app as server_app
from fedcausal_server.store.study_store import SqliteStore
from fedcausal_simulations.inprocess import InProcessGrid, run_inprocess, serialise
from fedcausal_simulations.workspace import prepare_workspace


@pytest.fixture
def workspace(tmp_path, toy, study, tables):
    return prepare_workspace(study, tables, tmp_path / "work", seed=1)


def totals(out):
    with closing(SqliteStore.open(out / "journal")) as store:
        return [json.loads(store.read(key))["released"] for key in store.keys("round/")]


class Wire(ClientApp):
    """The client app with a tap on its wire; `cut` may replace the node's answer."""

    def __init__(self, cut=None):
        super().__init__()
        self.seen, self.cut = [], cut

    def __call__(self, message, context):
        reply = client_app(message, context)
        if self.cut is not None:
            reply = self.cut(message, context, reply)
        self.seen.append((message.metadata.message_type, reply))
        return reply


def test_a_study_gives_the_pooled_sums(tmp_path, workspace, tables):
    out = tmp_path / "out"
    run_inprocess(server_app, client_app, workspace, out, 1)
    first, second = totals(out)
    assert (len(first), len(second)) == (2, 1)
    for released in (*first.values(), *second.values()):
        assert released["totals"][0] == 93
        assert released["withheld"] == []
    (thrice,) = second.values()
    expected = sum(
        np.rint(3 * frame[["age", "dose"]].sum().to_numpy()) for frame in tables.values()
    )
    assert thrice["totals"][1:] == expected.tolist()
    card = json.loads((out / "run.json").read_text())
    assert card["sites"] == ["north", "south", "west"]
    assert all(size > 0 for t in card["transfers"] for size in t["statistics"].values())


@pytest.mark.parametrize("options", [{"strict": False}, {"order_seed": 1}, {"order_seed": 2}])
def test_neither_the_engine_nor_the_order_matters(tmp_path, workspace, options):
    run_inprocess(server_app, client_app, workspace, tmp_path / "a", 1)
    run_inprocess(server_app, client_app, workspace, tmp_path / "b", 1, **options)
    assert totals(tmp_path / "a") == totals(tmp_path / "b")


def test_every_party_keeps_a_whole_audit_log(tmp_path, workspace):
    run_inprocess(server_app, client_app, workspace, tmp_path / "out", 1)
    for name in ("north", "south", "west", "steward"):
        assert AuditLog(path=workspace / name / "audit.jsonl").verify() >= 4
        assert (workspace / name / "state").stat().st_mode & 0o777 == 0o700


def test_no_plaintext_statistic_and_no_key_is_on_the_wire(tmp_path, workspace, tables):
    tap = Wire()
    run_inprocess(server_app, tap, workspace, tmp_path / "out", 1)
    sent = b"".join(
        array.data
        for kind, reply in tap.seen
        if kind != "query.decrypt"
        for array in reply.content["blobs"].values()
    )
    texts = "".join(reply.content["header"]["text"] for _, reply in tap.seen)
    for frame in tables.values():
        for factor in (1, 2, 3):
            for value in np.rint(factor * frame.sum().to_numpy()).astype(np.int64):
                assert value.tobytes() not in sent
                assert f":{value}" not in texts
    assert str(workspace) not in texts
    for name in ("north", "steward"):
        secret = next((workspace / name / "state").glob("identity*")).read_bytes()
        assert secret.splitlines()[1] not in sent + texts.encode()


def test_a_run_goes_on_where_it_stopped(tmp_path, workspace):
    out = tmp_path / "out"
    run_inprocess(server_app, client_app, workspace, tmp_path / "whole", 1)

    def power_loss(message, context, reply):
        if len([k for k, _ in tap.seen if k == "query.upload"]) == 4:
            raise OSError("power loss")
        return reply

    tap = Wire(cut=power_loss)
    with pytest.raises(DeadlineError, match=r"query.void: no answer of steward"):
        run_inprocess(server_app, tap, workspace, out, 1)
    assert len(totals(out)) == 1
    run_inprocess(server_app, client_app, workspace, out, 1)
    assert totals(out) == totals(tmp_path / "whole")
    assert json.loads((out / "run.json").read_text())["replayed_rounds"] == 1
    asked = tmp_path / "again"
    os.rename(out, asked)
    tap = Wire()
    run_inprocess(server_app, tap, workspace, asked, 1)
    assert tap.seen == []


def test_the_same_message_again_gets_the_same_bytes(tmp_path, workspace):
    def ask_twice(message, context, reply):
        again = client_app(message, context)
        assert again.content["header"]["text"] == reply.content["header"]["text"]
        assert {n: a.data for n, a in again.content["blobs"].items()} == {
            n: a.data for n, a in reply.content["blobs"].items()
        }
        return reply

    run_inprocess(server_app, Wire(cut=ask_twice), workspace, tmp_path / "out", 1)


@pytest.mark.parametrize(
    ("policy", "error", "message"),
    [
        ({"min_rows": 31}, DisclosureError, "north: too-few-rows"),
        ({"min_cell": 9}, DisclosureError, "north: min-cell-too-low"),
        ({"allow": ["gram"]}, DisclosureError, "north:toy: kind-not-allowed"),
        ({"max_parameters_per_row": 0.01}, DisclosureError, "north:toy: saturated"),
    ],
)
def test_a_refusal_stops_the_study_with_site_and_code(
    tmp_path, toy, study, tables, policy, error, message
):
    workspace = prepare_workspace(study, tables, tmp_path / "work", seed=1, policy=policy)
    with pytest.raises(error, match=message):
        run_inprocess(server_app, client_app, workspace, tmp_path / "out", 1)
    assert totals(tmp_path / "out") == []


def test_data_that_do_not_fit_name_the_column_and_no_value(tmp_path, toy, study, tables):
    tables["south"].loc[3, "age"] = 987
    workspace = prepare_workspace(study, tables, tmp_path / "work", seed=1)
    with pytest.raises(DataError, match="south:age: data-does-not-fit") as caught:
        run_inprocess(server_app, client_app, workspace, tmp_path / "out", 1)
    assert "987" not in str(caught.value)
    assert "in 1 row" in (workspace / "south" / "audit.jsonl").read_text()


def test_no_exception_text_reaches_the_wire(tmp_path, workspace, monkeypatch):
    def broken(*_):
        raise RuntimeError("secret=/data/patients.csv")

    monkeypatch.setattr("fedcausal_clients.site_node.open_source", broken)
    tap = Wire()
    with pytest.raises(Exception, match="north: site-error"):
        run_inprocess(server_app, tap, workspace, tmp_path / "out", 1)
    assert not any("secret" in str(reply.content) for _, reply in tap.seen)
    log = workspace / "north" / "errors.log"
    assert "secret=/data/patients.csv" in log.read_text()
    assert log.stat().st_mode & 0o777 == 0o600


def test_a_node_without_a_home_says_nothing_but_that(tmp_path, workspace):
    (workspace / "south" / "site.toml").unlink()
    with pytest.raises(Exception, match="unnamed: site-error") as caught:
        run_inprocess(server_app, client_app, workspace, tmp_path / "out", 1)
    assert str(workspace) not in str(caught.value)


def test_a_changed_key_is_refused(tmp_path, workspace):
    config = workspace / "west" / "site.toml"
    lines = config.read_text().splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("north = "))
    lines[at] = f'north = "{"0" * 64}"'
    config.write_text("\n".join(lines))
    with pytest.raises(ProtocolError, match="west: protocol"):
        run_inprocess(server_app, client_app, workspace, tmp_path / "out", 1)


def test_a_tampered_upload_is_refused(tmp_path, workspace):
    def flip(message, context, reply):
        if message.metadata.message_type != "query.upload":
            return reply
        blobs = {}
        for name, array in reply.content["blobs"].items():
            content = array.numpy().copy()
            content[-1] ^= 1
            blobs[name] = type(array)(content)
        reply.content["blobs"] = ArrayRecord(blobs)
        return reply

    with pytest.raises(ProtocolError):
        run_inprocess(server_app, Wire(cut=flip), workspace, tmp_path / "out", 1)
    assert totals(tmp_path / "out") == []


def test_what_we_use_of_flower_that_is_private():
    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, 2, 3
    message = FlowerMessage(RecordDict(), 7, "query.hello")
    assert (message.metadata.run_id, message.metadata.src_node_id) == (2, 3)
    message.metadata.__dict__["_message_id"] = "m1"
    assert message.metadata.message_id == "m1"
    again = serialise(message)
    assert again is not message
    assert again.metadata.message_id == "m1"
    reply = FlowerMessage(RecordDict(), reply_to=again)
    assert reply.metadata.reply_to_message_id == "m1"
    assert reply.metadata.src_node_id == 7


def test_a_grid_that_is_out_of_time_delivers_nothing():
    grid = InProcessGrid(client_app, num_nodes=2, run_config={})
    messages = [FlowerMessage(RecordDict(), node, "query.hello") for node in grid.get_node_ids()]
    assert list(grid.send_and_receive(messages, timeout=0.0)) == []
    ids = grid.push_messages(messages)
    assert len(list(grid.pull_messages(ids))) == 2


def test_a_site_that_loses_power_before_it_answered_answers_once(tmp_path, workspace, monkeypatch):
    def fails_once(store, run):
        if run.reply is not None and run.reply.kind == "query.upload" and not lost:
            lost.append(run)
            raise OSError("power loss")
        save_run(store, run)

    def ask_again(message, context, reply):
        if "refusal" not in reply.content["header"]["text"]:
            return reply
        return client_app(message, context)

    lost = []
    monkeypatch.setattr("fedcausal_clients.site_node.save_run", fails_once)
    run_inprocess(server_app, Wire(cut=ask_again), workspace, tmp_path / "out", 1)
    assert len(lost) == 1
    assert all(r["totals"][0] == 93 for total in totals(tmp_path / "out") for r in total.values())
    site = (
        workspace
        / lost[0].reply.header["envelopes"][next(iter(lost[0].permits))]["header"]["sender"]
    )
    with Ledger(site / "state" / "ledger.db") as ledger:
        assert len(ledger.entries()) == 3


def test_totals_of_two_rosters_cannot_be_subtracted(tmp_path, toy, study, tables):
    tables["east"] = tables["north"].copy()
    workspace = prepare_workspace(study, tables, tmp_path / "work", seed=1)
    run_inprocess(server_app, client_app, workspace, tmp_path / "all", 1)
    listed = json.loads((workspace / "nodes.json").read_text())
    fewer = [node for node in listed if node["name"] != "east"]
    (workspace / "nodes.json").write_text(json.dumps(fewer))
    with pytest.raises(ProtocolError, match=r"(?s)north: protocol.*west: protocol"):
        run_inprocess(server_app, client_app, workspace, tmp_path / "fewer", 1)
    assert "fewer than 3 sites" in (workspace / "north" / "audit.jsonl").read_text()
    # Sites that have forgotten: the steward has not.
    for site in ("north", "south", "west"):
        (workspace / site / "state" / "rosters").unlink()
    with pytest.raises(ProtocolError, match="steward: protocol"):
        run_inprocess(server_app, client_app, workspace, tmp_path / "fewer", 1)
    assert totals(tmp_path / "fewer") == []
    assert "fewer than 3 sites" in (workspace / "steward" / "audit.jsonl").read_text()
    for site in ("north", "south", "west"):
        (workspace / site / "state" / "rosters").unlink()
    (workspace / "nodes.json").write_text(json.dumps(listed))
    run_inprocess(server_app, client_app, workspace, tmp_path / "again", 1)
    assert totals(tmp_path / "again") == totals(tmp_path / "all")
    # Other rows, which their operators label so, are not compared.
    (workspace / "nodes.json").write_text(json.dumps(fewer))
    for site in ("north", "south", "west"):
        config = workspace / site / "site.toml"
        config.write_text(config.read_text().replace("[data]\n", '[data]\nversion = "2"\n'))
    run_inprocess(server_app, client_app, workspace, tmp_path / "new", 1)
    assert len(totals(tmp_path / "new")) == len(totals(tmp_path / "all"))


def test_no_socket_is_opened(tmp_path, workspace, monkeypatch):
    def refused(*_):
        raise AssertionError("a socket was used")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket.socket, "bind", refused)
    run_inprocess(server_app, client_app, workspace, tmp_path / "out", 1)
