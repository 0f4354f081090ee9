"""An operator's work on the book of parties: invite, accept, remove, revoke, list."""

import datetime
import secrets
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from fedcausal.errors import InputError
from fedcausal_privacy.canonical import JsonValue
from fedcausal_privacy.keys.certificates import write_new
from fedcausal_privacy.keys.enrolment import Enrolment, Invitation
from fedcausal_privacy.keys.known_keys import REVOKED_FILE, Rotation, fingerprint_of, read_revoked
from fedcausal_server.daemon.control import is_serving
from fedcausal_server.daemon.coordinator import register_parties
from fedcausal_server.daemon.home import CoordinatorHome
from fedcausal_server.parties.authority import withdraw_certificates
from fedcausal_server.run_audit import signed_log
from fedcausal_server.store.journal import write_whole

__all__ = ["confirm", "follow", "invite", "note", "parties", "remove", "revoke"]

DAY_SECONDS = 86400
TOKEN_BYTES = 32


def invite(
    home: CoordinatorHome, name: str, role: str, *, days: int, out: Path | None = None
) -> Path:
    """Write an invitation for a party into a new file; its path.

    The token stands in that file alone: the book keeps its hash.
    """
    token, expires = secrets.token_urlsafe(TOKEN_BYTES), time.time() + days * DAY_SECONDS
    path = out or Path(f"invitation-{name}.json")
    with home.changed_book() as held:
        held[0] = held[0].invite(name, role, token=token, expires=expires)
        invitation = Invitation(
            address=home.public_address,
            authority=home.authority.read_text(encoding="ascii"),
            name=name,
            role=held[0].enrolments[name].role,
            token=token,
            expires=expires,
        )
        if path.exists():
            with suppress(OSError, InputError):
                # Our own earlier invitation of this party, which this one replaces.
                if Invitation.from_bytes(path.read_bytes()).name == name:
                    path.unlink()
        write_new(path, invitation.to_bytes())
    return path


def confirm(home: CoordinatorHome, name: str, fingerprint: str) -> Enrolment:
    """Accept a party whose fingerprint was compared, and let its node in."""
    with home.changed_book() as held:
        held[0] = held[0].confirm(name, fingerprint)
        party = held[0].enrolments[name]
    note(home, "enrolled", party=name, role=party.role, fingerprint=party.fingerprint)
    _apply(home)
    return party


def follow(home: CoordinatorHome, name: str, file: Path) -> Enrolment:
    """Take a party's fresh identity from the file that its `key rotate` wrote.

    Without this the party could neither ask for the roster nor fetch its client certificate, and
    those who join later would be told its old key. Runs are not touched: there sites decide by
    their own pinned keys.

    Raises
    ------
    InputError
        The file is no rotation of this party's key of today, or its new key was revoked.
    """
    try:
        rotation = Rotation.from_bytes(file.read_bytes())
    except OSError:
        raise InputError(f"{file}: cannot be read; name the file that the party sent") from None
    except InputError as error:
        raise InputError(f"{file}: {error}") from None
    if rotation.name != name:
        raise InputError(f"{file}: is of {rotation.name!r}, not of {name!r}; name that party")
    if fingerprint_of(rotation.new) in read_revoked(home.folder):
        raise InputError(f"{file}: names a key that was revoked; the party makes another one")
    with home.changed_book() as held:
        held[0] = held[0].rotate(rotation)
        party = held[0].enrolments[name]
    note(home, "rotated", party=name, old=fingerprint_of(rotation.old), new=party.fingerprint)
    return party


def remove(home: CoordinatorHome, name: str) -> None:
    """Forget a party, and let its node in no longer."""
    with home.changed_book() as held:
        held[0] = held[0].remove(name)
    withdraw_certificates(home, name, now=_now())
    note(home, "removed", party=name)
    _apply(home)


def revoke(home: CoordinatorHome, name: str, *, why: str) -> Enrolment:
    """Refuse a party's keys from now on: its node, its identity and its client certificates.

    The book is changed first, so that a crash on the way leaves a door closed and not open; a
    second call does the rest. A run that counts on the party goes on without it as after any
    dropout, or ends. The list for a proxy is `authority.certify`'s work, which needs the
    authority's key; this does not.

    Raises
    ------
    InputError
        There is no such party with keys, or `why` is empty.
    """
    if not why.strip():
        raise InputError("--why: expected a reason for the audit log, got none")
    with home.changed_book() as held:
        held[0] = held[0].revoke(name)
        party = held[0].enrolments[name]
    if party.fingerprint not in read_revoked(home.folder):
        path = home.folder / REVOKED_FILE
        before = path.read_text(encoding="utf-8") if path.exists() else ""
        line = f"{party.fingerprint}  # {name}: {' '.join(why.split())}\n"
        write_whole(path, (before.rstrip("\n") + "\n" * bool(before) + line).encode())
    withdrawn = withdraw_certificates(home, name, now=_now())
    note(
        home,
        "revoked",
        party=name,
        fingerprint=party.fingerprint,
        certificates=withdrawn,
        reason=" ".join(why.split())[:500],
    )
    _apply(home)
    return party


def note(home: CoordinatorHome, event: str, **details: JsonValue) -> None:
    """Add a line to the coordinator's own audit log."""
    signed_log(home.audit_log, home.audit_key).append(event, details)


def parties(home: CoordinatorHome) -> list[dict[str, Any]]:
    """The book for people: names, roles, states, fingerprints."""
    book = home.book().enrolments
    return [
        {"name": p.name, "role": p.role, "state": p.state, "fingerprint": p.fingerprint}
        for _, p in sorted(book.items())
    ]


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def _apply(home: CoordinatorHome) -> None:
    """Tell a SuperLink that serves; one that does not reads the book when it starts."""
    if is_serving(home):
        register_parties(home)
