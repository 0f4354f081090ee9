"""A party's two requests to its coordinator: its keys for a token, and the others' keys."""

import datetime
import json
import ssl
import time
from email.utils import parsedate_to_datetime
from http.client import HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any

from fedcausal.errors import DeadlineError, InputError, LinkError
from fedcausal_clients.daemon_home import (
    Coordinator,
    Peer,
    load_identity,
    load_node_key,
    read_coordinator,
    write_coordinator,
)
from fedcausal_clients.site_config import SiteConfig
from fedcausal_privacy.enrolment import Invitation, request_to_join
from fedcausal_privacy.roster_request import WINDOW_SECONDS, request_roster

__all__ = ["ask_roster", "clock_difference", "clock_fault", "join"]

# Below the fleet's prefix, which is all that a coordinator opens to sites.
JOIN_PATH = "/v1/fleet/fedcausal/join"
ROSTER_PATH = "/v1/fleet/fedcausal/roster"
HEALTH_PATH = "/health"
SECONDS = 20.0
MAX_REPLY_BYTES = 1 << 20
# OpenSSL's numbers of these two faults (X509_V_ERR_...).
_NOT_YET_VALID, _EXPIRED = 9, 10


def join(folder: Path, file: Path) -> Coordinator:
    """Hand this party's public keys to the coordinator that an invitation names.

    Raises
    ------
    InputError
        The invitation is for another party, or unreadable.
    LinkError
        The coordinator cannot be reached, is not who the invitation says, or refuses.
    DeadlineError
        It does not answer in 20 seconds.
    """
    try:
        invitation = Invitation.from_bytes(file.read_bytes())
    except OSError:
        raise InputError(f"{file}: cannot be read; name the invitation's file") from None
    except InputError as error:
        raise InputError(f"{file}: {error}") from None
    config = SiteConfig.load(folder)
    if (config.site.name, config.site.role) != (invitation.name, invitation.role):
        raise InputError(
            f"{file}: invites {invitation.role} {invitation.name!r}, this folder is "
            f"{config.site.role} {config.site.name!r}; make a folder for it with `fedcausal site "
            "init`"
        )
    request = request_to_join(invitation, load_identity(folder), load_node_key(folder))
    _post(invitation.address, invitation.authority, JOIN_PATH, request.to_bytes())
    write_coordinator(folder, invitation)
    return read_coordinator(folder)


def ask_roster(folder: Path) -> tuple[Peer, ...]:
    """The other enrolled parties as the coordinator names them, by name.

    Privacy: what comes is the coordinator's word; an operator compares the fingerprints with the
    parties themselves before pinning one.
    """
    coordinator, name = read_coordinator(folder), SiteConfig.load(folder).site.name
    request = request_roster(name, load_identity(folder), now=time.time())
    authority = coordinator.authority.read_text(encoding="ascii")
    answer = _post(coordinator.address, authority, ROSTER_PATH, request.to_bytes())
    try:
        listed: Any = answer["parties"]
        peers = [
            Peer(name=str(p["name"]), role=str(p["role"]), identity=str(p["identity"]))
            for p in listed
        ]
        return tuple(sorted((p for p in peers if p.name != name), key=lambda peer: peer.name))
    except (KeyError, TypeError):
        raise LinkError(f"{coordinator.address}: answered with something else") from None


def _post(address: str, authority: str, path: str, body: bytes) -> dict[str, object]:
    """Post a request over TLS; whatever goes wrong says with whom, and what to look at."""
    connection = _connection(address, authority)
    try:
        connection.request("POST", path, body, {"content-type": "application/json"})
        answer = connection.getresponse()
        content = json.loads(answer.read(MAX_REPLY_BYTES) or b"{}")
    except ssl.SSLCertVerificationError as error:
        raise LinkError(f"{address}: {_distrust(error)}") from None
    except TimeoutError:
        raise DeadlineError(f"waited {SECONDS:g} s for {address} to answer") from None
    except (OSError, HTTPException, ValueError):
        raise LinkError(
            f"{address}: cannot be reached; is the coordinator started, and may this machine "
            "connect to it?"
        ) from None
    finally:
        connection.close()
    if answer.status != 200 or not isinstance(content, dict):
        refusal = content.get("refusal", "") if isinstance(content, dict) else ""
        raise LinkError(f"{address}: refused (HTTP {answer.status}) {refusal}".rstrip())
    return content


def clock_difference(coordinator: Coordinator) -> float | None:
    """Seconds by which the coordinator's clock is ahead of this machine's; None when unknown.

    It is unknown while nobody answers, and when the answer has no date. A request that took long
    counts as half of its time.

    Raises
    ------
    LinkError
        The server's certificate is not one to trust; a wrong clock may be why, and the words say
        so.
    """
    authority = coordinator.authority.read_text(encoding="ascii")
    connection = _connection(coordinator.address, authority)
    began = time.time()
    try:
        connection.request("GET", HEALTH_PATH)
        said = connection.getresponse().headers.get("date", "")
        theirs = parsedate_to_datetime(said).timestamp()
    except ssl.SSLCertVerificationError as error:
        raise LinkError(f"{coordinator.address}: {_distrust(error)}") from None
    except (OSError, HTTPException, ValueError, TypeError):
        return None
    finally:
        connection.close()
    return theirs - (began + time.time()) / 2


def clock_fault(difference: float) -> str:
    """What to tell the operator of a clock that is wrong; "" while the difference is small.

    >>> clock_fault(7200.0)
    "this machine's clock is 7200 s behind the coordinator's (at most 300); synchronise it (NTP)"
    """
    if abs(difference) <= WINDOW_SECONDS:
        return ""
    where = "behind" if difference > 0 else "ahead of"
    return (
        f"this machine's clock is {abs(difference):.0f} s {where} the coordinator's (at most "
        f"{WINDOW_SECONDS}); synchronise it (NTP)"
    )


def _connection(address: str, authority: str) -> HTTPSConnection:
    host, _, port = address.rpartition(":")
    try:
        context = ssl.create_default_context(cadata=authority)
        return HTTPSConnection(host.strip("[]"), int(port), timeout=SECONDS, context=context)
    except (ssl.SSLError, ValueError):
        raise InputError(f"{address}: the invitation's address or authority is broken") from None


def _distrust(error: ssl.SSLCertVerificationError) -> str:
    """Why a server's certificate is not trusted, and who can do something about it."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="minutes")
    clock = f"is this machine's clock ({now}) right?"
    words = {
        _NOT_YET_VALID: f"its certificate is not valid yet; {clock}",
        _EXPIRED: (
            f"its certificate has expired; {clock} Otherwise its operator types `fedcausal "
            "coordinator renew`"
        ),
    }
    return words.get(
        error.verify_code,
        f"is not the coordinator of the invitation ({error.verify_message}); compare the "
        "authority's fingerprint with the operator",
    )
