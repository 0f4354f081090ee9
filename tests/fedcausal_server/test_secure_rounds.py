import numpy as np
import pandas as pd
import pytest

from fedcausal.errors import ProtocolError
from fedcausal.statistics import registry
from fedcausal.statistics.kind import Request
from fedcausal.study import Study
from fedcausal_clients.app import app as client_app
from fedcausal_clients.home import open_home
from fedcausal_privacy.statistic_spec import StatisticSpec
from fedcausal_server.link import FlowerLink
from fedcausal_server.secure_rounds import SecureRounds
from fedcausal_simulations.inprocess import InProcessGrid
from fedcausal_simulations.workspace import prepare_workspace

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
    monkeypatch.setattr(registry, "KINDS", {"counts": Counts()})
    tables = {
        name: pd.DataFrame({"age": np.arange(n, dtype=float), "dose": [0, 1] * (n // 2)})
        for name, n in ROWS.items()
    }
    workspace = prepare_workspace(study, tables, tmp_path / "work", seed=1)
    config = {"workspace": str(workspace)}
    grid = InProcessGrid(client_app, num_nodes=4, run_config=config, order_seed=4)
    link = FlowerLink(grid, deadline_seconds=60.0)
    return SecureRounds(link, study, sites=SITES, steward="steward", run_id="run-1")


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
