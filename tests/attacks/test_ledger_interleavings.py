"""Crash, retry and parallel runs in any order: the ledger never under-reports, never exceeds."""

import itertools
import multiprocessing

import numpy as np
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


class Unlocked(Dying):
    """Undefended: what was spent is read before the transaction in which the charge is written.

    Between the two another process may charge.
    """

    meanwhile = staticmethod(lambda: None)

    def charge_all(self, charges, *, budgets=()):
        with self._transaction():
            for charge in charges:
                if self._find(charge.run, charge.release) is None:
                    for budget in budgets:
                        self._check_budget(charge.event, budget)
        self.meanwhile()
        return super().charge_all(charges)


class Site:
    """A process: it charges, then releases. What it released is what an attacker has."""

    make = Dying

    def __init__(self, path):
        self.path, self.ledger = path, self.make(path)

    def restart(self):
        self.ledger.close()
        self.ledger = self.make(self.path)

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


class Hasty(Site):
    """Undefended: it sends before it charges, and a crash or a refusal comes too late."""

    def act(self, charges, crash, released):
        if crash == "before":
            return self.restart()
        for charge in charges:
            released[charge.run, charge.release] = charge.event
        self.ledger.dies = crash == "inside"
        try:
            self.ledger.charge_all(charges, budgets=[BUDGET])
        except (Killed, BudgetExceededError):
            return self.restart()
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


def interleave(folder, steps, make=Site):
    sites = [make(folder) for _ in range(3)]
    try:
        walk(sites, steps)
    finally:
        for site in sites:
            site.ledger.close()


def walk(sites, steps):
    """The law after every step: what was released is on record, and what is on record fits."""
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


SCHEDULES = 30
PROCESSES, CHARGES, PATIENCE = 3, 12, 300.0


def broken_by(tmp_path, make):
    """How many of some seeded schedules break the law."""
    rng, broken = np.random.default_rng(17), 0
    crashes = ["no", "no", "before", "inside", "after"]
    for number in range(SCHEDULES):
        steps = [
            (
                int(rng.integers(3)),
                int(rng.integers(6)),
                int(rng.integers(2)),
                int(rng.integers(1, 3)),
                crashes[rng.integers(5)],
            )
            for _ in range(10)
        ]
        try:
            interleave(tmp_path / f"{make.__name__}-{number}.db", steps, make)
        except AssertionError:
            broken += 1
    return broken


def test_a_site_that_sends_before_it_charges_breaks_the_law(tmp_path):
    """The undefended figure: most schedules show it; none does where the charge comes first."""
    assert broken_by(tmp_path, Hasty) > SCHEDULES // 2
    assert broken_by(tmp_path, Site) == 0


def charge_until_refused(path, name, together, charged):
    """One process, which tells the numbers of its charges that went through."""
    numbers = []
    with Ledger(path) as ledger:
        together.wait(PATIENCE)
        for i in range(CHARGES):
            charge = Charge(
                event=EVENTS[i % 2], study="s", run=name, release=f"{i}/gram", part="graph"
            )
            try:
                ledger.charge_all([charge], budgets=[BUDGET])
            except BudgetExceededError:
                break
            numbers.append(i)
    charged.put((name, numbers))


def charged_together(path):
    """Releases of processes that begin at the same moment, on one file."""
    context = multiprocessing.get_context("spawn")
    together, charged = context.Barrier(PROCESSES), context.SimpleQueue()
    processes = [
        context.Process(target=charge_until_refused, args=(path, f"run{i}", together, charged))
        for i in range(PROCESSES)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(PATIENCE)
    assert [process.exitcode for process in processes] == [0] * PROCESSES
    told = dict(charged.get() for _ in processes)
    return {(name, i): EVENTS[i % 2] for name, numbers in told.items() for i in numbers}


def test_processes_that_charge_at_the_same_moment_do_not_exceed(tmp_path):
    """Whatever the operating system makes of it, each charge sees all before it."""
    path = tmp_path / "ledger.db"
    released = charged_together(path)
    with Ledger(path) as ledger:
        assert epsilon_of(released.values(), DELTA) == ledger.spent(DELTA) <= EPSILON
        assert len(released) == len(ledger.entries()) > 3


def test_a_check_outside_the_transaction_lets_two_sites_exceed(tmp_path):
    """The undefended figure, without luck: the second charges between the check and the first."""
    path = tmp_path / "ledger.db"
    with Unlocked(path) as first, Ledger(path) as second:
        alone = Budget(epsilon=epsilon_of(EVENTS[:1], DELTA), delta=DELTA)
        one, other = (
            Charge(event=EVENTS[0], study="s", run=run, release="0/gram", part="graph")
            for run in ("one", "other")
        )
        first.meanwhile = lambda: second.charge_all([other], budgets=[alone])
        first.charge_all([one], budgets=[alone])
        assert first.spent(DELTA) > alone.epsilon
    with Ledger(tmp_path / "locked.db") as ledger:
        ledger.charge_all([one], budgets=[alone])
        with pytest.raises(BudgetExceededError):
            ledger.charge_all([other], budgets=[alone])
        assert ledger.spent(DELTA) == alone.epsilon
