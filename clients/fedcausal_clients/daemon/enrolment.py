"""A party's two requests to its coordinator: its keys for a token, and the others' keys."""

import datetime
import json
import ssl
import time
from http.client import HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any

from fedcausal.errors import DeadlineError, InputError, LinkError
from fedcausal_clients.daemon.home import (
    Coordinator,
    Peer,
    load_identity,
    load_node_key,
    read_coordinator,
    write_client_certificate,
    write_coordinator,
)
from fedcausal_clients.site_config import SiteConfig
from fedcausal_privacy.keys.client_certificates import check_client_certificate
from fedcausal_privacy.keys.enrolment import Invitation, request_to_join
from fedcausal_privacy.secure_sum.roster_request import request_roster

__all__ = ["ask_roster", "fetch_certificate", "join"]

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
    answer = _ask(folder, coordinator, name)
    try:
        listed: Any = answer["parties"]
        peers = [
            Peer(name=str(p["name"]), role=str(p["role"]), identity=str(p["identity"]))
            for p in listed
        ]
        return tuple(sorted((p for p in peers if p.name != name), key=lambda peer: peer.name))
    except (KeyError, TypeError):
        raise LinkError(f"{coordinator.address}: answered with something else") from None


def fetch_certificate(folder: Path) -> Path:
    """Fetch this party's client certificate, for a coordinator whose proxy asks for one.

    It is taken for the party's own node key only. Connections that are made later show it; those
    that are open, and the run that uses them, go on.

    Raises
    ------
    InputError
        The coordinator has none for this party, or sent another one.
    LinkError, DeadlineError
        As in `join`.
    """
    coordinator, name = read_coordinator(folder), SiteConfig.load(folder).site.name
    made = _ask(folder, coordinator, name).get("certificate")
    if not isinstance(made, str) or not made:
        raise InputError(
            f"{coordinator.address}: has no client certificate for {name!r} yet; its operator "
            "makes it with `fedcausal coordinator certify HOME`"
        )
    check_client_certificate(
        made.encode(), coordinator.authority.read_bytes(), load_node_key(folder)
    )
    return write_client_certificate(folder, made)


def _ask(folder: Path, coordinator: Coordinator, name: str) -> dict[str, object]:
    """The coordinator's answer to a signed question for the roster."""
    request = request_roster(name, load_identity(folder), now=time.time())
    authority = coordinator.authority.read_text(encoding="ascii")
    return _post(coordinator.address, authority, ROSTER_PATH, request.to_bytes())


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
