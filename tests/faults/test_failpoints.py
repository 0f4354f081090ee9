"""The coordinator is killed (SIGKILL) at a durable step, in a fork: `resume` changes nothing.

Law: the exact part of the result is the undisturbed one byte for byte, every site's ledger holds
each release once, the stores are whole, and every audit log verifies.
"""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import pytest

from fedcausal_privacy.audit import AuditLog
from fedcausal_privacy.canonical import canonical_json
from fedcausal_privacy.ledger import Ledger
from tests.faults.killed_study import SITES

KILLED = -9
# Commits of the undisturbed study; `test_the_study_has_the_steps_that_are_tested` counts them.
STEPS = {"masked": 42, "two-steward": 43}
# Before an upload is written down, and inside the commit of a release with its checkpoint.
FEW = [(14, "before"), (17, "inside")]


@pytest.fixture(scope="module")
def folder():
    """In memory where there is such a disk: what survives a kill needs no platter."""
    memory = Path("/dev/shm")  # noqa: S108
    place = memory if memory.is_dir() and os.access(memory, os.W_OK) else None
    made = Path(tempfile.mkdtemp(prefix="fedcausal-kill-", dir=place))
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def child(folder):
    """A fresh interpreter without threads, whose forks are the coordinators."""
    command = [sys.executable, "-m", "tests.faults.killed_study", str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.stdin.close()
        process.wait(60)


@pytest.fixture(scope="module")
def do(child):
    def do(name, mode, at=0, when=""):
        child.stdin.write(json.dumps({"name": name, "mode": mode, "at": at, "when": when}) + "\n")
        child.stdin.flush()
        return json.loads(child.stdout.readline())["code"]

    return do


@pytest.fixture(scope="module")
def undisturbed(do, folder):
    found = {}

    def of(mode):
        if mode not in found:
            assert do(f"whole-{mode}", mode) == 0
            found[mode] = folder / f"whole-{mode}"
        return found[mode]

    return of


def exact(place):
    return canonical_json(json.loads((place / "out" / "result.json").read_bytes())["exact"])


def releases(place, site):
    with Ledger(place / "work" / site / "state" / "ledger.db") as ledger:
        return sorted(entry.release for entry in ledger.entries())


def check_survival(do, folder, whole, mode, at, when):
    name = f"{mode}-{at}-{when}"
    place = folder / name
    assert do(name, mode, at, when) == KILLED
    assert not (place / "out" / "result.json").exists()
    assert do(name, mode) == 0
    assert exact(place) == exact(whole)
    for site in SITES:
        assert releases(place, site) == releases(whole, site)
    with closing(sqlite3.connect(place / "out" / "journal" / "study.db")) as store:
        assert store.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    logs = [place / "work" / party / "audit.jsonl" for party in (*SITES, "steward")]
    for path in (*logs, place / "out" / "journal" / "audit.jsonl"):
        assert AuditLog(path=path).verify() > 0
    shutil.rmtree(place)


@pytest.mark.parametrize(("at", "when"), FEW)
def test_a_killed_coordinator_goes_on_where_it_was(do, folder, undisturbed, at, when):
    check_survival(do, folder, undisturbed("masked"), "masked", at, when)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("mode", "when"),
    [("masked", "before"), ("masked", "inside"), ("masked", "after"), ("two-steward", "before")],
)
def test_at_every_durable_step(do, folder, undisturbed, mode, when):
    for at in range(1, STEPS[mode] + 1):
        check_survival(do, folder, undisturbed(mode), mode, at, when)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_again_and_again_until_it_is_through(do, folder, undisturbed):
    """Killed at the fifth commit of each life: a life gets four steps further."""
    whole, lives = undisturbed("masked"), 0
    while (code := do("again", "masked", 5, "before")) == KILLED:
        lives += 1
        assert lives < STEPS["masked"]
    assert code == 0
    assert lives >= 8
    assert exact(folder / "again") == exact(whole)
    for site in SITES:
        assert releases(folder / "again", site) == releases(whole, site)


@pytest.mark.parametrize("mode", ["masked", pytest.param("two-steward", marks=pytest.mark.slow)])
def test_the_study_has_the_steps_that_are_tested(undisturbed, mode):
    out = undisturbed(mode) / "out"
    assert int((out / "commits").read_text()) == STEPS[mode] >= 40
    assert json.loads((out / "run.json").read_bytes())["rounds"] == 5
