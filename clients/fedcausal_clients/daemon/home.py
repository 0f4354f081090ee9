"""The folder of a party that joins a coordinator: its keys, where to, and whom it trusts."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from fedcausal.errors import InputError
from fedcausal_clients.config_section import SITE_FILE
from fedcausal_clients.home import (
    IDENTITY_FILE,
    STATE_FOLDER,
    create_identity,
    identity_passphrase,
)
from fedcausal_clients.site_config import SiteConfig, is_site_name
from fedcausal_clients.state_store import StateStore
from fedcausal_privacy.canonical import canonical_json
from fedcausal_privacy.keys.certificates import (
    certificate_fingerprint,
    make_node_key,
    node_public_key,
    write_new,
)
from fedcausal_privacy.keys.enrolment import Invitation
from fedcausal_privacy.keys.identity import Identity
from fedcausal_privacy.keys.known_keys import (
    current_keys,
    fingerprint_of,
    read_revoked,
    read_rotations,
)

__all__ = [
    "Coordinator",
    "Peer",
    "create_party_home",
    "load_identity",
    "load_node_key",
    "pin_peers",
    "read_coordinator",
    "write_client_certificate",
    "write_coordinator",
]

NODE_KEY_FILE = "node.key"
COORDINATOR_FOLDER = "coordinator"
CLIENT_CERTIFICATE = "client.crt"
_TRUST_NOTE = """
# Public keys of the other sites and of the steward. `fedcausal site trust HOME --pin` writes them
# here after you compared the fingerprints. Nothing may follow this section.
[trust]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coordinator:
    """Where a party connects to, and the authority by which it knows the other end."""

    address: str
    authority: Path

    @property
    def fingerprint(self) -> str:
        """The authority's, as `site join` printed it and its operator reads it aloud."""
        return certificate_fingerprint(self.authority.read_bytes())

    @property
    def client_certificate(self) -> Path:
        """What this party shows to a proxy that asks for it; there once it was fetched."""
        return self.authority.with_name(CLIENT_CERTIFICATE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Another party as the coordinator names it: to be compared before it is trusted."""

    name: str
    role: str
    identity: str

    @property
    def fingerprint(self) -> str:
        """8 groups of 4 digits, to compare by voice."""
        return fingerprint_of(self.identity)


def create_party_home(folder: Path, *, name: str, role: str, data: str | None) -> str:
    """Make a party's folder: site file, identity, node key; the identity's fingerprint.

    Both keys are made here and never leave; a site file that is there is kept as it is, and keys
    that it lacks are made.

    Raises
    ------
    InputError
        The name or the data's path is wrong, or the file is there for another name or role, or
        with other data.
    """
    path = folder / SITE_FILE
    if not path.exists():
        content = _site_file(name, role, data)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.chmod(0o700)
        write_new(path, content.encode())
    config = SiteConfig.load(folder)
    if (config.site.name, config.site.role) != (name, role):
        raise InputError(
            f"{path}: is for {config.site.role} {config.site.name!r}, not for {role} {name!r}; "
            "name another folder"
        )
    here = None if config.data is None else config.data.path
    if data is not None and here != str(Path(data).resolve()):
        raise InputError(
            f"{path}: has other data ({here or 'no file'}) than --data {data}; edit [data] there, "
            "or name another folder"
        )
    public = create_identity(folder, passphrase=identity_passphrase(folder, config))
    ensure_node_key(folder)
    return fingerprint_of(public)


def ensure_node_key(folder: Path) -> None:
    """Make the key of the party's node, once."""
    path = StateStore.open(folder / STATE_FOLDER).folder / NODE_KEY_FILE
    if not path.exists():
        write_new(path, make_node_key())


def load_identity(folder: Path) -> Identity:
    """The party's long-term key."""
    config = SiteConfig.load(folder)
    path = folder / STATE_FOLDER / IDENTITY_FILE
    return Identity.load(path, identity_passphrase(folder, config))


def load_node_key(folder: Path) -> str:
    """The public key of the party's node (PEM)."""
    path = folder / STATE_FOLDER / NODE_KEY_FILE
    try:
        return node_public_key(path.read_bytes())
    except FileNotFoundError:
        raise InputError(
            f"{path}: the node has no key yet; make it with `fedcausal site init`"
        ) from None


def write_coordinator(folder: Path, invitation: Invitation) -> None:
    """Keep where the invitation leads and the authority that it named."""
    kept = folder / COORDINATOR_FOLDER
    kept.mkdir(mode=0o700, exist_ok=True)
    (kept / "ca.crt").write_text(invitation.authority, encoding="ascii")
    content = {"address": invitation.address, "name": invitation.name}
    (kept / "link.json").write_bytes(canonical_json(content))


def write_client_certificate(folder: Path, certificate: str) -> Path:
    """Keep this party's client certificate; the old one is replaced whole."""
    path = folder / COORDINATOR_FOLDER / CLIENT_CERTIFICATE
    unfinished = path.with_suffix(".writing")
    unfinished.write_text(certificate, encoding="ascii")
    unfinished.replace(path)
    return path


def read_coordinator(folder: Path) -> Coordinator:
    """Where this party connects to.

    Raises
    ------
    InputError
        It has not joined.
    """
    kept = folder / COORDINATOR_FOLDER
    try:
        content = json.loads((kept / "link.json").read_bytes())
        return Coordinator(address=str(content["address"]), authority=kept / "ca.crt")
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(
            f"{kept}: this party has not joined a coordinator; run `fedcausal site join`"
        ) from None


def pin_peers(folder: Path, peers: Sequence[Peer]) -> tuple[str, ...]:
    """Write the keys of parties that are not pinned yet into `[trust]`; their names.

    Raises
    ------
    InputError
        A pinned key, after the rotations that were accepted here, is another one (somebody was
        replaced: see `fedcausal key`), or `[trust]` is not the last section of the file.
    """
    config = SiteConfig.load(folder)
    pinned = config.trust or {}
    today = {**pinned, **current_keys(pinned, read_rotations(folder), read_revoked(folder))}
    for peer in peers:
        if today.get(peer.name, peer.identity) != peer.identity:
            raise InputError(
                f"{folder / SITE_FILE}: trust.{peer.name} is {fingerprint_of(today[peer.name])}, "
                f"the coordinator names {peer.fingerprint}; ask that party before anything else"
            )
    fresh = {
        p.name: p.identity for p in peers if p.name not in pinned and p.name != config.site.name
    }
    if not fresh:
        return ()
    path = folder / SITE_FILE
    before = path.read_text(encoding="utf-8")
    sections = [line.strip() for line in before.splitlines() if line.lstrip().startswith("[")]
    if not sections or sections[-1] != "[trust]":
        raise InputError(f"{path}: expected [trust] as the last section; move it to the end")
    lines = tomli_w.dumps(fresh)
    unfinished = path.with_name(f".{path.name}.writing")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(before.rstrip("\n") + "\n" + lines)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
    SiteConfig.load(folder)
    return tuple(sorted(fresh))


def _site_file(name: str, role: str, data: str | None) -> str:
    if not is_site_name(name):
        raise InputError(
            f'--name {name!r}: expected letters, digits, "_", "." or "-" (at most 64); '
            "write --name hospital_a"
        )
    content: dict[str, Any] = {"site": {"name": name, "role": role}}
    if (role == "site") != (data is not None):
        raise InputError(
            "--data: a site names its file of records and a steward has none; "
            "write --data /srv/records.parquet, or --role steward"
        )
    if data is not None:
        source = "csv" if data.endswith((".csv", ".tsv", ".txt", ".gz")) else "parquet"
        content["data"] = {"source": source, "path": str(Path(data).resolve())}
        content["policy"] = {"approve": "manual"}
    text = tomli_w.dumps(content) + _TRUST_NOTE
    SiteConfig.check({**content, "trust": {}})
    return text
