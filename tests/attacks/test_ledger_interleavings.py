"""Crash, retry and parallel runs in any order: the ledger never under-reports, never exceeds."""

import itertools
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedcausal_privacy.dp.accountant import epsilon_of
from fedcausal_privacy.dp.events import GaussianRelease
from fedcausal_privacy.dp.ledger import Budget, Charge, Ledger
from fedcausal_privacy.errors import BudgetExceededError

DELTA, EPSILON = 1e-5, 4.0
EVENTS = [
    GaussianRelease(sensitivity=1.0, noise_multiplier=multiplier, name="gram")
    for multiplier in (2.0, 4.0)
]
SETTINGS = settings(
    deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
BUDGET = Budget(epsilon=EPSILON, delta=DELTA)

# Who acts, on which release, with which event, how many releases at once, and where it crashes.
STEP = st.tuples(
    st.integers(0, 2),
    st.integers(0, 5),
    st.sampled_from([0, 1]),
    st.integers(1, 2),
    st.sampled_from(["no", "no", "before", "inside", "after"]),
)


class Killed(BaseException):
    """The process is gone."""


class Dying(Ledger):
    """A ledger whose process may die after its rows were written and before they are kept."""

    dies = False

    def _charge(self, charge, budgets):
        entry = super()._charge(charge, budgets)
        if self.dies:
            raise Killed
        return entry


class Site:
    """A process: it charges, then releases. What it released is what an attacker has."""

    def __init__(self, path):
        self.path, self.ledger = path, Dying(path)

    def restart(self):
        self.ledger.close()
        self.ledger = Dying(self.path)

    def act(self, charges, crash, released):
        if crash == "before":
            return self.restart()
        self.ledger.dies = crash == "inside"
        try:
            self.ledger.charge_all(charges, budgets=[BUDGET])
        except (Killed, BudgetExceededError):
            return self.restart()
        if crash == "after":
            return self.restart()
        for charge in charges:
            released[charge.run, charge.release] = charge.event
        return None


def charges_of(place, event, size):
    """A release has one event for ever: the mechanism that its id names."""
    return [
        Charge(
            event=EVENTS[(place + event * i) % 2 if i else place % 2],
            study="s",
            run=f"run-{(place + i) // 3}",
            release=f"{(place + i) % 3}/gram",
            part="graph",
        )
        for i in range(size)
    ]


def interleave(folder, steps):
    sites = [Site(folder) for _ in range(3)]
    released = {}
    for who, place, event, size, crash in steps:
        charges = charges_of(place, event, size)
        charges = [
            c if (c.run, c.release) not in released else replaced(c, released) for c in charges
        ]
        known = {(e.run, e.release): e.event for e in sites[who].ledger.entries()}
        charges = [replaced(c, known) if (c.run, c.release) in known else c for c in charges]
        sites[who].act(charges, crash, released)
        spent = sites[(who + 1) % 3].ledger.spent(DELTA)
        assert epsilon_of(released.values(), DELTA) <= spent <= EPSILON
        entries = {(e.run, e.release) for e in sites[who].ledger.entries()}
        assert released.keys() <= entries
    for site in sites:
        site.ledger.close()


def replaced(charge, known):
    return Charge(
        event=known[charge.run, charge.release],
        study=charge.study,
        run=charge.run,
        release=charge.release,
        part=charge.part,
    )


def explore(tmp_path, num_examples):
    numbers = itertools.count()

    @settings(SETTINGS, max_examples=num_examples)
    @given(st.lists(STEP, min_size=4, max_size=14))
    def one(steps):
        interleave(tmp_path / f"ledger-{next(numbers)}.db", steps)

    one()


def test_interleavings(tmp_path):
    explore(tmp_path, 20)


@pytest.mark.slow
def test_a_thousand_interleavings(tmp_path):
    explore(tmp_path, 1000)


def test_processes_that_charge_at_the_same_moment_do_not_exceed(tmp_path):
    released, lock = {}, threading.Lock()

    def run(name):
        with Ledger(tmp_path / "ledger.db") as ledger:
            for i in range(12):
                charge = Charge(
                    event=EVENTS[i % 2], study="s", run=name, release=f"{i}/gram", part="graph"
                )
                try:
                    ledger.charge_all([charge], budgets=[BUDGET])
                except BudgetExceededError:
                    return
                with lock:
                    released[name, i] = charge.event

    threads = [threading.Thread(target=run, args=(f"run{i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with Ledger(tmp_path / "ledger.db") as ledger:
        assert epsilon_of(released.values(), DELTA) == ledger.spent(DELTA) <= EPSILON
        assert len(released) == len(ledger.entries()) > 3
