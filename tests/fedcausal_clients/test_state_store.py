import multiprocessing
from pathlib import Path

import pytest

from fedcausal_clients.state_store import StateStore
from fedcausal_privacy.errors import ProtocolError


def test_folder_and_files_belong_to_their_owner_alone(tmp_path):
    store = StateStore.open(tmp_path / "state")
    store.write("key", b"secret")
    assert store.folder.stat().st_mode & 0o777 == 0o700
    assert (store.folder / "key").stat().st_mode & 0o777 == 0o600


def test_read_what_was_written(tmp_path):
    store = StateStore.open(tmp_path / "state")
    assert store.read("a") is None
    store.write("a", b"1")
    store.write("a", b"2")
    store.write("b", b"")
    assert (store.read("a"), store.read("b")) == (b"2", b"")
    assert store.names() == ("a", "b")
    store.delete("a")
    store.delete("a")
    assert store.names() == ("b",)


def test_a_failed_write_leaves_the_old_content(tmp_path, monkeypatch):
    store = StateStore.open(tmp_path / "state")
    store.write("a", b"old")

    def power_loss(*_):
        raise OSError("power")

    monkeypatch.setattr("os.fsync", power_loss)
    with pytest.raises(OSError, match="power"):
        store.write("a", b"new")
    monkeypatch.undo()
    assert store.read("a") == b"old"
    assert [p.name for p in store.folder.iterdir()] == ["a"]


def test_half_written_secrets_of_a_crash_are_swept(tmp_path):
    store = StateStore.open(tmp_path / "state")
    store.write("a", b"kept")
    (store.folder / ".writing-x1").write_bytes(b"half a key")
    with store.locked():
        assert sorted(p.name for p in store.folder.iterdir()) == [".lock", "a"]
    assert store.read("a") == b"kept"


@pytest.mark.parametrize("name", ["../a", "a/b", "", ".hidden", "a" * 129])
def test_names_cannot_leave_the_folder(tmp_path, name):
    with pytest.raises(ProtocolError):
        StateStore.open(tmp_path / "state").write(name, b"")


def _count(folder: Path, times: int) -> None:
    store = StateStore.open(folder)
    for _ in range(times):
        with store.locked():
            store.write("n", str(int(store.read("n") or b"0") + 1).encode())


def test_the_lock_serialises_processes(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=_count, args=(tmp_path / "s", 20)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert StateStore.open(tmp_path / "s").read("n") == b"40"
