"""An operator's work on the book of parties: invite, accept, remove, list."""

import secrets
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from fedcausal.errors import InputError
from fedcausal_privacy.certificates import write_new
from fedcausal_privacy.enrolment import Enrolment, Invitation
from fedcausal_server.control import is_serving
from fedcausal_server.coordinator import register_parties
from fedcausal_server.coordinator_home import CoordinatorHome

__all__ = ["confirm", "invite", "parties", "remove"]

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
    _apply(home)
    return party


def remove(home: CoordinatorHome, name: str) -> None:
    """Forget a party, and let its node in no longer."""
    with home.changed_book() as held:
        held[0] = held[0].remove(name)
    _apply(home)


def parties(home: CoordinatorHome) -> list[dict[str, Any]]:
    """The book for people: names, roles, states, fingerprints."""
    book = home.book().enrolments
    return [
        {"name": p.name, "role": p.role, "state": p.state, "fingerprint": p.fingerprint}
        for _, p in sorted(book.items())
    ]


def _apply(home: CoordinatorHome) -> None:
    """Tell a SuperLink that serves; one that does not reads the book when it starts."""
    if is_serving(home):
        register_parties(home)
