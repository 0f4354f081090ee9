"""Rounds of own sums over the real nodes: who is set aside is kept, and not asked again."""

import numpy as np
import pandas as pd
import pytest

from fedcausal.errors import ProtocolError
from fedcausal.statistics.gram_kind import gram_request
from fedcausal.study import Study
from fedcausal_clients.app import app as client_app
from fedcausal_privacy.dp.ledger import Ledger
from fedcausal_server.robust_rounds import RobustRounds
from fedcausal_server.secure_rounds import SecureRounds
from fedcausal_server.store.session import Session
from fedcausal_server.store.study_store import MemoryStore
from fedcausal_server.transport.link import FlowerLink
from fedcausal_simulations.inprocess import InProcessGrid
from fedcausal_simulations.liars import lying
from fedcausal_simulations.workspace import prepare_workspace

SITES = ("a", "b", "c", "d")


@pytest.fixture
def study():
    return Study.model_validate(
        {
            "variables": {n: {"kind": "continuous", "bounds": [-9, 9]} for n in "xy"},
            "discovery": {"votes": False},
            "privacy": {"incomplete": "drop"},
            "model": {"knots": 0},
            "federation": {"robust": 1},
        }
    )


@pytest.fixture
def start(tmp_path, study):
    """A function from a store to the rounds of one run on it."""
    rng = np.random.default_rng(2)
    rows = {name: pd.DataFrame(rng.normal(size=(60, 2)), columns=["x", "y"]) for name in SITES}
    policy = {"release_alone": True}
    workspace = prepare_workspace(study, rows, tmp_path / "work", seed=1, policy=policy)
    nodes = InProcessGrid(client_app, num_nodes=5, run_config={"workspace": str(workspace)})
    link = FlowerLink(nodes, deadline_seconds=60.0)

    def begin(store, run_id="run-1"):
        return RobustRounds(
            link,
            study,
            sites=SITES,
            steward="steward",
            run_id=run_id,
            session=Session(store=store),
        )

    return begin


def releases(tmp_path, site):
    with Ledger(tmp_path / "work" / site / "state" / "ledger.db") as ledger:
        return len(ledger.entries())


def test_a_liar_is_set_aside_kept_so_by_a_new_process_and_not_asked_again(tmp_path, study, start):
    store = MemoryStore()
    rounds = start(store)
    with lying({"c": "negated"}):
        (total,) = rounds.sum([gram_request()]).values()
    assert total.totals[0] == 3 * 60
    assert rounds.summed == ("a", "b", "d")
    assert [(one.site, one.why) for one in rounds.set_aside] == [("c", "bounds")]
    store.commit(rounds.checkpoint())
    later = start(store, "run-2")
    assert later.is_resumed
    assert later.set_aside == rounds.set_aside
    later.sum([gram_request()])
    assert later.summed == ("a", "b", "d")
    assert (releases(tmp_path, "a"), releases(tmp_path, "c")) == (2, 1)


def test_a_robust_study_trains_nothing(start):
    with pytest.raises(ProtocolError, match="trains nothing"):
        start(MemoryStore()).sum([gram_request()], kind="train.upload")


def test_a_site_refuses_open_sums_to_a_study_that_hides_them_and_the_other_way(start):
    rounds = start(MemoryStore())
    with pytest.raises(ProtocolError):
        SecureRounds.sum(rounds, [gram_request()])
