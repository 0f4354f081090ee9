"""The coordinator's processes are killed at a durable step, on a real SuperLink over TLS."""

import json

import pytest

from fedcausal.daemons.processes import await_until
from fedcausal.results.run import load_run
from fedcausal_privacy.audit import AuditLog
from fedcausal_server.daemon.control import is_serving
from fedcausal_server.daemon.deployed_runs import prepare_run, submit_run, watch_run
from tests.deployed import (
    SEED,
    SITES,
    deployed,
    exact,
    releases,
    simulated,
    small_study,
    start_faulty,
)
from tests.faults.faulty_coordinator import STEPS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1700)]

STUDY, UP_TO = small_study(), ("discovery",)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return simulated(STUDY, tmp_path_factory.mktemp("simulated") / "run", steps=UP_TO)


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with deployed(STUDY, tmp_path_factory.mktemp("deployed")) as found:
        yield found


@pytest.mark.parametrize("step", STEPS)
def test_a_killed_coordinator_goes_on_at_the_same_step(running, alone, step):
    name = f"killed-{step.replace(' ', '-')}"
    process = start_faulty(running, "--kill", step)
    before = {site: releases(running, site) for site in SITES}
    prepare_run(running.home, STUDY, seed=SEED, steps=UP_TO, name=name)
    submit_run(running.home, name)
    assert process.wait(600) == -9
    # The SuperLink is its child, and ends with it.
    await_until(lambda: not is_serving(running.home), "the SuperLink's end", seconds=10)
    running.start("coordinator")
    running.await_serving()
    submit_run(running.home, name)
    run = load_run(watch_run(running.home, name, seconds=900, say=print).out)
    assert exact(run) == exact(alone)
    charged = set()
    for site in SITES:
        added = releases(running, site)[len(before[site]) :]
        assert {owner for owner, _ in added} == {run.card["run_id"]}
        # Every release of the run once, and the same at every site.
        assert len(added) == len(set(added))
        charged.add(frozenset(added))
        AuditLog(path=running.workspace / site / "audit.jsonl").verify()
    assert len(charged) == 1
    log = AuditLog(path=run.path / "journal" / "audit.jsonl")
    log.verify()
    events = [json.loads(line)["event"] for line in log.lines()]
    assert events[0] == "study began"
    assert "study resumed" in events
    assert events[-1] == "study finished"
