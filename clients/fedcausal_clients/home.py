"""A role's home folder: site file, private state, identity, ledger, audit log and error log."""

import logging
import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fedcausal.errors import InputError
from fedcausal_clients.audit import AuditLog
from fedcausal_clients.egress import Gate
from fedcausal_clients.site_config import SiteConfig
from fedcausal_clients.state_store import StateStore
from fedcausal_privacy.identity import Identity
from fedcausal_privacy.ledger import Ledger

__all__ = ["Home", "approve", "create_identity", "note_error", "open_home"]

STATE_FOLDER = "state"
IDENTITY_FILE = "identity.pem"
LEDGER_FILE = "ledger.db"
AUDIT_FILE = "audit.jsonl"
ERROR_FILE = "errors.log"
_APPROVED = "approved-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """An open home folder."""

    folder: Path
    config: SiteConfig
    store: StateStore
    identity: Identity
    gate: Gate

    @property
    def name(self) -> str:
        """The name under which this role takes part."""
        return self.config.site.name

    @property
    def trusted(self) -> dict[str, str] | None:
        """Public keys that this role accepts, its own among them; None: any (simulated only)."""
        if self.config.trust is None:
            return None
        return {**self.config.trust, self.name: self.identity.public}


@contextmanager
def open_home(folder: Path) -> Iterator[Home]:
    """Open a home for one message: no other process of the role works on it meanwhile."""
    config = SiteConfig.load(folder)
    store = StateStore.open(folder / STATE_FOLDER)
    with store.locked(), Ledger(store.folder / LEDGER_FILE) as ledger:
        gate = Gate(
            site=config.site.name,
            policy=config.policy,
            approved=_approved(config, store),
            ledger=ledger,
            audit=AuditLog(path=folder / AUDIT_FILE),
            store=store,
        )
        yield Home(
            folder=folder,
            config=config,
            store=store,
            identity=_identity(folder, config, store),
            gate=gate,
        )


def create_identity(folder: Path, *, passphrase: str | None = None) -> str:
    """Make the role's long-term key, once; return its public half (64 hexadecimal digits).

    Without a passphrase the key file is protected by its mode (0600) alone.
    """
    path = StateStore.open(folder / STATE_FOLDER).folder / IDENTITY_FILE
    if not path.exists():
        Identity.generate().store(path, passphrase)
    return Identity.load(path, passphrase).public


def approve(folder: Path, study_hash: str) -> None:
    """Record the operator's approval of one study (for `approve = "manual"`)."""
    with open_home(folder) as home:
        home.store.write(_APPROVED + study_hash, b"")
        home.gate.audit.append("approved", {"study": study_hash})


def note_error(folder: Path, error: BaseException) -> None:
    """Write an unforeseen error into the role's own error log, which never leaves the site."""
    lines = "".join(traceback.format_exception(error))
    try:
        descriptor = os.open(folder / ERROR_FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "a") as file:
            file.write(lines)
    except OSError:
        logging.getLogger(__name__).error("the error log %s cannot be written", ERROR_FILE)


def _approved(config: SiteConfig, store: StateStore) -> frozenset[str]:
    if config.policy.approve == "by_hash":
        return frozenset(config.policy.approved)
    return frozenset(n.removeprefix(_APPROVED) for n in store.names() if n.startswith(_APPROVED))


def _identity(folder: Path, config: SiteConfig, store: StateStore) -> Identity:
    path = store.folder / IDENTITY_FILE
    if not path.exists():
        raise InputError(f"{path}: the role has no key yet; make one before it takes part")
    named = config.site.passphrase_file
    passphrase = None if named is None else (folder / named).read_text().strip()
    return Identity.load(path, passphrase)
