"""The SuperLink answers 500, hangs up, loses answers: a study asks again to its deadline."""

import time

import pytest

from fedcausal.daemons.processes import await_until
from fedcausal.errors import UnreachableError
from fedcausal.results.run import load_run
from fedcausal_privacy.audit import AuditLog
from fedcausal_server.daemon.deployed_runs import prepare_run, submit_run, watch_run
from tests.deployed import (
    SEED,
    SITES,
    deployed,
    entries,
    exact,
    releases,
    simulated,
    small_study,
    start_faulty,
)
from tests.faults.failing_proxy import FailingProxy

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1700)]

DEADLINE = 150
STUDY, UP_TO = small_study(deadline_seconds=DEADLINE), ("discovery",)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return simulated(STUDY, tmp_path_factory.mktemp("simulated") / "run", steps=UP_TO)


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with deployed(STUDY, tmp_path_factory.mktemp("deployed")) as found:
        yield found


@pytest.fixture(scope="module")
def proxy(running):
    with FailingProxy(running.home, seed=5) as found:
        start_faulty(running, "--through", found.address)
        yield found


def begun(running, name):
    """A run whose parties have greeted: from here on there is something to lose."""
    prepare_run(running.home, STUDY, seed=SEED, steps=UP_TO, name=name)
    submit_run(running.home, name)
    await_until(lambda: entries(running.home, name, "session/"), "the greeting", seconds=300)


def faults_for(proxy, fault, seconds):
    before, since = proxy.num_faults, time.monotonic()
    proxy.fault = fault
    await_until(
        lambda: time.monotonic() - since >= seconds and proxy.num_faults > before,
        f"{seconds} s of {fault}",
        seconds=200,
    )
    proxy.fault = None


def check(running, name, alone, before):
    run = load_run(watch_run(running.home, name, seconds=900, say=print).out)
    assert exact(run) == exact(alone)
    assert run.card["sites"] == list(SITES)
    for site in SITES:
        added = releases(running, site)[len(before[site]) :]
        assert {owner for owner, _ in added} == {run.card["run_id"]}
        assert len(added) == len(set(added))
        AuditLog(path=running.workspace / site / "audit.jsonl").verify()
    AuditLog(path=run.path / "journal" / "audit.jsonl").verify()


def test_a_study_goes_on_after_errors_cuts_and_lost_answers(running, proxy, alone):
    before = {site: releases(running, site) for site in SITES}
    begun(running, "disturbed")
    faults_for(proxy, "500", 25)
    faults_for(proxy, "hang up", 10)
    proxy.fault = "lose"
    try:
        check(running, "disturbed", alone, before)
    finally:
        proxy.fault = None
    assert proxy.num_faults >= 10


def test_an_outage_to_the_deadline_ends_with_a_word_and_resume_goes_on(running, proxy, alone):
    before = {site: releases(running, site) for site in SITES}
    begun(running, "ended")
    since, proxy.fault = time.monotonic(), "500"
    try:
        with pytest.raises(
            UnreachableError, match=r"the SuperLink did not .* \(HTTP 500\).* resume"
        ):
            watch_run(running.home, "ended", seconds=600, say=print)
    finally:
        proxy.fault = None
    # Flower's pauses inside one request, and a watcher that looks every second.
    assert DEADLINE - 10 <= time.monotonic() - since <= DEADLINE + 60
    assert not (running.home.run_folder("ended") / "result.json").exists()
    assert entries(running.home, "ended", "session/")
    submit_run(running.home, "ended")
    check(running, "ended", alone, before)
