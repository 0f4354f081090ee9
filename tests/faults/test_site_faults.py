"""Sites that are killed: before and after they compute, before and after they answer.

In this process a kill is a site that stops in the middle of a step and says nothing more; what it
had written stays. A quorum ends the round at the deadline and two seconds at the latest, fewer
end it with an error and no total. A site that comes back sends the very bytes it would have sent.
The coordinator's clock is the test's: nobody really waits, and no load makes it late.
"""

import tomllib
from contextlib import closing

import pytest
import tomli_w

from fedcausal.cli import main
from fedcausal.errors import DeadlineError, DisclosureError
from fedcausal_privacy.audit import AuditLog
from fedcausal_privacy.dp.ledger import Ledger
from fedcausal_server.store.study_store import SqliteStore
from fedcausal_server.transport.link import FlowerLink
from tests.faults.mortal_sites import DEADLINE, FOUR, REQUEST, ROWS, make_study, summed

pytestmark = pytest.mark.usefixtures("clock")

PLACES = ("before compute", "after compute", "before send", "after send")


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
    assert not steward.exists() or b"query.decrypt" not in steward.read_bytes()
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


def test_an_approver_who_never_answers_holds_nobody_up(place, clock):
    """The site says so at once, whatever the deadline; once approved, the same study runs."""
    found = place(make_study())
    home = found.workspace / "c"
    site = tomllib.loads((home / "site.toml").read_text())
    site["policy"] |= {"approve": "manual", "approved": []}
    (home / "site.toml").write_text(tomli_w.dumps(site))
    for _ in range(2):
        with pytest.raises(DisclosureError, match="c: study-not-approved"):
            summed(found)
    assert clock.now <= 2
    check_nothing_released(found)
    asked = found.study.hash()
    assert main(["site", "requests", "approve", asked, "--home", str(home), "--quiet"]) == 0
    assert summed(found) == (4 * ROWS, FOUR)


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
