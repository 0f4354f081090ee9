import json
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from fedcausal.errors import DeadlineError, ProtocolError
from fedcausal.statistics import registry
from fedcausal.statistics.kind import Request
from fedcausal.study import Study
from fedcausal_clients.app import app as client_app
from fedcausal_clients.home import open_home
from fedcausal_clients.run_state import load_run
from fedcausal_privacy.dp.ledger import Ledger
from fedcausal_privacy.messages import Message
from fedcausal_privacy.secure_sum.aggregator_state import Dropout
from fedcausal_privacy.secure_sum.recovery import Event
from fedcausal_privacy.secure_sum.states import SiteState
from fedcausal_privacy.statistic_spec import StatisticSpec
from fedcausal_server import secure_rounds
from fedcausal_server.secure_rounds import SecureRounds
from fedcausal_server.store.session import Session
from fedcausal_server.transport.link import FlowerLink
from fedcausal_simulations.inprocess import FIRST_NODE_ID, InProcessGrid
from fedcausal_simulations.silence import Silence
from fedcausal_simulations.workspace import prepare_workspace, stewards_of

SITES = ("a", "b", "c")
ROWS = {"a": 30, "b": 40, "c": 50}


class Counts:
    """How many rows have an age below each limit; a site can be made to lie about its bound."""

    name, part = "counts", "graph"

    def spec(self, study, request, num_sites):
        limits = request.parameters["limits"]
        return StatisticSpec(
            name="counts",
            length=len(limits),
            bound=request.parameters.get("bound", 10**6),
            min_cell=study.privacy.min_cell,
            counts=tuple(range(len(limits))),
        )

    def compute(self, study, request, source, rng):
        limits = np.array(request.parameters["limits"])
        ages = np.concatenate([table.column("age") for table in source.batches()])
        return (ages[:, None] < limits).sum(axis=0).astype(np.int64)

    def width(self, study, request):
        return 0


@pytest.fixture
def study():
    kinds = {"age": {"kind": "continuous", "bounds": [0, 120]}, "dose": {"kind": "binary"}}
    return Study.model_validate({"variables": kinds})


@pytest.fixture
def rounds(tmp_path, study, monkeypatch):
    return new_rounds(tmp_path, study, monkeypatch)


def new_rounds(
    tmp_path,
    study,
    monkeypatch,
    rows=ROWS,
    silent=None,
    grid=InProcessGrid,
    deadline=60.0,
):
    monkeypatch.setattr(registry, "KINDS", {"counts": Counts()})
    tables = {
        name: pd.DataFrame({"age": np.arange(n, dtype=float), "dose": [0, 1] * (n // 2)})
        for name, n in rows.items()
    }
    workspace = prepare_workspace(study, tables, tmp_path / "work", seed=1)
    config, stewards = {"workspace": str(workspace)}, stewards_of(study)
    nodes = len(rows) + len(stewards)
    nodes = grid(client_app, num_nodes=nodes, run_config=config, order_seed=4, silent=silent)
    return SecureRounds(
        FlowerLink(nodes, deadline_seconds=deadline),
        study,
        sites=tuple(rows),
        steward="steward",
        second_steward="second-steward" if len(stewards) == 2 else "",
        run_id="run-1",
    )


def asked(*limits, **more):
    return Request(kind="counts", parameters={"limits": list(limits), **more})


def test_totals_are_the_sums_over_all_sites_and_small_cells_are_withheld(rounds):
    request = asked(1, 2, 10, 1000)
    released = rounds.sum([request])[request.id()]
    assert released.totals.tolist() == [0, 6, 30, 120]
    assert released.withheld.tolist() == [True, False, False, False]


def test_several_statistics_and_several_rounds_share_one_roster(rounds):
    first, second = asked(10), asked(20)
    both = rounds.sum([first, second])
    assert {n: r.totals.tolist() for n, r in both.items()} == {first.id(): [30], second.id(): [60]}
    assert rounds.sum([first])[first.id()].totals.tolist() == [30]
    kinds = [t.kind for t in rounds.transfers if t.party == "a"]
    assert kinds == ["query.hello", "query.advertise", "query.freeze", *["query.upload"] * 2]
    uploads = [t for t in rounds.transfers if t.kind == "query.upload"]
    assert all(set(t.statistics) <= {first.id(), second.id()} for t in uploads)


def test_the_same_request_twice_in_a_round(rounds):
    with pytest.raises(ProtocolError, match="two requests of one round are the same"):
        rounds.sum([asked(10), asked(10)])


def test_a_value_beyond_its_public_bound_reveals_nothing(rounds):
    with pytest.raises(ProtocolError, match="a: protocol"):
        rounds.sum([asked(1000, bound=20)])


def test_a_closed_run_sums_no_more(rounds):
    rounds.sum([asked(10)])
    rounds.close()
    with pytest.raises(ProtocolError):
        rounds.sum([asked(10)])


@pytest.mark.parametrize("name", ["b", "steward"])
def test_nobody_takes_part_with_a_revoked_key(rounds, tmp_path, name):
    with open_home(tmp_path / "work" / name) as home:
        mark = home.identity.fingerprint()
    rounds._revoked = frozenset({mark})
    with pytest.raises(ProtocolError, match=f"'{name}' came with a key"):
        rounds.open()
    rounds._revoked = frozenset()
    rounds.open()


def test_two_stewards_give_the_same_totals(tmp_path, study, monkeypatch):
    pads = study.model_copy(
        update={"privacy": study.privacy.model_copy(update={"mode": "two-steward"})}
    )
    rounds = new_rounds(tmp_path, pads, monkeypatch)
    request = asked(1, 2, 10, 1000)
    for _ in range(2):
        released = rounds.sum([request])[request.id()]
        assert released.totals.tolist() == [0, 6, 30, 120]
        assert released.withheld.tolist() == [True, False, False, False]
    kinds = {(t.party, t.kind) for t in rounds.transfers}
    assert ("second-steward", "query.pads") in kinds
    assert not any(kind == "query.freeze" for _, kind in kinds)


def test_a_later_attempt_sends_the_same_vector_and_charges_it_again(tmp_path, study, monkeypatch):
    """Noise is part of a vector: whoever drew it again for a voided attempt would spend less."""
    computed, compute = [], Counts.compute

    def counted(self, study, request, source, rng):
        vector = compute(self, study, request, source, rng)
        computed.append(vector)
        return vector + len(computed)

    monkeypatch.setattr(Counts, "compute", counted)
    gone = {FIRST_NODE_ID + 3: Silence(site="d", kind="query.upload")}
    rounds = new_rounds(tmp_path, study, monkeypatch, {**ROWS, "d": 60}, gone)
    request = asked(10, 1000)
    released = rounds.sum([request])[request.id()]
    assert len(computed) == 3
    assert released.totals.tolist() == [30 + 6, 120 + 6]
    assert rounds.summed == ("a", "b", "c")
    assert [lost.site for lost in rounds.dropouts] == ["d"]
    for site in SITES:
        with Ledger(tmp_path / "work" / site / "state" / "ledger.db") as ledger:
            releases = [entry.release for entry in ledger.entries()]
        assert releases == [f"1/{request.id()}", f"1.2/{request.id()}"]


def test_a_failed_round_leaves_no_roster_behind(tmp_path, study, monkeypatch):
    """Three of four are too few here: the run ends, and the next one may have another roster."""
    silent = {FIRST_NODE_ID + 3: Silence(site="d", kind="query.upload")}
    strict = study.model_copy(update={"rounds": study.rounds.model_copy(update={"quorum": 4})})
    rounds = new_rounds(tmp_path, strict, monkeypatch, {**ROWS, "d": 60}, silent)
    with pytest.raises(DeadlineError, match="3 sites are left and 4"):
        rounds.sum([asked(10)])
    kept = tmp_path / "work" / "a" / "state" / "rosters"
    assert json.loads(kept.read_bytes())["run-1"]
    rounds.close()
    assert json.loads(kept.read_bytes())["run-1"] == []


def test_a_site_that_never_answers_is_waited_for_until_the_deadline(tmp_path, study, monkeypatch):
    class Lossy(InProcessGrid):
        def answer(self, message):
            lost = message.metadata.dst_node_id == FIRST_NODE_ID + 3
            is_upload = message.metadata.message_type == "query.upload"
            return None if lost and is_upload else super().answer(message)

    rounds = new_rounds(tmp_path, study, monkeypatch, {**ROWS, "d": 60}, grid=Lossy, deadline=2.0)
    began = time.monotonic()
    request = asked(10)
    assert rounds.sum([request])[request.id()].totals.tolist() == [30]
    assert time.monotonic() - began >= 2.0
    assert rounds.summed == SITES


def test_ignored_and_refused_replies_are_logged_without_their_words(rounds, caplog):
    rounds.sum([asked(10)])
    late = Message(kind="query.late words", header={"more": "words of a site"})
    with caplog.at_level("INFO", logger="fedcausal.rounds"):
        assert rounds._take(Event(party="a", reply=late), taken := []) == ()
    assert taken == []
    assert [record.getMessage() for record in caplog.records] == [
        "a: a reply that nobody waits for was ignored (ready, round 1, attempt 1)"
    ]
    caplog.clear()
    rounds._state = replace(rounds._state, phase="freeze", waiting=("a",))
    with caplog.at_level("INFO", logger="fedcausal.rounds"), pytest.raises(ProtocolError):
        rounds._take(Event(party="a", reply=replace(late, kind="query.freeze")), [])
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage() == "a: a reply was refused (freeze, round 1, attempt 1)"


def logged(rounds, monkeypatch):
    """What is written (how many entries) and said, in order."""
    log, store, link = [], rounds._session.store, rounds._link
    commit, post = store.commit, link.post
    monkeypatch.setattr(store, "commit", lambda c: (log.append(len(c)), commit(c)))
    monkeypatch.setattr(link, "post", lambda p: (p and log.append("said"), post(p)))
    return log


def test_a_small_roster_s_replies_are_written_one_by_one(rounds, monkeypatch):
    rounds.open()
    log = logged(rounds, monkeypatch)
    rounds.sum([asked(10)])
    assert log == ["said", 1, 1, 1, "said", 1]


def test_many_replies_are_written_together_before_anything_is_said(rounds, monkeypatch):
    monkeypatch.setattr(secure_rounds, "PART_TOGETHER", 1)
    rounds.open()
    log = logged(rounds, monkeypatch)
    rounds.sum([asked(10)])
    # Three uploads in one write, then the request to the steward; its total, and nothing to say.
    assert log == ["said", 3, "said", 1]


def test_a_group_that_a_kill_kept_off_the_disk_is_asked_for_again(rounds, monkeypatch):
    monkeypatch.setattr(secure_rounds, "PART_TOGETHER", 1)
    rounds.open()
    store = rounds._session.store
    with monkeypatch.context() as patch:
        patch.setattr(store, "commit", lambda changes: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            rounds.sum([asked(10)])
    again = SecureRounds(
        rounds._link,
        rounds._study,
        sites=SITES,
        steward="steward",
        run_id="run-2",
        session=Session(store=store),
    )
    assert again.is_resumed
    (total,) = again.sum([asked(10)]).values()
    assert total.totals.tolist() == [30]


def test_a_site_that_came_back_hears_the_end_of_the_run(rounds, tmp_path):
    rounds.sum([asked(10)])
    lost = Dropout(site="b", kind="query.upload", round=1, attempt=1)
    rounds._state = replace(rounds._state, dropouts=(lost,))
    rounds.close()
    with open_home(tmp_path / "work" / "b") as home:
        state = SiteState.from_bytes(load_run(home.store, "run-1").secure_sum)
    assert state.is_closed
    assert state.ephemeral_key == b""
