"""A coordinator's home folder: its file, its keys, its book of parties, its runs."""

import datetime
import fcntl
import os
import re
import secrets
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, Strict, ValidationError, field_validator

from fedcausal.errors import InputError
from fedcausal.study_file.errors import explain, refuse
from fedcausal_privacy.keys.authority_key import lock_key, unlock_key
from fedcausal_privacy.keys.certificates import make_authority, make_server_certificate, write_new
from fedcausal_privacy.keys.enrolment import EnrolmentBook
from fedcausal_privacy.keys.identity import Identity
from fedcausal_server.store.journal import write_whole
from fedcausal_server.store.postgresql_store import check_store_url

__all__ = [
    "CoordinatorConfig",
    "CoordinatorHome",
    "create_home",
    "open_home",
    "read_authority_key",
    "renew_certificate",
]

COORDINATOR_FILE = "coordinator.toml"
LOCAL_HOSTS = ("localhost", "127.0.0.1")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.:-]{0,252}[A-Za-z0-9])?")


class CoordinatorConfig(BaseModel):
    """`[coordinator]` of `coordinator.toml`.

    Attributes
    ----------
    hosts
        Names and addresses under which sites reach the coordinator; the first one stands in
        invitations.
    port
        The one port of sites and operator.
    bind
        `0.0.0.0` (all interfaces) or `127.0.0.1` (behind a proxy on this machine). The operator's
        own requests always come over loopback.
    public_port
        The port in invitations, where a proxy listens on another one.
    metrics_port, metrics_bind
        Where metrics and health checks are served; nowhere without a port.
    store
        A PostgreSQL address for what runs must not lose; SQLite files when left out.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: str = Field(min_length=1, max_length=64)
    hosts: Annotated[tuple[str, ...], Strict(False)] = Field(min_length=1)
    port: int = Field(default=8443, ge=1, le=65535)
    bind: Literal["0.0.0.0", "127.0.0.1"] = "0.0.0.0"  # noqa: S104 - sites come from outside
    public_port: int | None = Field(default=None, ge=1, le=65535)
    metrics_port: int | None = Field(default=None, ge=1, le=65535)
    metrics_bind: Literal["127.0.0.1", "0.0.0.0"] = "127.0.0.1"  # noqa: S104 - in a container
    store: str | None = None

    @field_validator("store")
    @classmethod
    def _database(cls, store: str | None) -> str | None:
        try:
            return None if store is None else check_store_url(store)
        except InputError as error:
            raise refuse(str(error)) from None

    @field_validator("hosts")
    @classmethod
    def _plain(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        wrong = [host for host in hosts if _HOST.fullmatch(host) is None]
        if wrong:
            raise refuse(
                f"expected host names or addresses, got {wrong[0]!r}; "
                'write hosts = ["causal.example.org"]'
            )
        return hosts

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the file of a home folder; every fault names the file and the key."""
        path = folder / COORDINATOR_FILE
        try:
            content = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError):
            raise InputError(
                f"{path}: cannot be read; make a home with `fedcausal coordinator init`"
            ) from None
        except tomllib.TOMLDecodeError as error:
            raise InputError(f"{path}: not valid TOML: {error}") from None
        if set(content) != {"coordinator"} or not isinstance(content["coordinator"], dict):
            raise InputError(f"{path}: expected one section [coordinator], got {sorted(content)}")
        return cls.check(content["coordinator"])

    @classmethod
    def check(cls, content: dict[str, object]) -> Self:
        """The section from its keys."""
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            raise explain(error, cls, f"{COORDINATOR_FILE}: coordinator") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class CoordinatorHome:
    """The paths of a home, and what `coordinator.toml` says."""

    folder: Path
    config: CoordinatorConfig

    @property
    def authority(self) -> Path:
        """The authority's certificate, which every invitation holds."""
        return self.folder / "tls" / "ca.crt"

    @property
    def authority_key(self) -> Path:
        """The authority's private key; needed to make certificates and revocation lists only."""
        return self.folder / "tls" / "ca.key"

    @property
    def certificate(self) -> Path:
        """The server's certificate and its private key, in one file (0600)."""
        return self.folder / "tls" / "server.pem"

    @property
    def client_certificates(self) -> Path:
        """A folder for each party, with the client certificates that were made for it."""
        return self.folder / "tls" / "clients"

    @property
    def revocation_list(self) -> Path:
        """Client certificates that count no longer (CRL), for the proxy."""
        return self.folder / "tls" / "revoked.crl"

    @property
    def audit_log(self) -> Path:
        """What the operator did with parties and certificates, chained."""
        return self.folder / "audit.jsonl"

    @property
    def audit_key(self) -> Path:
        """The Ed25519 key that signs the heads of this coordinator's audit logs (0600)."""
        return self.folder / "state" / "audit.key"

    @property
    def state(self) -> Path:
        """What the daemon keeps: book, database, secrets (mode 0700)."""
        return self.folder / "state"

    @property
    def database(self) -> Path:
        """Flower's own state: nodes, runs, messages in flight."""
        return self.state / "link.db"

    @property
    def link_lock(self) -> Path:
        """A folder that the SuperLink holds for its life."""
        return self.state / "flwr"

    @property
    def operator_token(self) -> Path:
        """What opens the control routes; only the operator's account can read it."""
        return self.state / "operator.token"

    @property
    def task_secret(self) -> Path:
        """What lets the daemon's own worker, and no other process, fetch tasks."""
        return self.state / "tasks.secret"

    @property
    def local_address(self) -> str:
        """Where the operator's own requests go."""
        return f"127.0.0.1:{self.config.port}"

    @property
    def public_address(self) -> str:
        """Where sites go."""
        port = self.config.public_port or self.config.port
        host = self.config.hosts[0]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def run_folder(self, name: str) -> Path:
        """The folder of a run's results and journal."""
        return self.folder / "runs" / name

    def workspace(self, name: str) -> Path:
        """The folder that tells the server app about a run: study, parties, seed."""
        return self.folder / "work" / name

    def book(self) -> EnrolmentBook:
        """Everybody who was invited, as it stands."""
        return _read_book(self.state)

    @contextmanager
    def changed_book(self) -> Iterator[list[EnrolmentBook]]:
        """The book in a list of one: what stands there at the end is written, durably.

        Nobody else changes the book meanwhile; after an exception it is as before.
        """
        descriptor = os.open(self.state / ".book.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            before = _read_book(self.state)
            held = [before]
            yield held
            if held[0] != before:
                write_whole(self.state / _BOOK, held[0].to_bytes())
        finally:
            os.close(descriptor)


_BOOK = "enrolments.json"


def create_home(
    folder: Path,
    *,
    name: str,
    hosts: Sequence[str],
    port: int = 8443,
    bind: str = "0.0.0.0",  # noqa: S104 - sites come from outside
    public_port: int | None = None,
    metrics_port: int | None = None,
    passphrase: str | None = None,
    now: datetime.datetime,
) -> CoordinatorHome:
    """Make a home: authority, server certificate, secrets, an empty book.

    With a `passphrase` the authority's key rests encrypted.

    Raises
    ------
    InputError
        The folder holds a home already, or an argument is wrong; nothing is written then.
    """
    content: dict[str, object] = {"name": name, "hosts": list(hosts), "port": port, "bind": bind}
    ports = {"public_port": public_port, "metrics_port": metrics_port}
    content.update({name: value for name, value in ports.items() if value is not None})
    config = CoordinatorConfig.check(content)
    home = CoordinatorHome(folder=folder, config=config)
    if (folder / COORDINATOR_FILE).exists():
        raise InputError(f"{folder}: holds a coordinator already; name another folder")
    for made in (folder, home.authority.parent, home.state, home.link_lock):
        made.mkdir(parents=True, exist_ok=True, mode=0o700)
        made.chmod(0o700)
    authority, authority_key = make_authority(name, now=now)
    write_new(home.authority, authority, mode=0o644)
    write_new(home.authority_key, lock_key(authority_key, passphrase))
    renew_certificate(home, now=now, passphrase=passphrase)
    write_new(home.operator_token, secrets.token_urlsafe(32).encode())
    write_new(home.task_secret, secrets.token_bytes(32))
    Identity.generate().store(home.audit_key, None)
    write_whole(folder / COORDINATOR_FILE, tomli_w.dumps({"coordinator": content}).encode())
    return home


def read_authority_key(home: CoordinatorHome, passphrase: str | None = None) -> bytes:
    """The authority's private key (PEM), opened with its passphrase if it has one.

    Raises
    ------
    InputError
        It is not in its place, or the passphrase is missing or wrong.
    """
    try:
        content = home.authority_key.read_bytes()
    except FileNotFoundError:
        raise InputError(
            f"{home.authority_key}: the authority's key is away; bring it back first"
        ) from None
    try:
        return unlock_key(content, passphrase)
    except InputError as error:
        raise InputError(f"{home.authority_key}: {error}") from None


def renew_certificate(
    home: CoordinatorHome, *, now: datetime.datetime, passphrase: str | None = None
) -> None:
    """Make the server's certificate anew, from the same authority: sites notice nothing.

    Certificate and key stand in one file, so that a crash never leaves halves of two pairs. The
    SuperLink reads it when it starts; a daemon that serves starts it anew.

    Raises
    ------
    InputError
        The authority's key is not in its place, or does not open.
    """
    authority_key = read_authority_key(home, passphrase)
    names = tuple(dict.fromkeys((*home.config.hosts, *LOCAL_HOSTS)))
    certificate, key = make_server_certificate(
        home.authority.read_bytes(), authority_key, names, now=now
    )
    unfinished = home.certificate.with_suffix(".writing")
    unfinished.unlink(missing_ok=True)
    write_new(unfinished, certificate + key)
    unfinished.replace(home.certificate)


def open_home(folder: Path) -> CoordinatorHome:
    """A home that `create_home` made; `InputError` when a part of it is missing."""
    home = CoordinatorHome(folder=folder, config=CoordinatorConfig.load(folder))
    parts = (home.authority, home.certificate, home.operator_token)
    missing = [str(path) for path in parts if not path.is_file()]
    if missing:
        raise InputError(f"{missing[0]}: the file is missing; restore it or make a new home")
    return home


def _read_book(state: Path) -> EnrolmentBook:
    path = state / _BOOK
    if not path.exists():
        return EnrolmentBook.empty()
    return EnrolmentBook.from_bytes(path.read_bytes())
