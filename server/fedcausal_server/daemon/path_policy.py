"""Who may use which route of the one port: sites the fleet's, the operator all that he needs."""

import hmac
import ipaddress
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

__all__ = ["OPERATOR_HEADER", "PathPolicy", "is_allowed"]

OPERATOR_HEADER = "x-fedcausal-operator"
_FLEET, _CONTROL, _RUNTIME = "/v1/fleet/", "/v1/control/", "/v1/runtime/"
_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


def is_allowed(path: str, client: str, headers: Mapping[str, str], operator_token: str) -> bool:
    """Whether a request may pass.

    Flower has no login for operators, and its one port serves everybody. So:
    `/v1/fleet/*` and `/health` are open (nodes prove who they are there); `/v1/control/*` needs
    the operator's token, over loopback; `/v1/runtime/*` is for loopback, where Flower asks for a
    task's own secret; all else (documentation, schema) is closed. A request that came through a
    proxy is not a local one, wherever the proxy runs.

    Parameters
    ----------
    path
        Decoded, as the application will see it.
    client
        The address of the other end of the connection.
    headers
        Names in lower case.
    operator_token
        Of the coordinator's home.
    """
    if "//" in path or "/." in path or "\\" in path:
        return False
    if path.startswith(_FLEET) or path == "/health":
        return True
    if not _is_loopback(client) or any(name in headers for name in _FORWARDED):
        return False
    if path.startswith(_CONTROL):
        given = headers.get(OPERATOR_HEADER, "")
        return hmac.compare_digest(given.encode(), operator_token.encode())
    return path.startswith(_RUNTIME)


class PathPolicy:
    """ASGI middleware that answers 403 to whatever `is_allowed` does not let pass."""

    def __init__(self, app: Application, operator_token: str) -> None:
        self._app, self._token = app, operator_token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it without reading its body."""
        if scope["type"] == "lifespan" or (scope["type"] == "http" and self._allows(scope)):
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await send({"type": "http.response.start", "status": 403, "headers": []})
            await send({"type": "http.response.body", "body": b""})
        else:
            await send({"type": "websocket.close", "code": 1008})

    def _allows(self, scope: Scope) -> bool:
        headers = {name.decode("latin-1"): v.decode("latin-1") for name, v in scope["headers"]}
        client = scope["client"][0] if scope.get("client") else ""
        return is_allowed(scope["path"], client, headers, self._token)


def _is_loopback(client: str) -> bool:
    try:
        return ipaddress.ip_address(client).is_loopback
    except ValueError:
        return False
