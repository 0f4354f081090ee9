import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from fedcausal_privacy.dp.accountant import epsilon_of
from fedcausal_privacy.dp.events import GaussianRelease, NoPrivacy, PoissonSampledGaussian
from fedcausal_privacy.dp.ledger import Budget, Ledger
from fedcausal_privacy.errors import BudgetExceededError, InputError, ProtocolError

DELTA = 1e-5
STEP = PoissonSampledGaussian(sample_rate=0.2, noise_multiplier=4.0, steps=5)
SUM = GaussianRelease(sensitivity=1.0, noise_multiplier=5.0, name="gram")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.sqlite"


def charge(ledger, event, release, *, study="s", run="r", part="model", budgets=()):
    return ledger.charge(event, study=study, run=run, release=release, part=part, budgets=budgets)


def test_entries_come_back_as_charged(path):
    with Ledger(path) as ledger:
        entry = ledger.charge(
            SUM, study="s", run="r", release="gram", part="graph", description="a sum"
        )
        assert ledger.entries() == (entry,)
    assert (entry.event, entry.release, entry.description) == (SUM, "gram", "a sum")
    assert entry.when.endswith("+00:00")


def test_a_ledger_survives_a_restart(path):
    with Ledger(path) as ledger:
        charge(ledger, STEP, "update-0")
        before = ledger.entries()
    with Ledger(path) as ledger:
        assert ledger.entries() == before
        charge(ledger, STEP, "update-1", run="r2", study="s2")
        assert ledger.spent(DELTA) == epsilon_of([STEP, STEP], DELTA)


def test_a_charge_survives_kill(path):
    script = (
        "import os, signal, sys; from pathlib import Path;"
        "from fedcausal_privacy.dp.events import NoPrivacy;"
        "from fedcausal_privacy.dp.ledger import Ledger;"
        "Ledger(Path(sys.argv[1])).charge("
        "NoPrivacy(name='gram'), study='s', run='r', release='x', part='graph');"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    package = Path(__file__).parents[3] / "privacy"
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], env={"PYTHONPATH": str(package)}, check=False
    )
    assert done.returncode == -signal.SIGKILL
    with Ledger(path) as ledger:
        assert [entry.release for entry in ledger.entries()] == ["x"]


def test_the_same_release_is_charged_once(path):
    with Ledger(path) as ledger:
        first = charge(ledger, STEP, "update-0")
        assert charge(ledger, STEP, "update-0") == first
        assert charge(ledger, STEP, "update-0", run="another run") != first
        assert len(ledger.entries()) == 2


def test_the_same_release_may_be_sent_again_from_an_exhausted_budget(path):
    with Ledger(path) as ledger:
        budget = Budget(epsilon=epsilon_of([STEP], DELTA), delta=DELTA)
        first = charge(ledger, STEP, "update-0", budgets=[budget])
        assert charge(ledger, STEP, "update-0", budgets=[budget]) == first


@pytest.mark.parametrize("change", [{"study": "s2"}, {"part": "graph"}, {"event": SUM}])
def test_a_release_id_names_one_release(path, change):
    with Ledger(path) as ledger:
        charge(ledger, STEP, "update-0")
        with pytest.raises(ProtocolError, match="one release"):
            charge(ledger, release="update-0", **{"event": STEP, **change})


def test_a_budget_is_never_exceeded_and_asking_changes_nothing(path):
    with Ledger(path) as ledger:
        budget = Budget(epsilon=epsilon_of([STEP] * 3, DELTA), delta=DELTA)
        for number in range(3):
            assert not ledger.would_exceed(STEP, budget)
            charge(ledger, STEP, f"update-{number}", budgets=[budget])
        before = ledger.entries()
        assert ledger.would_exceed(STEP, budget)
        with pytest.raises(BudgetExceededError, match="Nothing was drawn"):
            charge(ledger, STEP, "update-3", budgets=[budget])
        assert ledger.entries() == before
        assert ledger.spent(DELTA) <= budget.epsilon


def test_a_refused_charge_leaves_the_ledger_usable(path):
    with Ledger(path) as ledger:
        with pytest.raises(BudgetExceededError):
            charge(ledger, STEP, "a", budgets=[Budget(epsilon=0.0, delta=DELTA)])
        assert charge(ledger, STEP, "a").number == 1


def test_budgets_cover_their_own_study_and_part(path):
    one = epsilon_of([STEP], DELTA)
    with Ledger(path) as ledger:
        part = Budget(epsilon=one, delta=DELTA, study="s", part="model")
        charge(ledger, STEP, "a", budgets=[part])
        charge(ledger, STEP, "b", part="graph", budgets=[part])
        charge(ledger, STEP, "c", study="s2", run="r2", budgets=[part])
        with pytest.raises(BudgetExceededError):
            charge(ledger, STEP, "d", budgets=[part])
        with pytest.raises(BudgetExceededError):
            charge(ledger, STEP, "e", part="effects", budgets=[Budget(epsilon=one, delta=DELTA)])
        assert ledger.spent(DELTA, study="s", part="model") == one


def test_releases_without_privacy_are_kept_but_cost_no_epsilon(path):
    with Ledger(path) as ledger:
        entry = charge(ledger, NoPrivacy(name="gram"), "gram", part="graph")
        charge(ledger, STEP, "update-0", budgets=[Budget(epsilon=5.0, delta=DELTA)])
        assert ledger.unprotected() == (entry,)
        assert ledger.spent(DELTA) == epsilon_of([STEP], DELTA)
        assert not ledger.would_exceed(NoPrivacy(name="x"), Budget(epsilon=0.0, delta=DELTA))


def test_parallel_charges_stay_within_the_budget(path):
    budget = Budget(epsilon=epsilon_of([STEP] * 4, DELTA), delta=DELTA)
    outcomes = []

    def site(name):
        with Ledger(path) as ledger:
            for number in range(3):
                try:
                    charge(ledger, STEP, f"{name}-{number}", budgets=[budget])
                    outcomes.append(True)
                except BudgetExceededError:
                    outcomes.append(False)

    threads = [threading.Thread(target=site, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count(True) == 4
    with Ledger(path) as ledger:
        assert len(ledger.entries()) == 4
        assert ledger.spent(DELTA) <= budget.epsilon


def test_only_the_owner_may_read_the_file(path):
    with Ledger(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(("epsilon", "delta"), [(-1.0, 1e-5), (1.0, 0.0), (float("nan"), 1e-5)])
def test_impossible_budgets_are_refused(epsilon, delta):
    with pytest.raises(InputError):
        Budget(epsilon=epsilon, delta=delta)


class _CrashError(Exception):
    pass


class _Process:
    """A site's process: charges, draws, sends, and may die at any of these moments."""

    def __init__(self, path):
        self.path, self.ledger = path, Ledger(path)

    def release(self, study, release, moment, sent):
        """Charge and send one release; `moment` says where the process dies, None: nowhere."""
        if moment == "before charging":
            raise _CrashError
        if moment == "inside the transaction":
            found = self.ledger._find
            calls = iter([found])

            def die(*arguments):
                known = next(calls, None)
                if known is None:
                    raise _CrashError
                return known(*arguments)

            self.ledger._find = die
        self.ledger.charge(
            RELEASE,
            study=study,
            run=study,
            release=release,
            part="graph",
            budgets=[Budget(epsilon=TOTAL, delta=1e-5, study=study)],
        )
        if moment == "after charging":
            raise _CrashError
        sent.append(release)
        if moment == "after sending":
            raise _CrashError

    def restart(self):
        self.ledger.close()
        self.ledger = Ledger(self.path)


RELEASE = GaussianRelease(sensitivity=1.0, noise_multiplier=8.0, name="noisy_gram")
TOTAL = 0.8
MOMENTS = (
    None,
    None,
    "before charging",
    "inside the transaction",
    "after charging",
    "after sending",
)


@pytest.mark.parametrize("seed", range(10))
def test_no_interleaving_of_crashes_retries_and_parallel_runs_under_reports(tmp_path, seed):
    """100 schedules per seed, 1000 in all, each of 8 moves by two processes on one file."""
    rng = np.random.default_rng(seed)
    processes = [_Process(tmp_path / "ledger.db"), _Process(tmp_path / "ledger.db")]
    for schedule in map(str, range(100)):
        sent, refused, tried = [], 0, set()
        for _ in range(8):
            process = processes[rng.integers(2)]
            release = str(rng.integers(5))  # an old one is a retry, or the other's at work
            tried.add(release)
            try:
                process.release(schedule, release, MOMENTS[rng.integers(len(MOMENTS))], sent)
            except _CrashError:
                process.restart()
            except BudgetExceededError:
                refused += 1
        entries = processes[0].ledger.entries(study=schedule)
        charged = [entry.release for entry in entries]
        assert set(sent) <= set(charged) <= tried
        assert len(charged) == len(set(charged))
        spent = processes[1].ledger.spent(1e-5, study=schedule)
        assert epsilon_of([RELEASE] * len(set(sent)), 1e-5) <= spent <= TOTAL
        assert spent == epsilon_of([RELEASE] * len(charged), 1e-5)
        if refused:
            assert epsilon_of([RELEASE] * (len(charged) + 1), 1e-5) > TOTAL
    for process in processes:
        process.ledger.close()
