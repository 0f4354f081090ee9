import asyncio

import pytest

from fedcausal_server.daemon.path_policy import OPERATOR_HEADER, PathPolicy, is_allowed

TOKEN = "right"
OPERATOR = {OPERATOR_HEADER: TOKEN}
ROUTES = ["/v1/control/list-runs", "/v1/runtime/acquire-task", "/docs", "/openapi.json", "/", ""]


@pytest.mark.parametrize("path", ["/health", "/v1/fleet/pull-messages", "/v1/fleet/x/y"])
def test_sites_reach_the_fleet_and_health(path):
    assert is_allowed(path, "192.0.2.7", {}, TOKEN)


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("headers", [{}, OPERATOR])
def test_sites_reach_nothing_else(path, headers):
    assert not is_allowed(path, "192.0.2.7", headers, TOKEN)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/fleet/../control/list-runs",
        "/v1/fleet/./x",
        "/v1/fleet//x",
        "/v1/fleet\\..\\control",
        "/v1/fleet",
        "/healthy",
        "/HEALTH",
    ],
)
def test_odd_paths_are_no_way_round(path):
    assert not is_allowed(path, "192.0.2.7", OPERATOR, TOKEN)


@pytest.mark.parametrize("client", ["127.0.0.1", "::1", "127.8.9.1"])
def test_the_operator_needs_loopback_and_token(client):
    assert is_allowed("/v1/control/list-runs", client, OPERATOR, TOKEN)
    assert not is_allowed("/v1/control/list-runs", client, {}, TOKEN)
    assert not is_allowed("/v1/control/list-runs", client, {OPERATOR_HEADER: "wrong"}, TOKEN)
    assert is_allowed("/v1/runtime/acquire-task", client, {}, TOKEN)
    assert not is_allowed("/docs", client, OPERATOR, TOKEN)


@pytest.mark.parametrize("header", ["forwarded", "x-forwarded-for", "x-real-ip", "via"])
def test_what_came_through_a_proxy_is_not_local(header):
    headers = {**OPERATOR, header: "192.0.2.7"}
    assert not is_allowed("/v1/control/list-runs", "127.0.0.1", headers, TOKEN)
    assert not is_allowed("/v1/runtime/acquire-task", "127.0.0.1", headers, TOKEN)
    assert is_allowed("/v1/fleet/pull-messages", "127.0.0.1", headers, TOKEN)


def test_a_client_without_an_address_is_a_site():
    assert not is_allowed("/v1/control/list-runs", "", OPERATOR, TOKEN)


def answered(scope):
    """What a request gets, and whether it reached the application."""
    sent, reached = [], []

    async def app(scope, receive, send):
        reached.append(scope["type"])

    async def send(message):
        sent.append(message)

    async def receive():
        raise AssertionError("nothing is read of a refused request")

    asyncio.run(PathPolicy(app, TOKEN)(scope, receive, send))
    return sent, reached


def test_a_refused_request_never_reaches_the_application():
    scope = {"type": "http", "path": "/docs", "headers": [], "client": ("192.0.2.7", 5)}
    sent, reached = answered(scope)
    assert (sent[0]["status"], reached) == (403, [])


def test_others_pass():
    scope = {"type": "http", "path": "/health", "headers": [], "client": ("192.0.2.7", 5)}
    assert answered(scope) == ([], ["http"])
    assert answered({"type": "lifespan"}) == ([], ["lifespan"])


def test_web_sockets_are_closed():
    scope = {"type": "websocket", "path": "/v1/fleet/x", "headers": [], "client": ("::1", 5)}
    sent, reached = answered(scope)
    assert (sent[0]["type"], reached) == ("websocket.close", [])
