"""A coordinator's home in one file, and back: whole while it serves, checked before it counts."""

import fcntl
import io
import json
import os
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from fedcausal.errors import InputError, ProtocolError
from fedcausal_privacy.audit import AuditLog
from fedcausal_privacy.audit_head import head_path
from fedcausal_privacy.canonical import canonical_json, sha256_hex
from fedcausal_server.daemon.home import COORDINATOR_FILE, CoordinatorHome
from fedcausal_server.store.session import Session
from fedcausal_server.store.study_store import STORE_FILE, SqliteStore

__all__ = ["BackupReport", "back_up", "restore"]

FORMAT = "fedcausal-backup-1"
MANIFEST = "MANIFEST.json"
KEYS = "keys.sealed"
# Whoever has these is the coordinator: they leave only under a passphrase.
SECRET_FILES = (
    "tls/ca.key",
    "tls/server.pem",
    "state/audit.key",
    "state/operator.token",
    "state/tasks.secret",
)
MIN_PASSPHRASE = 12
AUDIT_SUFFIX = ".jsonl"
DATABASE_SUFFIX = ".db"
# Locks, process ids and what SQLite or a crash left beside a file are no state.
_NO_STATE = ("-wal", "-shm", ".writing", ".pid", ".lock")


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupReport:
    """What is in a backup: files, runs, lines of audit logs, and whether the keys are."""

    files: int
    runs: tuple[str, ...]
    audit_lines: int
    has_keys: bool


def back_up(home: CoordinatorHome, file: Path, *, passphrase: str = "") -> BackupReport:
    """Write a home into a new file (mode 0600); the coordinator may be serving meanwhile.

    Databases are copied by SQLite's own online backup, audit logs with their heads under the
    writers' lock. The keys go along only with a passphrase, encrypted (scrypt, AES-256-GCM);
    without one keep `tls/` and the secrets of `state/` elsewhere.

    Raises
    ------
    InputError
        The file exists, or the passphrase is too short; nothing is written.
    ProtocolError
        An audit log of the home does not verify: a backup of it would vouch for it.
    """
    if passphrase and len(passphrase) < MIN_PASSPHRASE:
        raise InputError(f"passphrase: expected {MIN_PASSPHRASE} characters or more")
    if file.exists():
        raise InputError(f"{file}: expected a new file, found one; name another")
    parts: dict[str, bytes] = {}
    lines = 0
    for path in _state_files(home.folder):
        name = path.relative_to(home.folder).as_posix()
        if name in SECRET_FILES:
            continue
        if path.suffix == AUDIT_SUFFIX:
            parts |= _audit_parts(path, name)
            lines += AuditLog(path=path).check().lines
        elif path.suffix == DATABASE_SUFFIX:
            parts[name] = _database(path)
        elif name not in parts:
            parts[name] = _without_key(path, name)
    if passphrase:
        parts[KEYS] = _sealed_keys(home.folder, passphrase)
    _write_archive(file, parts)
    return _report(parts, lines)


def restore(file: Path, folder: Path, *, passphrase: str = "") -> BackupReport:
    """Make a home of a backup, in a folder that is not there yet.

    Every file is compared with the manifest, every database and every audit log is checked before
    the folder appears. Runs that were in flight are ended: their sites may have gone on since, so
    that a resumed run asks for its open round under a fresh run id.

    Raises
    ------
    InputError
        The folder exists, the file is no backup or was changed, or the passphrase is wrong.
    ProtocolError
        An audit log does not verify.
    """
    if folder.exists():
        raise InputError(f"{folder}: expected no folder, found one; nothing is overwritten")
    parts = _read_archive(file)
    has_keys = KEYS in parts
    if has_keys and passphrase:
        parts |= _opened_keys(parts[KEYS], passphrase)
    parts.pop(KEYS, None)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fedcausal-", dir=folder.parent) as name:
        place = Path(name) / "home"
        for part, content in parts.items():
            _put(place / part, content)
        (place / "state" / "flwr").mkdir(mode=0o700, parents=True, exist_ok=True)
        lines = _checked(place)
        place.rename(folder)
    return _report({**parts, **({KEYS: b""} if has_keys and passphrase else {})}, lines)


def _state_files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        is_file = path.is_file() and not path.is_symlink()
        # Flower's own folder holds caches and a lock.
        if is_file and not path.name.endswith(_NO_STATE) and path.parent.name != "flwr":
            yield path


def _audit_parts(path: Path, name: str) -> dict[str, bytes]:
    with path.open("rb") as log:
        fcntl.flock(log, fcntl.LOCK_SH)
        parts = {name: log.read()}
        head = head_path(path)
        if head.exists():
            parts[str(PurePosixPath(name).with_suffix(".head"))] = head.read_bytes()
    return parts


def _database(path: Path) -> bytes:
    """A consistent copy of a database that others may be writing to."""
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as source,
    ):
        copy = Path(folder) / "copy.db"
        with closing(sqlite3.connect(copy)) as target:
            source.backup(target)
            # One file, without a log beside it.
            target.execute("PRAGMA journal_mode = DELETE")
        return copy.read_bytes()


def _write_archive(file: Path, parts: dict[str, bytes]) -> None:
    hashes = {name: sha256_hex(content) for name, content in parts.items()}
    manifest = canonical_json({"format": FORMAT, "files": dict(hashes)})
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            with tarfile.open(fileobj=stream, mode="w") as archive:
                for name, content in {MANIFEST: manifest, **parts}.items():
                    entry = tarfile.TarInfo(name)
                    entry.size, entry.mode = len(content), 0o600
                    archive.addfile(entry, io.BytesIO(content))
            stream.flush()
            os.fsync(stream.fileno())
    except BaseException:
        file.unlink()
        raise


def _read_archive(file: Path) -> dict[str, bytes]:
    """The files of a backup by name; only plain files with plain names that the manifest lists."""
    try:
        with tarfile.open(file, "r:") as archive:
            found = {entry.name: archive.extractfile(entry) for entry in archive if entry.isfile()}
            contents = {name: part.read() for name, part in found.items() if part is not None}
        manifest = json.loads(contents.pop(MANIFEST))
        listed = dict(manifest["files"])
        if manifest["format"] != FORMAT:
            raise InputError(f"{file}: a backup of another version; restore it with that one")
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror}); check the path") from None
    except (tarfile.TarError, KeyError, ValueError, TypeError):
        raise InputError(f"{file}: is no backup, or is cut off; take another copy") from None
    changed = [n for n in {*listed, *contents} if listed.get(n) != _hash_of(contents.get(n))]
    strange = [n for n in contents if n.startswith("/") or ".." in PurePosixPath(n).parts]
    if changed or strange:
        raise InputError(
            f"{file}: {sorted(changed or strange)[0]} is not as it was written; take another copy"
        )
    return contents


def _hash_of(content: bytes | None) -> str:
    return "" if content is None else sha256_hex(content)


def _put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _checked(place: Path) -> int:
    """Check databases and logs of a restored home, end its open runs; lines of its logs."""
    if not (place / COORDINATOR_FILE).is_file():
        raise InputError(f"the backup has no {COORDINATOR_FILE}; it is not a coordinator's")
    for path in place.rglob(f"*{DATABASE_SUFFIX}"):
        with _readable(path), closing(sqlite3.connect(path)) as database:
            if database.execute("PRAGMA integrity_check").fetchone() != ("ok",):
                raise InputError(f"{path.name}: the database is damaged; take another copy")
        if path.name == STORE_FILE:
            with closing(SqliteStore(path)) as store:
                Session(store=store).end()
    return sum(AuditLog(path=path).check().lines for path in place.rglob(f"*{AUDIT_SUFFIX}"))


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error:
        raise InputError(f"{path.name}: the database is damaged; take another copy") from None


def _without_key(path: Path, name: str) -> bytes:
    """A file that goes along in clear: one with a private key in it must not."""
    content = path.read_bytes()
    if b"PRIVATE KEY" in content:
        raise InputError(
            f"{name}: holds a private key that is none of the coordinator's; move it out of the "
            "home before backing up"
        )
    return content


def _sealed_keys(folder: Path, passphrase: str) -> bytes:
    found = [name for name in SECRET_FILES if (folder / name).is_file()]
    content = canonical_json({name: (folder / name).read_bytes().hex() for name in found})
    salt, nonce = os.urandom(16), os.urandom(12)
    return salt + nonce + AESGCM(_key(passphrase, salt)).encrypt(nonce, content, FORMAT.encode())


def _opened_keys(sealed: bytes, passphrase: str) -> dict[str, bytes]:
    salt, nonce, content = sealed[:16], sealed[16:28], sealed[28:]
    try:
        opened = AESGCM(_key(passphrase, salt)).decrypt(nonce, content, FORMAT.encode())
    except (InvalidTag, ValueError):
        raise InputError("passphrase: it does not open the keys of this backup") from None
    keys = {str(name): bytes.fromhex(str(text)) for name, text in json.loads(opened).items()}
    if not set(keys) <= set(SECRET_FILES):
        raise ProtocolError("the backup's keys have names that no key here has")
    return keys


def _key(passphrase: str, salt: bytes) -> bytes:
    """RFC 7914 (scrypt) with OWASP's parameters for stored passwords: 128 MiB, about 0.5 s."""
    return Scrypt(salt=salt, length=32, n=2**17, r=8, p=1).derive(passphrase.encode())


def _report(parts: dict[str, bytes], lines: int) -> BackupReport:
    tops = {PurePosixPath(name).parts[:2] for name in parts if name.startswith("work/")}
    return BackupReport(
        files=sum(name != KEYS and name not in SECRET_FILES for name in parts),
        runs=tuple(sorted(top[1] for top in tops)),
        audit_lines=lines,
        has_keys=KEYS in parts,
    )
