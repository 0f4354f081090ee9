"""An operator's work on identity keys: show, replace, accept another party's new key, revoke."""

import os
from dataclasses import dataclass
from pathlib import Path

from fedcausal.errors import InputError
from fedcausal_clients.home import IDENTITY_FILE, identity_passphrase, open_home
from fedcausal_clients.run_state import end_runs
from fedcausal_clients.site_config import SiteConfig
from fedcausal_clients.state_store import sync_folder
from fedcausal_privacy.canonical import JsonValue, canonical_json
from fedcausal_privacy.keys.identity import Identity
from fedcausal_privacy.keys.known_keys import (
    REVOKED_FILE,
    ROTATIONS_FOLDER,
    Rotation,
    fingerprint_of,
    read_revoked,
    rotate,
)

__all__ = ["KnownKey", "accept_rotation", "known_keys", "revoke", "rotate_identity"]

_NEXT_IDENTITY = "identity.next.pem"


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownKey:
    """A party's key as this role sees it; `state` is "own", "trusted" or "revoked"."""

    name: str
    public: str
    state: str

    @property
    def fingerprint(self) -> str:
        """8 groups of 4 digits, to compare by voice."""
        return fingerprint_of(self.public)


def known_keys(folder: Path) -> tuple[KnownKey, ...]:
    """The role's own key, then those of the parties that it pinned, after all rotations."""
    with open_home(folder) as home:
        own = KnownKey(name=home.name, public=home.identity.public, state="own")
        trusted = home.trusted or {}
        pinned = home.config.trust or {}
        others = [
            KnownKey(
                name=name,
                public=trusted.get(name, key),
                state="trusted" if name in trusted else "revoked",
            )
            for name, key in sorted(pinned.items())
        ]
        return (own, *others)


def rotate_identity(folder: Path) -> Path:
    """Replace the role's key by a fresh one; return the file that the other parties need.

    The states of runs go with the old key: finish runs first. Their names stay, so that nobody
    begins a run of one of these names once more, whose releases the ledger would take for paid.
    The statement is on disk before the
    old key is replaced, so that no crash leaves a new key that nobody vouches for.
    """
    config = SiteConfig.load(folder)
    passphrase = identity_passphrase(folder, config)
    with open_home(folder) as home:
        fresh, waiting = Identity.generate(), home.store.folder / _NEXT_IDENTITY
        waiting.unlink(missing_ok=True)
        fresh.store(waiting, passphrase)
        rotation = rotate(home.name, home.identity, fresh)
        path = folder / f"rotation-{home.name}-{fresh.public[:8]}.json"
        _write_durably(path, canonical_json(rotation.to_json()))
        waiting.replace(home.store.folder / IDENTITY_FILE)
        sync_folder(home.store.folder)
        end_runs(home.store)
        home.gate.audit.append("rotated", _named(rotation))
    with open_home(folder) as home:
        # From here on the head of the log is signed with the new key.
        home.gate.audit.append("key", {"fingerprint": home.identity.fingerprint()})
    return path


def accept_rotation(folder: Path, file: Path) -> Rotation:
    """Follow a party's rotation from now on: its old key is refused, its new one accepted."""
    try:
        rotation = Rotation.from_bytes(file.read_bytes())
    except OSError:
        raise InputError(f"{file}: cannot be read; name the file that the party sent") from None
    except InputError as error:
        raise InputError(f"{file}: {error}") from None
    with open_home(folder) as home:
        if (home.trusted or {}).get(rotation.name) != rotation.old:
            raise InputError(
                f"{file}: expected a rotation of a key that this role accepts today for "
                f"{rotation.name!r}; compare fingerprints with `fedcausal key show`"
            )
        kept = folder / ROTATIONS_FOLDER / f"{rotation.name}-{rotation.new[:8]}.json"
        kept.parent.mkdir(mode=0o700, exist_ok=True)
        _write_durably(kept, canonical_json(rotation.to_json()))
        home.gate.audit.append("accepted rotation", _named(rotation))
    return rotation


def revoke(folder: Path, fingerprint: str, *, reason: str = "") -> None:
    """Refuse a key from now on, whoever vouches for it."""
    with open_home(folder) as home:
        path = folder / REVOKED_FILE
        before = path.read_text(encoding="utf-8") if path.exists() else ""
        comment = " ".join(reason.split())
        line = f"{fingerprint}  # {comment}\n" if comment else f"{fingerprint}\n"
        ended = before if not before or before.endswith("\n") else before + "\n"
        _write_durably(path, (ended + line).encode())
        try:
            read_revoked(folder)
        except InputError:
            _write_durably(path, before.encode())
            raise
        home.gate.audit.append("revoked", {"fingerprint": fingerprint})


def _named(rotation: Rotation) -> dict[str, JsonValue]:
    return {
        "party": rotation.name,
        "old": fingerprint_of(rotation.old),
        "new": fingerprint_of(rotation.new),
    }


def _write_durably(path: Path, content: bytes) -> None:
    """Replace a file whole: what a crash leaves is the old or the new content."""
    unfinished = path.with_name(f".{path.name}.writing")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
    sync_folder(path.parent)
