"""Sites that can be killed in the middle of a step, and a clock that passes by sleeping."""

from contextlib import closing, contextmanager

import numpy as np
import pandas as pd
import pytest

from fedcausal.statistics.kind import Request
from fedcausal.study import Study
from fedcausal_clients import site_node
from fedcausal_clients.app import app as client_app
from fedcausal_privacy.statistic_spec import StatisticSpec
from fedcausal_server.secure_rounds import SecureRounds
from fedcausal_server.store.session import Session
from fedcausal_server.store.study_store import SqliteStore
from fedcausal_server.transport.link import FlowerLink
from fedcausal_simulations.inprocess import InProcessGrid
from fedcausal_simulations.workspace import prepare_workspace, stewards_of

FOUR = ("a", "b", "c", "d")
ROWS = 30
DEADLINE = 600.0
REQUEST = Request(kind="rows")


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


def summed(place):
    """One round of a coordinator whose store is on the disk: its total, and who is in it."""
    with closing(SqliteStore.open(place.folder / "journal")) as store:
        rounds = place.rounds(store)
        found = rounds.sum([REQUEST])[REQUEST.id()]
        store.commit(rounds.checkpoint())
        return int(found.totals[0]), rounds.summed
