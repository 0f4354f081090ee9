"""The two requests of enrolment: a party hands in its keys; a party asks for the others'."""

import asyncio
import time
from collections.abc import Callable

from fedcausal.errors import FedCausalError, ProtocolError
from fedcausal_privacy.canonical import JsonValue, canonical_json
from fedcausal_privacy.keys.enrolment import JoinRequest
from fedcausal_privacy.keys.known_keys import fingerprint_of, read_revoked
from fedcausal_privacy.secure_sum.roster_request import RosterRequest
from fedcausal_server.daemon.home import CoordinatorHome
from fedcausal_server.daemon.path_policy import Application, Receive, Scope, Send
from fedcausal_server.parties.authority import current_certificate

__all__ = ["JOIN_PATH", "ROSTER_PATH", "EnrolmentRoute", "answer_join", "answer_roster"]

# Below the fleet's prefix, so that a proxy's rule for sites covers them.
JOIN_PATH = "/v1/fleet/fedcausal/join"
ROSTER_PATH = "/v1/fleet/fedcausal/roster"
MAX_BYTES = 16 * 1024


def answer_join(home: CoordinatorHome, body: bytes, *, now: float) -> JsonValue:
    """Note a party's keys in the book; a `ProtocolError` refuses them.

    Nothing is open to the party before an operator confirms its fingerprint.
    """
    request = JoinRequest.from_bytes(body)
    if fingerprint_of(request.identity) in read_revoked(home.folder):
        raise ProtocolError("the invitation is for other keys; make a new folder and new keys")
    with home.changed_book() as held:
        held[0] = held[0].join(request, now=now)
        return {"fingerprint": held[0].enrolments[request.name].fingerprint}


def answer_roster(home: CoordinatorHome, body: bytes, *, now: float) -> JsonValue:
    """Names, roles and public identities of all enrolled parties, for one of them.

    With it comes the party's own client certificate, where one was made: it is public, and the
    proxy that asks for it lets this request pass without one.
    """
    book, request = home.book(), RosterRequest.from_bytes(body)
    request.check({party.name: party.identity for party in book.enrolled()}, now=now)
    certificate = current_certificate(home, book.enrolments[request.name])
    parties: list[JsonValue] = [
        {"name": party.name, "role": party.role, "identity": party.identity}
        for party in book.enrolled()
    ]
    made = "" if certificate is None else certificate.read_text(encoding="ascii")
    return {"parties": parties, "certificate": made}


class EnrolmentRoute:
    """ASGI middleware that answers the enrolment's paths and passes all others on."""

    def __init__(self, app: Application, home: CoordinatorHome) -> None:
        self._app, self._home = app, home

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer or pass on."""
        answers: dict[str, Callable[..., JsonValue]] = {
            JOIN_PATH: answer_join,
            ROSTER_PATH: answer_roster,
        }
        answer = answers.get(scope["path"]) if scope["type"] == "http" else None
        if answer is None:
            await self._app(scope, receive, send)
            return
        if scope["method"] != "POST":
            await _reply(send, 405, {})
            return
        try:
            body = await _read(receive)
            # In a thread: it waits for the book's lock and for the disk.
            value = await asyncio.to_thread(answer, self._home, body, now=time.time())
        except FedCausalError as error:
            await _reply(send, 403, {"refusal": str(error)})
            return
        await _reply(send, 200, value)


async def _read(receive: Receive) -> bytes:
    body: bytes = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise ProtocolError("the request ended early")
        body += message.get("body", b"")
        if len(body) > MAX_BYTES:
            raise ProtocolError("the request is too long")
        if not message.get("more_body"):
            return body


async def _reply(send: Send, status: int, value: JsonValue) -> None:
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": canonical_json(value)})
