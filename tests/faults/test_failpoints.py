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
from fedcausal_privacy.dp.ledger import Ledger
from tests.faults.killed_study import SITES

KILLED = -9
MODES, PLACES = ("masked", "two-steward"), ("before", "inside", "after")
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
    check_same(place, whole)
    shutil.rmtree(place)


def check_same(place, whole):
    assert exact(place) == exact(whole)
    for site in SITES:
        assert releases(place, site) == releases(whole, site)
    with closing(sqlite3.connect(place / "out" / "journal" / "study.db")) as store:
        assert store.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    logs = [place / "work" / party / "audit.jsonl" for party in (*SITES, "steward")]
    for path in (*logs, place / "out" / "journal" / "audit.jsonl"):
        assert AuditLog(path=path).verify() > 0


def commits_of(whole):
    """Durable steps of the undisturbed study."""
    return int((whole / "out" / "commits").read_text())


@pytest.mark.parametrize(("at", "when"), FEW)
def test_a_killed_coordinator_goes_on_where_it_was(do, folder, undisturbed, at, when):
    check_survival(do, folder, undisturbed("masked"), "masked", at, when)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("when", PLACES)
def test_at_every_durable_step(do, folder, undisturbed, mode, when):
    whole = undisturbed(mode)
    for at in range(1, commits_of(whole) + 1):
        check_survival(do, folder, whole, mode, at, when)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("when", PLACES)
def test_again_and_again_until_it_is_through(do, folder, undisturbed, mode, when):
    """Killed at the fifth commit of each life: a life gets four steps further, or five."""
    whole, lives, name = undisturbed(mode), 0, f"again-{mode}-{when}"
    while (code := do(name, mode, 5, when)) == KILLED:
        lives += 1
        assert lives < commits_of(whole)
    assert code == 0
    assert lives >= 8
    check_same(folder / name, whole)


@pytest.mark.parametrize("mode", ["masked", pytest.param("two-steward", marks=pytest.mark.slow)])
def test_the_study_has_the_steps_that_are_tested(undisturbed, mode):
    assert commits_of(undisturbed(mode)) >= 40
    assert json.loads((undisturbed(mode) / "out" / "run.json").read_bytes())["rounds"] == 5
