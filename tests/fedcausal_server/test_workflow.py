import json
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest

import fedcausal
from fedcausal.errors import (
    FedCausalError,
    LinkError,
    ProtocolError,
    StorageError,
    UnreachableError,
)
from fedcausal.statistics.kind import Request
from fedcausal.study import Study
from fedcausal_privacy.audit import AuditLog
from fedcausal_privacy.keys.identity import Identity
from fedcausal_privacy.statistic_spec import Released
from fedcausal_server import workflow
from fedcausal_server.store.study_store import MemoryStore
from fedcausal_server.workflow import new_run_id, run_study


@dataclass(frozen=True)
class State:
    requests: tuple
    done: bool = False
    blobs: dict = field(default_factory=dict)
    history: tuple = ()


SCRIPT = (
    ((Request(kind="gram"),), {}),
    ((Request(kind="update"),), {"weights": b"w"}),
    ((), {}),
)


def state_at(number, history):
    requests, blobs = SCRIPT[number]
    return State(requests, number == len(SCRIPT) - 1, blobs, history)


PROTOCOL = SimpleNamespace(
    parse_steps=tuple,
    start=lambda study, num_sites, seed, **_: state_at(0, ()),
    step=lambda state, released: state_at(
        len(state.history) + 1, (*state.history, sorted(released))
    ),
)


class Rounds:
    """Secure rounds that answer at once; the n-th one fails when `fails_at` says so."""

    fails_at, failure = 0, LinkError("north is gone")

    def __init__(self, *_, **__):
        self.asked, self.transfers, self.is_closed = [], [], False
        self.summed, self.dropouts, self.set_aside = ("a", "b", "c"), (), ()
        self.run_id, self.is_resumed = "run1", False
        Rounds.last = self

    def sum(self, requests, *, kind="query.upload", blobs=None):
        self.asked.append((kind, blobs))
        if len(self.asked) == self.fails_at:
            raise self.failure
        one = Released(totals=np.array([7]), withheld=np.array([False]))
        return {request.id(): one for request in requests}

    def checkpoint(self):
        return {}

    def close(self):
        self.is_closed = True


@pytest.fixture(autouse=True)
def faked(monkeypatch):
    monkeypatch.setattr(workflow, "SecureRounds", Rounds)
    monkeypatch.setattr(Rounds, "fails_at", 0)
    monkeypatch.setitem(__import__("sys").modules, "fedcausal.protocol", PROTOCOL)
    monkeypatch.setattr(fedcausal, "protocol", PROTOCOL, raising=False)


def run(out, **options):
    kinds = {name: {"kind": "continuous"} for name in "xy"}
    study = Study.model_validate({"variables": kinds})
    sites = options.pop("sites", ["b", "a", "c"])
    return run_study(study, None, out, seed=1, sites=sites, steward="s", **options)


def test_updates_travel_as_training_with_their_weights(tmp_path):
    seen = []
    outcome = run(tmp_path, on_progress=seen.append)
    assert Rounds.last.asked == [
        ("query.upload", None),
        ("train.upload", {"weights": b"w"}),
    ]
    assert [(p.round_number, p.kinds, p.replayed) for p in seen] == [
        (1, ("gram",), False),
        (2, ("update",), False),
    ]
    assert (outcome.sites, outcome.num_rounds, outcome.num_replayed) == (("a", "b", "c"), 2, 0)
    assert Rounds.last.is_closed


def test_a_failed_run_is_closed_and_goes_on_where_it_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(Rounds, "fails_at", 2)
    with pytest.raises(LinkError):
        run(tmp_path)
    assert Rounds.last.is_closed
    monkeypatch.setattr(Rounds, "fails_at", 0)
    outcome = run(tmp_path)
    assert [kind for kind, _ in Rounds.last.asked] == ["train.upload"]
    assert (outcome.num_rounds, outcome.num_replayed) == (2, 1)
    assert len(outcome.state.history) == 2


def test_the_coordinators_log_tells_a_failed_and_a_resumed_run(tmp_path, monkeypatch):
    monkeypatch.setattr(Rounds, "fails_at", 2)
    identity = Identity.generate()
    log = AuditLog(path=tmp_path / "audit.jsonl", signer=identity)
    with pytest.raises(LinkError):
        run(tmp_path / "run", audit=log)
    monkeypatch.setattr(Rounds, "fails_at", 0)
    run(tmp_path / "run", audit=log)
    told = [json.loads(line)["event"] for line in log.lines()]
    assert told == [
        *("study began", "asked", "released", "asked", "study failed"),
        *("study began", "replayed", "asked", "released", "study finished"),
    ]
    assert log.verify(public=identity.public) == 10
    run(tmp_path / "other")
    assert AuditLog(path=tmp_path / "other" / "journal" / "audit.jsonl").verify() == 6


def test_a_roster_that_the_study_does_not_allow(tmp_path):
    with pytest.raises(Exception, match="expected 3 sites or more, got 2"):
        run(tmp_path, sites=["a", "b"])


def test_a_protocol_that_asks_for_nothing(tmp_path, monkeypatch):
    stuck = SimpleNamespace(**{**vars(PROTOCOL), "start": lambda *_, **__: State(())})
    monkeypatch.setattr(fedcausal, "protocol", stuck)
    with pytest.raises(ProtocolError, match="asks for nothing"):
        run(tmp_path)


def test_run_ids_differ():
    assert len({new_run_id() for _ in range(100)}) == 100


def test_a_disk_that_is_full_leaves_the_run_open(tmp_path, monkeypatch):
    class Full(MemoryStore):
        def commit(self, changes):
            if any(key.startswith("round/") for key in changes):
                raise StorageError("the disk is full")
            super().commit(changes)

    with pytest.raises(StorageError, match="full"):
        run(tmp_path, store=Full())
    assert not Rounds.last.is_closed
    log = AuditLog(path=tmp_path / "journal" / "audit.jsonl")
    assert json.loads(log.lines()[-1])["event"] == "study stopped"


def test_a_superlink_that_is_out_leaves_the_run_open(tmp_path, monkeypatch):
    monkeypatch.setattr(Rounds, "fails_at", 2)
    monkeypatch.setattr(Rounds, "failure", UnreachableError("HTTP 500"))
    with pytest.raises(UnreachableError):
        run(tmp_path)
    assert not Rounds.last.is_closed
    log = AuditLog(path=tmp_path / "journal" / "audit.jsonl")
    assert json.loads(log.lines()[-1])["event"] == "study stopped"


class Closing(MemoryStore):
    is_closed = False

    def close(self):
        self.is_closed = True


def test_a_store_is_closed_whatever_is_wrong(tmp_path):
    for wrong in ({"sites": ["a", "b"]}, {"second_steward": "t"}):
        store = Closing()
        with pytest.raises(FedCausalError):
            run(tmp_path, store=store, **wrong)
        assert store.is_closed
    assert not (tmp_path / "journal").exists()
    store = Closing()
    run(tmp_path, store=store)
    store.is_closed = False
    with pytest.raises(ProtocolError, match="another study, seed or roster"):
        run(tmp_path, store=store, sites=["a", "b", "d"])
    assert store.is_closed
