"""A role's home folder: site file, private state, identity, ledger, audit log and error log."""

import logging
import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from fedcausal.errors import InputError
from fedcausal_clients.egress import Gate
from fedcausal_clients.policy.consent import approve_study, approved_studies, denied_studies
from fedcausal_clients.site_config import SiteConfig
from fedcausal_clients.state_store import StateStore
from fedcausal_privacy.audit import AuditLog
from fedcausal_privacy.dp.ledger import Ledger
from fedcausal_privacy.keys.at_rest import storage_key
from fedcausal_privacy.keys.identity import Identity
from fedcausal_privacy.keys.known_keys import (
    REVOKED_FILE,
    Rotation,
    current_keys,
    read_revoked,
    read_rotations,
)

__all__ = [
    "IDENTITY_FILE",
    "Home",
    "approve",
    "audit_log",
    "create_identity",
    "identity_passphrase",
    "note_error",
    "open_home",
]

STATE_FOLDER = "state"
IDENTITY_FILE = "identity.pem"
LEDGER_FILE = "ledger.db"
AUDIT_FILE = "audit.jsonl"
ERROR_FILE = "errors.log"


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """An open home folder.

    `rotations` and `revoked` are what the operator accepted and listed in the folder.
    """

    folder: Path
    config: SiteConfig
    store: StateStore
    identity: Identity
    gate: Gate
    rotations: tuple[Rotation, ...] = ()
    revoked: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """The name under which this role takes part."""
        return self.config.site.name

    @property
    def trusted(self) -> dict[str, str] | None:
        """Public keys that this role accepts, its own among them; None: any (simulated only)."""
        if self.config.trust is None:
            return None
        others = current_keys(self.config.trust, self.rotations, self.revoked)
        return {**others, self.name: self.identity.public}


@contextmanager
def open_home(folder: Path) -> Iterator[Home]:
    """Open a home for one message: no other process of the role works on it meanwhile."""
    config = SiteConfig.load(folder)
    store = StateStore.open(folder / STATE_FOLDER)
    revoked = read_revoked(folder)
    with store.locked(), Ledger(store.folder / LEDGER_FILE) as ledger:
        identity = _identity(folder, config, store)
        gate = Gate(
            site=config.site.name,
            policy=config.policy,
            approved=approved_studies(store, config.policy),
            denied=denied_studies(store),
            ledger=ledger,
            audit=AuditLog(path=folder / AUDIT_FILE, signer=identity),
            store=store,
            is_steward=config.site.role != "site",
        )
        if identity.fingerprint() in revoked:
            raise InputError(
                f"{folder / REVOKED_FILE}: this role's own key is revoked; make a new key and "
                "have the other parties pin it"
            )
        yield Home(
            folder=folder,
            config=config,
            store=replace(store, key=storage_key(identity)),
            identity=identity,
            gate=gate,
            rotations=read_rotations(folder),
            revoked=revoked,
        )


def audit_log(folder: Path) -> AuditLog:
    """The role's own log, for a line outside a message: nothing else of the home is opened."""
    config, store = SiteConfig.load(folder), StateStore.open(folder / STATE_FOLDER)
    return AuditLog(path=folder / AUDIT_FILE, signer=_identity(folder, config, store))


def create_identity(folder: Path, *, passphrase: str | None = None) -> str:
    """Make the role's long-term key, once; return its public half (64 hexadecimal digits).

    Without a passphrase the key file is protected by its mode (0600) alone.
    """
    path = StateStore.open(folder / STATE_FOLDER).folder / IDENTITY_FILE
    if not path.exists():
        Identity.generate().store(path, passphrase)
    return Identity.load(path, passphrase).public


def identity_passphrase(folder: Path, config: SiteConfig) -> str | None:
    """What opens the role's key: the content of the file that `site.passphrase_file` names."""
    named = config.site.passphrase_file
    if named is None:
        return None
    try:
        return (folder / named).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise InputError(
            f"{folder / named}: cannot be read as text; site.passphrase_file names the file "
            "with the key's passphrase"
        ) from None


def approve(folder: Path, study_hash: str) -> None:
    """Record the operator's approval of one study (for `approve = "manual"`)."""
    with open_home(folder) as home:
        approve_study(home.store, home.gate.audit, study_hash)


def note_error(folder: Path, error: BaseException) -> None:
    """Write an unforeseen error into the role's own error log, which never leaves the site."""
    lines = "".join(traceback.format_exception(error))
    try:
        descriptor = os.open(folder / ERROR_FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "a") as file:
            file.write(lines)
    except OSError:
        logging.getLogger(__name__).error("the error log %s cannot be written", ERROR_FILE)


def _identity(folder: Path, config: SiteConfig, store: StateStore) -> Identity:
    path = store.folder / IDENTITY_FILE
    if not path.exists():
        raise InputError(f"{path}: the role has no key yet; make one before it takes part")
    return Identity.load(path, identity_passphrase(folder, config))
