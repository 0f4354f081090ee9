import json

import numpy as np
import pandas as pd
import pytest

from fedcausal.statistics import registry
from fedcausal.statistics.kind import Request
from fedcausal_clients import site_node
from fedcausal_clients.home import open_home
from fedcausal_clients.node import handle
from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.messages import Message
from fedcausal_simulations.workspace import prepare_workspace

TOY = Request(kind="toy").id()


@pytest.fixture
def workspace(tmp_path, study, toy_kind, monkeypatch):
    monkeypatch.setattr(registry, "KINDS", {"toy": toy_kind()})
    rng = np.random.default_rng(0)
    tables = {
        name: pd.DataFrame({"age": rng.uniform(0, 99, 30), "dose": rng.uniform(0, 9, 30)})
        for name in ("north", "south", "west")
    }
    return prepare_workspace(study, tables, tmp_path / "work", seed=1)


def greeting(study, run_id="r1"):
    return Message(kind="query.hello", header={"run_id": run_id, "study": study.to_toml()})


def refusal_of(reply):
    return reply.header.get("refusal")


def test_a_site_and_a_steward_introduce_themselves(workspace, study):
    site = handle(greeting(study), workspace / "north")
    steward = handle(greeting(study), workspace / "steward")
    assert (site.header["name"], site.header["role"]) == ("north", "site")
    assert (steward.header["name"], steward.header["role"]) == ("steward", "steward")
    assert set(steward.blobs) == {"context"}
    assert handle(greeting(study), workspace / "steward") == steward


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (Message(kind="query.hello"), "protocol"),
        (Message(kind="query.hello", header={"run_id": "r1"}), "protocol"),
        (Message(kind="query.hello", header={"run_id": "r1", "study": "["}), "study-unreadable"),
        (
            Message(kind="query.hello", header={"run_id": "r1", "study": "x = 1"}),
            "study-unreadable",
        ),
        (Message(kind="query.upload", header={"run_id": "r1"}), "protocol"),
        (Message(kind="query.freeze", header={"run_id": "r1", "study": ""}), "protocol"),
        (Message(kind="query.shell", header={"run_id": "r1", "command": "ls"}), "protocol"),
    ],
)
def test_messages_out_of_place_are_refused(workspace, message, code):
    assert refusal_of(handle(message, workspace / "north")) == code


@pytest.mark.parametrize("kind", ["query.upload", "query.decrypt", "query.shell", "train.upload"])
@pytest.mark.parametrize("name", ["north", "steward"])
def test_no_step_can_be_skipped(workspace, study, kind, name):
    handle(greeting(study), workspace / name)
    asked = Message(
        kind=kind,
        header={
            "run_id": "r1",
            "round": 1,
            "attempt": 1,
            "statistics": {},
            "requests": [{"kind": "toy", "parameters": {}}],
        },
    )
    assert refusal_of(handle(asked, workspace / name)) == "protocol"


def test_a_study_that_was_not_approved(workspace, new_study):
    reply = handle(greeting(new_study(study={"name": "other"})), workspace / "north")
    assert refusal_of(reply) == "study-not-approved"


def test_a_second_study_cannot_be_slipped_into_a_run(workspace, study, new_study):
    handle(greeting(study), workspace / "north")
    handle(greeting(new_study(study={"name": "other"})), workspace / "north")
    stored = (workspace / "north" / "state" / "run-r1").read_bytes()
    assert b"other" not in stored


def test_a_closed_run_stays_closed(workspace, study):
    handle(greeting(study), workspace / "steward")
    closed = Message(kind="query.close", header={"run_id": "r1"})
    assert refusal_of(handle(closed, workspace / "steward")) is None
    handle(greeting(study), workspace / "north")
    assert refusal_of(handle(closed, workspace / "north")) is None


@pytest.mark.parametrize(
    "requests",
    [None, [], {}, [3], [{"kind": "toy"}], [{"kind": "gone", "parameters": {}}]],
)
def test_odd_requests(requests):
    message = Message(
        kind="query.upload", header={"requests": requests, "statistics": {"toy-1": "d"}}
    )
    with pytest.raises(Exception, match=r"upload|request"):
        site_node._requests(message)


def test_a_request_that_is_listed_twice(workspace):
    """Listed twice, its noise would be drawn twice."""
    one = {"kind": "toy", "parameters": {}}
    name = site_node._requests(
        Message(kind="query.upload", header={"requests": [one], "statistics": {TOY: "d"}})
    )[0].id()
    assert name == TOY
    message = Message(
        kind="query.upload", header={"requests": [one, one], "statistics": {TOY: "d"}}
    )
    with pytest.raises(ProtocolError, match="not the statistics"):
        site_node._requests(message)


def test_a_long_word_of_the_coordinators_is_refused_and_written_down(workspace):
    said = Message(kind="query." + "x" * 100_000, header={"run_id": "r1"})
    assert refusal_of(handle(said, workspace / "north")) == "protocol"
    with open_home(workspace / "north") as home:
        assert home.gate.audit.verify() == 2


def test_an_unforeseen_error_is_a_code_outside_and_a_trace_inside(workspace, study, monkeypatch):
    def broken(*_, **__):
        raise KeyError("patient 17")

    monkeypatch.setattr(site_node, "open_source", broken)
    reply = handle(greeting(study), workspace / "north")
    assert refusal_of(reply) == "site-error"
    assert "17" not in json.dumps(dict(reply.header))
    assert "patient 17" in (workspace / "north" / "errors.log").read_text()


def test_local_draws_repeat_in_a_simulation_alone(workspace):
    request = Request(kind="toy")
    with open_home(workspace / "north") as north, open_home(workspace / "south") as south:
        draws = [site_node._generator(home, request).random() for home in (north, north, south)]
        assert draws[0] == draws[1] != draws[2]
    config = workspace / "north" / "site.toml"
    config.write_text(config.read_text().replace("[simulation]\nseed = 1\n", ""))
    with open_home(workspace / "north") as north:
        first, second = (site_node._generator(north, request).random() for _ in range(2))
        assert first != second
