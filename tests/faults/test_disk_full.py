"""A disk that is full, at the coordinator and at a site: nothing half-written, and it goes on.

A small disk is a tmpfs where this process may mount one (CI's root may). Everywhere, a limit on
the size of files stands in for it: the kernel refuses the write in the same place.
"""

import os
import resource
import shutil
import signal
import sqlite3
import subprocess
from contextlib import closing, contextmanager, suppress

import pytest

from fedcausal.errors import FedCausalError, StorageError
from fedcausal_privacy.audit import AuditLog
from fedcausal_privacy.dp.ledger import Ledger
from fedcausal_server.store.session import Session
from fedcausal_server.store.study_store import SqliteStore
from tests.faults.mortal_sites import FOUR, REQUEST, ROWS, make_study, summed

MOUNT, UMOUNT = (shutil.which(name) or name for name in ("mount", "umount"))

pytestmark = pytest.mark.usefixtures("clock")


@contextmanager
def small_files(num_bytes):
    """No file of this process grows beyond a size, for as long as this lasts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


class Limited:
    """A store whose own files stay small; the parties' may grow."""

    def __init__(self, store):
        self.store = store

    def commit(self, changes):
        with small_files(600_000):
            self.store.commit(changes)

    def __getattr__(self, name):
        return getattr(self.store, name)


@contextmanager
def small_disk(folder, kilobytes):
    """A tmpfs on a folder; what is written there is gone afterwards."""
    folder.mkdir(parents=True, exist_ok=True)
    mount = [MOUNT, "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, stderr=subprocess.DEVNULL, check=False).returncode:
        pytest.skip("this process may not mount a disk")
    try:
        yield
    finally:
        subprocess.run([UMOUNT, str(folder)], check=True)


def fill(path):
    """Take all space that is left."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        with suppress(OSError):
            while os.write(descriptor, bytes(4096)):
                pass
    finally:
        os.close(descriptor)


def check_whole(place):
    with closing(sqlite3.connect(place.folder / "journal" / "study.db")) as store:
        assert store.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    for site in FOUR:
        assert AuditLog(path=place.workspace / site / "audit.jsonl").verify() > 0
        with Ledger(place.workspace / site / "state" / "ledger.db") as ledger:
            assert len(ledger.entries()) >= 1


def test_a_coordinator_that_can_write_no_more_goes_on_later(place):
    found = place(make_study())
    with closing(SqliteStore.open(found.folder / "journal")) as store:
        rounds = found.rounds(Limited(store))
        with pytest.raises(StorageError, match="then resume the run"):
            rounds.sum([REQUEST])
    with closing(SqliteStore.open(found.folder / "journal")) as store:
        assert Session(store=store).state() is not None
    assert summed(found) == (4 * ROWS, FOUR)
    check_whole(found)


def test_a_coordinator_on_a_full_disk_goes_on_when_there_is_space(place):
    found = place(make_study())
    with small_disk(found.folder / "journal", 8000):
        filler = found.folder / "journal" / "filler"
        filler.write_bytes(bytes(7_800_000))
        with pytest.raises(StorageError, match=r"\((database or disk is full|disk I/O error)\)"):
            summed(found)
        filler.unlink()
        assert summed(found) == (4 * ROWS, FOUR)
        check_whole(found)


@pytest.mark.parametrize("part", ["state", ""])
def test_a_site_on_a_full_disk_refuses_and_goes_on_when_there_is_space(place, part):
    """Its state, or its audit log: without either nothing leaves."""
    found = place(make_study())
    home = found.workspace / "b"
    kept = {p.relative_to(home): p.read_bytes() for p in home.rglob("*") if p.is_file()}
    with small_disk(home / part, 2000):
        for name, content in kept.items():
            (home / name).parent.mkdir(parents=True, exist_ok=True)
            (home / name).write_bytes(content)
        (home / "state").chmod(0o700)
        filler = home / part / "filler"
        fill(filler)
        with pytest.raises(FedCausalError, match="site-error"):
            summed(found)
        filler.unlink()
        assert summed(found) == (4 * ROWS, FOUR)
        check_whole(found)
