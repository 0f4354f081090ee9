"""The coordinator's processes are killed at a durable step, on a real SuperLink over TLS."""

import json
import os
import subprocess
import sys

import pytest

from fedcausal.daemons.processes import await_until
from fedcausal.run import load_run
from fedcausal.study import Study
from fedcausal_privacy.audit import AuditLog
from fedcausal_privacy.ledger import Ledger
from fedcausal_server.control import is_serving
from fedcausal_server.deployed_runs import prepare_run, submit_run, watch_run
from fedcausal_simulations.made_up import made_up_rows
from fedcausal_simulations.rehearsal import rehearsal
from fedcausal_simulations.simulation import simulate, tables_of
from fedcausal_simulations.workspace import prepare_workspace

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1700)]

SEED, STEPS = 3, ("discovery",)
SITES = ("site_1", "site_2", "site_3")


def small_study():
    kinds = {name: {"kind": "continuous", "bounds": [-10, 10]} for name in "xyz"}
    return Study.model_validate(
        {
            "study": {"name": "small"},
            "variables": kinds,
            "discovery": {"bootstrap": 0, "votes": False},
            "rounds": {"deadline_seconds": 600},
        }
    )


def small_tables():
    rows = made_up_rows(small_study(), seed=SEED, num_rows=600)
    return tables_of(rows, site_column=None, num_sites=3, seed=SEED)


def exact(run):
    return json.dumps(run.result["exact"], sort_keys=True)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    out = tmp_path_factory.mktemp("simulated") / "run"
    return simulate(small_study(), small_tables(), seed=SEED, steps=STEPS, out=out)


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    scratch = tmp_path_factory.mktemp("deployed")
    workspace = scratch / "work"
    prepare_workspace(small_study(), small_tables(), workspace, seed=SEED)
    with rehearsal(workspace, scratch) as deployed:
        yield deployed


def doomed_coordinator(running, at):
    """Start the coordinator anew, with the kill in it."""
    before = running.processes["coordinator"]
    before.terminate()
    before.wait(60)
    home = str(running.home.folder)
    module = ["-m", "tests.faults.killed_coordinator", str(at)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    with (running.logs / "coordinator.log").open("ab") as log:
        running.processes["coordinator"] = subprocess.Popen(
            [sys.executable, *module, "coordinator", "start", home],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    running.await_serving()
    return running.processes["coordinator"]


def releases(running, site):
    with Ledger(running.workspace / site / "state" / "ledger.db") as ledger:
        return [(entry.run, entry.release) for entry in ledger.entries()]


# The journal and the greeting are commits 1 and 2; keys are frozen by 9, uploads come to 12.
@pytest.mark.parametrize("at", [4, 11, 14])
def test_a_killed_coordinator_goes_on_at_the_same_step(running, simulated, at):
    name = f"killed-{at}"
    process = doomed_coordinator(running, at)
    before = {site: releases(running, site) for site in SITES}
    prepare_run(running.home, small_study(), seed=SEED, steps=STEPS, name=name)
    submit_run(running.home, name)
    assert process.wait(600) == -9
    # The SuperLink is its child, and ends with it.
    await_until(lambda: not is_serving(running.home), "the SuperLink's end", seconds=10)
    running.start("coordinator")
    running.await_serving()
    submit_run(running.home, name)
    run = load_run(watch_run(running.home, name, seconds=900, say=print).out)
    assert exact(run) == exact(simulated)
    for site in SITES:
        added = releases(running, site)[len(before[site]) :]
        assert {owner for owner, _ in added} == {run.card["run_id"]}
        # Both Grams of the one round, each once.
        assert len(added) == len(set(added)) == 2
        AuditLog(path=running.workspace / site / "audit.jsonl").verify()
    log = AuditLog(path=run.path / "journal" / "audit.jsonl")
    log.verify()
    events = [json.loads(line)["event"] for line in log.lines()]
    assert events[0] == "study began"
    assert "study resumed" in events
    assert events[-1] == "study finished"
