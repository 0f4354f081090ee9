"""The authority's work besides the server's certificate: parties' certificates, and their end."""

import datetime
import json
from pathlib import Path

from fedcausal_privacy.canonical import canonical_json
from fedcausal_privacy.errors import InputError
from fedcausal_privacy.keys.authority_key import is_locked, lock_key
from fedcausal_privacy.keys.certificate_expiry import read_expiry
from fedcausal_privacy.keys.certificates import write_new
from fedcausal_privacy.keys.client_certificates import (
    certificate_serial,
    check_client_certificate,
    make_client_certificate,
    make_revocation_list,
)
from fedcausal_privacy.keys.enrolment import Enrolment
from fedcausal_server.daemon.home import CoordinatorHome, read_authority_key
from fedcausal_server.store.journal import write_whole

__all__ = ["certify", "current_certificate", "is_protected", "protect", "withdraw_certificates"]

# Renewed when it is asked for in its last month.
RENEW_DAYS = 30
_WITHDRAWN = ".revoked"


def certify(
    home: CoordinatorHome, *, now: datetime.datetime, passphrase: str | None = None
) -> tuple[str, ...]:
    """Make a client certificate for every enrolled party without a fresh one, and a new list.

    Returns the names of the parties that got one. The proxy reads the list when it is reloaded;
    running connections, and runs, go on.

    Raises
    ------
    InputError
        The authority's key is away, or does not open.
    """
    key, authority = read_authority_key(home, passphrase), home.authority.read_bytes()
    made = []
    home.client_certificates.mkdir(mode=0o700, exist_ok=True)
    for party in home.book().enrolled():
        if _is_fresh(home, party, now):
            continue
        certificate = make_client_certificate(authority, key, party.node_key, party.name, now=now)
        folder = home.client_certificates / party.name
        folder.mkdir(mode=0o700, exist_ok=True)
        write_new(folder / f"{certificate_serial(certificate):x}.crt", certificate, mode=0o644)
        made.append(party.name)
    write_whole(
        home.revocation_list, make_revocation_list(authority, key, _withdrawn(home), now=now)
    )
    return tuple(made)


def current_certificate(home: CoordinatorHome, party: Enrolment) -> Path | None:
    """The party's certificate that lasts longest, for the node key that it has now."""
    authority, found = home.authority.read_bytes(), []
    for path in (home.client_certificates / party.name).glob("*.crt"):
        if path.with_suffix(_WITHDRAWN).exists():
            continue
        try:
            check_client_certificate(path.read_bytes(), authority, party.node_key)
        except InputError:
            continue
        found.append((read_expiry(path)[0].not_after, path))
    return max(found)[1] if found else None


def withdraw_certificates(home: CoordinatorHome, name: str, *, now: datetime.datetime) -> int:
    """Mark all certificates of a party for the list, which `certify` signs; their number."""
    paths = list((home.client_certificates / name).glob("*.crt"))
    for path in paths:
        entry = {"serial": path.stem, "since": now.isoformat(timespec="seconds")}
        write_whole(path.with_suffix(_WITHDRAWN), canonical_json(entry))
        path.unlink()
    return len(paths)


def is_protected(home: CoordinatorHome) -> bool | None:
    """Whether the authority's key rests encrypted; None when it is elsewhere."""
    try:
        return is_locked(home.authority_key.read_bytes())
    except FileNotFoundError:
        return None


def protect(home: CoordinatorHome, *, passphrase: str | None, new: str) -> None:
    """Encrypt the authority's key under a new passphrase; `passphrase` opens it today."""
    content = lock_key(read_authority_key(home, passphrase), new)
    unfinished = home.authority_key.with_suffix(".writing")
    unfinished.unlink(missing_ok=True)
    write_new(unfinished, content)
    unfinished.replace(home.authority_key)


def _is_fresh(home: CoordinatorHome, party: Enrolment, now: datetime.datetime) -> bool:
    path = current_certificate(home, party)
    return path is not None and read_expiry(path, now=now)[0].days_left > RENEW_DAYS


def _withdrawn(home: CoordinatorHome) -> dict[int, datetime.datetime]:
    entries = [
        json.loads(path.read_bytes()) for path in home.client_certificates.glob(f"*/*{_WITHDRAWN}")
    ]
    return {int(e["serial"], 16): datetime.datetime.fromisoformat(e["since"]) for e in entries}
