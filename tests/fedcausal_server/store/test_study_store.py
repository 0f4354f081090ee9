import os
import sqlite3
import stat
from contextlib import closing

import pytest

from fedcausal.daemons.processes import Forked
from fedcausal.errors import StorageError
from fedcausal_server.store.study_store import MemoryStore, SqliteStore


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path):
    made = MemoryStore() if request.param == "memory" else SqliteStore.open(tmp_path / "journal")
    with closing(made):
        yield made


def test_entries_are_written_replaced_removed_and_listed(store):
    store.commit({"b/2": b"two", "b/1": b"one", "a": b""})
    assert store.keys("b/") == ("b/1", "b/2")
    assert store.keys("B") == store.keys("%") == ()
    assert (store.read("a"), store.read("b/2"), store.read("c")) == (b"", b"two", None)
    store.commit({"b/2": bytes(range(256)), "b/1": None, "never": None})
    assert store.keys("") == ("a", "b/2")
    assert store.read("b/2") == bytes(range(256))


def test_a_file_for_its_owner_in_wal_with_full_synchronisation(tmp_path):
    with closing(SqliteStore(tmp_path / "study.db")) as store:
        store.commit({"a": b"1"})
        assert stat.S_IMODE((tmp_path / "study.db").stat().st_mode) == 0o600
        pragma = store._connection.execute
        assert pragma("PRAGMA journal_mode").fetchone() == ("wal",)
        assert pragma("PRAGMA synchronous").fetchone() == (2,)
    with closing(SqliteStore(tmp_path / "study.db")) as again:
        assert again.read("a") == b"1"


class Broken(dict):
    def items(self):
        yield "a", b"new"
        raise KeyboardInterrupt


def test_a_commit_that_breaks_leaves_nothing_of_itself(tmp_path):
    with closing(SqliteStore(tmp_path / "study.db")) as store:
        store.commit({"a": b"old"})
        with pytest.raises(KeyboardInterrupt):
            store.commit(Broken())
        assert store.read("a") == b"old"
        store.commit({"b": b"goes on"})


def test_what_was_committed_survives_a_kill(tmp_path):
    def main():
        store = SqliteStore(tmp_path / "study.db")
        store.commit({"a": b"1"})
        os.kill(os.getpid(), 9)

    assert Forked.start(main).wait(30) == -9
    with closing(SqliteStore(tmp_path / "study.db")) as store:
        assert store.read("a") == b"1"


def test_what_is_no_store_is_an_error_with_words(tmp_path):
    (tmp_path / "study.db").write_text("no database at all, only words of somebody" * 20)
    with pytest.raises(StorageError, match=r"study.db: cannot be written or read \(file is not"):
        SqliteStore(tmp_path / "study.db")
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        SqliteStore.open(tmp_path / "file")


def test_a_disk_that_is_full_is_told_and_costs_nothing_that_was_written(tmp_path):
    with closing(SqliteStore(tmp_path / "study.db")) as store:
        store.commit({"a": b"1"})
        (pages,) = store._connection.execute("PRAGMA page_count").fetchone()
        store._connection.execute(f"PRAGMA max_page_count = {pages + 2}")
        with pytest.raises(StorageError, match=r"disk is full\); free space"):
            store.commit({"b": bytes(100_000), "a": b"2"})
        assert store.read("a") == b"1"
        store._connection.execute("PRAGMA max_page_count = 10000")
        store.commit({"b": bytes(100_000)})
        assert store.keys("") == ("a", "b")
    with closing(sqlite3.connect(tmp_path / "study.db")) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)
