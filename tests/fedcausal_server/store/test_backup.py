import io
import json
import os
import stat
import tarfile
from contextlib import closing

import pytest

from fedcausal.errors import InputError, ProtocolError
from fedcausal_privacy.audit import AuditLog
from fedcausal_privacy.keys.identity import Identity
from fedcausal_privacy.secure_sum import aggregator
from fedcausal_server.daemon.home import open_home
from fedcausal_server.store.backup import MANIFEST, SECRET_FILES, back_up, restore
from fedcausal_server.store.session import Session
from fedcausal_server.store.study_store import SqliteStore

PASSPHRASE = "nine lives of a cat"


@pytest.fixture
def home(coordinator_home, join):
    """A coordinator with parties, a signed log, and a run in the middle of its second round."""
    join("north")
    folder = coordinator_home.run_folder("small-1") / "journal"
    with closing(SqliteStore.open(folder)) as store:
        state = aggregator.begin(run_id="r", study_hash="h", sites=("a", "b", "c"), steward="s")
        Session(store=store).begin(state, {"a": 1}, ())
        store.commit({"round/0001": b"first"})
    log = AuditLog(path=folder / "audit.jsonl", signer=Identity.generate())
    for number in range(3):
        log.append("released", {"round": number})
    workspace = coordinator_home.workspace("small-1")
    workspace.mkdir(parents=True)
    (workspace / "options.json").write_text("{}")
    return coordinator_home


def contents(file):
    with tarfile.open(file) as archive:
        return {entry.name: archive.extractfile(entry).read() for entry in archive}


def test_a_home_comes_back_with_its_keys_its_book_and_its_rounds(home, tmp_path):
    file, there = tmp_path / "backup.tar", tmp_path / "elsewhere" / "c"
    report = back_up(home, file, passphrase=PASSPHRASE)
    assert (report.runs, report.audit_lines, report.has_keys) == (("small-1",), 4, True)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert restore(file, there, passphrase=PASSPHRASE) == report
    again = open_home(there)
    assert again.book() == home.book()
    for name in SECRET_FILES:
        assert (there / name).read_bytes() == (home.folder / name).read_bytes()
        assert stat.S_IMODE((there / name).stat().st_mode) == 0o600
    with closing(SqliteStore.open(again.run_folder("small-1") / "journal")) as store:
        assert store.keys("") == ("round/0001",)
    with closing(SqliteStore.open(home.run_folder("small-1") / "journal")) as store:
        assert Session(store=store).state() is not None


def test_a_key_that_nobody_knows_of_is_not_copied_in_clear(home, tmp_path):
    (home.folder / "tls" / "old.pem").write_text("-----BEGIN PRIVATE KEY-----\nMC4\n")
    with pytest.raises(InputError, match=r"tls/old\.pem"):
        back_up(home, tmp_path / "backup.tar")
    assert not (tmp_path / "backup.tar").exists()


def test_keys_leave_under_a_passphrase_only(home, tmp_path):
    secrets = [(home.folder / name).read_bytes() for name in SECRET_FILES]
    for number, passphrase in enumerate(("", PASSPHRASE)):
        file = tmp_path / f"{number}.tar"
        back_up(home, file, passphrase=passphrase)
        assert not any(secret in file.read_bytes() for secret in secrets)
    with pytest.raises(InputError, match="12 characters or more"):
        back_up(home, tmp_path / "short.tar", passphrase="short")
    assert not (tmp_path / "short.tar").exists()
    with pytest.raises(InputError, match="does not open the keys"):
        restore(tmp_path / "1.tar", tmp_path / "wrong", passphrase="another passphrase")
    without = restore(tmp_path / "1.tar", tmp_path / "without")
    assert not without.has_keys
    with pytest.raises(InputError, match="missing"):
        open_home(tmp_path / "without")


def test_a_store_is_copied_whole_while_somebody_writes(home, tmp_path):
    with closing(SqliteStore.open(home.run_folder("small-1") / "journal")) as store:
        store.commit({"round/0002": b"second"})
        back_up(home, tmp_path / "b.tar")
        store.commit({"round/0003": b"third"})
    restore(tmp_path / "b.tar", tmp_path / "there")
    with closing(SqliteStore.open(tmp_path / "there" / "runs" / "small-1" / "journal")) as store:
        assert store.keys("") == ("round/0001", "round/0002")


def test_nothing_is_overwritten(home, tmp_path):
    file = tmp_path / "b.tar"
    back_up(home, file)
    with pytest.raises(InputError, match="expected a new file"):
        back_up(home, file)
    (tmp_path / "c2").mkdir()
    with pytest.raises(InputError, match="nothing is overwritten"):
        restore(file, tmp_path / "c2")
    assert list((tmp_path / "c2").iterdir()) == []


def rewritten(file, change):
    """The backup with other files in it, and (as a forger would) a manifest of before."""
    parts = contents(file)
    change(parts)
    made = file.with_name("changed.tar")
    with tarfile.open(made, "w") as archive:
        for name, content in parts.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return made


@pytest.mark.parametrize(
    "change",
    [
        lambda parts: parts.update({"coordinator.toml": b"[coordinator]"}),
        lambda parts: parts.pop("state/enrolments.json"),
        lambda parts: parts.update({"../outside": b"x"}),
        lambda parts: parts.update({"work/new": b"x"}),
        lambda parts: parts.pop(MANIFEST),
        lambda parts: parts.update({MANIFEST: b"{}"}),
    ],
)
def test_a_backup_that_was_changed_is_refused(home, tmp_path, change):
    back_up(home, tmp_path / "b.tar")
    with pytest.raises(InputError):
        restore(rewritten(tmp_path / "b.tar", change), tmp_path / "there")
    assert not (tmp_path / "there").exists()
    assert not (tmp_path / "outside").exists()


def test_a_cut_backup_and_other_files_are_refused(home, tmp_path):
    back_up(home, tmp_path / "b.tar")
    whole = (tmp_path / "b.tar").read_bytes()
    for size in (0, 100, len(whole) // 2):
        (tmp_path / "cut.tar").write_bytes(whole[:size])
        with pytest.raises(InputError):
            restore(tmp_path / "cut.tar", tmp_path / "there")
    with pytest.raises(InputError, match="cannot be read"):
        restore(tmp_path / "nowhere.tar", tmp_path / "there")


def test_a_log_that_was_changed_is_neither_backed_up_nor_restored(home, tmp_path):
    log = home.run_folder("small-1") / "journal" / "audit.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    back_up(home, tmp_path / "good.tar")
    log.write_bytes(b"".join(lines[:-1]))
    with pytest.raises(ProtocolError, match="missing at the end"):
        back_up(home, tmp_path / "bad.tar")
    assert not (tmp_path / "bad.tar").exists()

    def forge(parts):
        import hashlib

        name = "runs/small-1/journal/audit.jsonl"
        parts[name] = b"".join(lines[1:])
        manifest = json.loads(parts[MANIFEST])
        manifest["files"][name] = hashlib.sha256(parts[name]).hexdigest()
        parts[MANIFEST] = json.dumps(manifest).encode()

    with pytest.raises(ProtocolError, match="chain is broken"):
        restore(rewritten(tmp_path / "good.tar", forge), tmp_path / "there")
    assert not (tmp_path / "there").exists()
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".fedcausal")]
