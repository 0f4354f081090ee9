"""Sites that are killed: before and after they compute, before and after they answer.

In this process a kill is a site that stops in the middle of a step and says nothing more; what it
had written stays. A quorum ends the round at the deadline and two seconds at the latest, fewer
end it with an error and no total. A site that comes back sends the very bytes it would have sent.
The coordinator's clock is the test's: nobody really waits, and no load makes it late.
"""

from contextlib import closing, contextmanager

import numpy as np
import pandas as pd
import pytest

from fedcausal.errors import DeadlineError
from fedcausal.statistics import registry
from fedcausal.statistics.kind import Request
from fedcausal.study import Study
from fedcausal_clients import site_node
from fedcausal_clients.app import app as client_app
from fedcausal_privacy.audit import AuditLog
from fedcausal_privacy.ledger import Ledger
from fedcausal_privacy.statistic_spec import StatisticSpec
from fedcausal_server import link, secure_rounds
from fedcausal_server.link import FlowerLink
from fedcausal_server.secure_rounds import SecureRounds
from fedcausal_server.session import Session
from fedcausal_server.study_store import SqliteStore
from fedcausal_simulations.inprocess import InProcessGrid
from fedcausal_simulations.workspace import prepare_workspace, stewards_of

FOUR = ("a", "b", "c", "d")
ROWS = 30
DEADLINE = 600.0
REQUEST = Request(kind="rows")
PLACES = ("before compute", "after compute", "before send", "after send")


class Killed(BaseException):
    """The end of a site's process, wherever it is."""


class Rows:
    """How many rows a site has."""

    name, part = "rows", "graph"

    def spec(self, study, request, num_sites):
        return StatisticSpec(name="rows", length=1, bound=10**6)

    def compute(self, study, request, source, rng):
        return np.array([sum(table.num_rows for table in source.batches())], dtype=np.int64)

    def width(self, study, request):
        return 0


class Mortal(InProcessGrid):
    """Nodes that can be killed in their next upload; a dead one is silent until it is revived."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.doomed, self.dead, self.place, self.uploads = set(), set(), "", []

    def answer(self, message):
        node, kind = message.metadata.dst_node_id, message.metadata.message_type
        if node in self.dead:
            return None
        is_last = kind == "query.upload" and node in self.doomed
        if is_last and self.place == "before compute":
            return self.die(node)
        try:
            with dying(self.place if is_last else ""):
                reply = super().answer(message)
        except Killed:
            return self.die(node)
        if kind == "query.upload":
            self.uploads.append((node, reply))
        return self.die(node) if is_last else reply

    def die(self, node):
        self.doomed.discard(node)
        self.dead.add(node)


class Clock:
    """Time that passes when somebody sleeps."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    made = Clock()
    for module in (link, secure_rounds):
        monkeypatch.setattr(module, "time", made)
    return made


@contextmanager
def dying(place):
    """A place in a site's step where its process ends."""
    kept = site_node.save_run

    def save_run(store, run):
        is_answer = run.reply is not None and run.reply.kind == "query.upload"
        if is_answer and place == "after compute":
            raise Killed
        kept(store, run)
        if is_answer and place == "before send":
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(site_node, "save_run", save_run)
        yield


def make_study(mode="masked", quorum=None):
    kinds = {"age": {"kind": "continuous", "bounds": [0, 120]}, "dose": {"kind": "binary"}}
    rounds = {"deadline_seconds": DEADLINE} | ({} if quorum is None else {"quorum": quorum})
    return Study.model_validate({"variables": kinds, "privacy": {"mode": mode}, "rounds": rounds})


class Place:
    """A workspace with a grid of mortal sites; the coordinator's store is on the disk."""

    def __init__(self, folder, study, sites):
        self.study, self.sites, self.folder = study, sites, folder
        frame = pd.DataFrame({"age": np.arange(ROWS, dtype=float), "dose": [0, 1] * (ROWS // 2)})
        tables = dict.fromkeys(sites, frame)
        self.workspace = prepare_workspace(study, tables, folder / "work", seed=1)
        self.grid = Mortal(
            client_app,
            num_nodes=len(sites) + len(stewards_of(study)),
            run_config={"workspace": str(self.workspace)},
            strict=False,
        )
        self.nodes = dict(zip(sites, sorted(self.grid.get_node_ids()), strict=False))

    def kill(self, names, place):
        self.grid.doomed, self.grid.place = {self.nodes[name] for name in names}, place

    def revive(self):
        self.grid.dead.clear()

    def rounds(self, store, deadline=DEADLINE):
        return SecureRounds(
            FlowerLink(self.grid, deadline_seconds=deadline),
            self.study,
            sites=self.sites,
            steward="steward",
            second_steward="second-steward" if len(stewards_of(self.study)) == 2 else "",
            run_id="run-1",
            session=Session(store=store),
        )


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "KINDS", {"rows": Rows()})

    def made(study, sites=FOUR):
        return Place(tmp_path, study, sites)

    return made


def summed(place):
    """One round; its total, and the seconds from the last answer to the verdict on the dead."""
    with closing(SqliteStore.open(place.folder / "journal")) as store:
        rounds = place.rounds(store)
        found = rounds.sum([REQUEST])[REQUEST.id()]
        store.commit(rounds.checkpoint())
        return int(found.totals[0]), rounds.summed


@pytest.mark.parametrize("where", PLACES)
def test_a_quorum_goes_on_without_a_killed_site(place, clock, where):
    found = place(make_study())
    found.kill(["b"], where)
    assert summed(found) == (3 * ROWS, ("a", "c", "d"))
    assert DEADLINE <= clock.now <= DEADLINE + 2


@pytest.mark.parametrize(
    ("where", "mode", "tries"),
    [("before send", "masked", 2), ("after compute", "two-steward", 3)],
)
def test_two_of_four_are_too_many(place, clock, where, mode, tries):
    """Sites that are needed are asked again: in a new attempt, or the same question thrice."""
    found = place(make_study(mode))
    found.kill(["b", "d"], where)
    with pytest.raises(DeadlineError, match="2 sites are left and 3 are needed"):
        summed(found)
    assert tries * DEADLINE <= clock.now <= tries * DEADLINE + 2
    check_nothing_released(found)


def check_nothing_released(found):
    steward = found.workspace / "steward" / "audit.jsonl"
    assert b"query.decrypt" not in steward.read_bytes()
    with closing(SqliteStore.open(found.folder / "journal")) as store:
        assert store.keys("round/") == ()


def test_a_site_that_comes_back_sends_the_same_bytes(place):
    """It had answered, and nobody heard it; the coordinator is killed too, and asks again."""
    found = place(make_study())
    found.kill(["b"], "after send")

    class Stopped(BaseException):
        pass

    class Mute(FlowerLink):
        @property
        def is_silent(self):
            if found.grid.dead:
                raise Stopped
            return super().is_silent

    with closing(SqliteStore.open(found.folder / "journal")) as store:
        rounds = found.rounds(store)
        rounds._link = Mute(found.grid, deadline_seconds=60)
        with pytest.raises(Stopped):
            rounds.sum([REQUEST])
    found.revive()
    assert summed(found) == (4 * ROWS, FOUR)
    sent = [reply for node, reply in found.grid.uploads if node == found.nodes["b"]]
    assert len(sent) == 2
    first, second = ({n: a.data for n, a in r.content["blobs"].items()} for r in sent)
    assert first == second
    for site in FOUR:
        assert AuditLog(path=found.workspace / site / "audit.jsonl").verify() > 0
        with Ledger(found.workspace / site / "state" / "ledger.db") as ledger:
            assert len(ledger.entries()) == 1


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["masked", "two-steward"])
@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("quorum", [50, 51])
def test_fifty_of_a_hundred(place, clock, mode, where, quorum):
    sites = tuple(f"s{number:03d}" for number in range(100))
    found = place(make_study(mode, quorum), sites)
    found.kill(sites[::2], where)
    if quorum == 50:
        assert summed(found) == (50 * ROWS, sites[1::2])
    else:
        with pytest.raises(DeadlineError, match="50 sites are left and 51 are needed"):
            summed(found)
        check_nothing_released(found)
    assert DEADLINE <= clock.now <= DEADLINE + 2


def test_too_few_sites_connect(place, clock):
    found = place(make_study())
    found.grid._contexts.pop(found.nodes["c"])
    with pytest.raises(DeadlineError, match="4 are connected"):
        summed(found)
    assert DEADLINE <= clock.now <= DEADLINE + 2


def test_a_resumed_run_waits_no_longer_for_who_is_gone(place, clock):
    """The coordinator was killed; one site never reconnects. One deadline to wait for it, none
    to wait for its answer: the grid says that the node is gone."""
    found = place(make_study())
    found.kill(["b"], "before compute")
    with closing(SqliteStore.open(found.folder / "journal")) as store:
        rounds = found.rounds(store)
        rounds.open()
        found.grid._contexts.pop(found.nodes["b"])
        resumed = found.rounds(store)
        assert resumed.is_resumed
        assert resumed.sum([REQUEST])[REQUEST.id()].totals.tolist() == [3 * ROWS]
    assert clock.now <= 2 * DEADLINE + 2
