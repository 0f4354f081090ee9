"""The door for a node without client certificates; tests/deploy puts it before a real nginx."""

import asyncio
import os
import ssl
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from fedcausal.daemons.processes import Forked, await_until, end_process
from fedcausal_clients.daemon.forwarder import prepare_forwarder, run_forwarder
from fedcausal_clients.daemon.home import (
    create_party_home,
    load_node_key,
    read_coordinator,
    write_client_certificate,
    write_coordinator,
)
from fedcausal_clients.daemon.supernode import supernode_arguments
from fedcausal_privacy.keys.certificates import make_authority, make_server_certificate
from fedcausal_privacy.keys.client_certificates import make_client_certificate
from fedcausal_privacy.keys.enrolment import Invitation

NOW = datetime.now(UTC)


@pytest.fixture
def authority():
    return make_authority("n", now=NOW)


@pytest.fixture
def home(tmp_path, authority):
    create_party_home(tmp_path, name="north", role="steward", data=None)
    invitation = Invitation(
        address="127.0.0.1:1",
        authority=authority[0].decode(),
        name="north",
        role="steward",
        token="t",
        expires=1.0,
    )
    write_coordinator(tmp_path, invitation)
    return tmp_path


def certified(home, authority):
    made = make_client_certificate(*authority, load_node_key(home), "north", now=NOW)
    write_client_certificate(home, made.decode())


def test_without_a_certificate_the_node_connects_by_itself(home):
    assert prepare_forwarder(read_coordinator(home), home / "state") is None


def test_the_node_is_told_the_door(home, authority):
    certified(home, authority)
    forwarder = prepare_forwarder(read_coordinator(home), home / "state")
    arguments = supernode_arguments(home, port=5, secret=home, coordinator=forwarder.local)
    assert f"127.0.0.1:{forwarder.port}" in arguments
    assert str(forwarder.local.authority) in arguments
    for path in (forwarder.client_key, forwarder.certificate):
        assert path.stat().st_mode & 0o777 == 0o600
    again = prepare_forwarder(read_coordinator(home), home / "state")
    assert again.certificate == forwarder.certificate


async def _exchange(home, authority, *, asks_for_certificates):
    """What comes back through the door from a server that repeats what it hears."""
    seen = []

    async def echo(reader, writer):
        seen.append(writer.get_extra_info("ssl_object").getpeercert())
        while chunk := await reader.read(1 << 16):
            writer.write(chunk)
            await writer.drain()
        writer.close()

    pem = home / "server.pem"
    pem.write_bytes(b"".join(make_server_certificate(*authority, ["127.0.0.1"], now=NOW)))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    context.load_verify_locations(cadata=authority[0].decode())
    if asks_for_certificates:
        context.verify_mode = ssl.CERT_REQUIRED
    server = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    joined = replace(read_coordinator(home), address=f"127.0.0.1:{port}")
    forwarder = prepare_forwarder(joined, home / "state")
    process = Forked.start(lambda: run_forwarder(forwarder))
    try:
        reader, writer = await _opened(forwarder)
        sent = os.urandom(1 << 20)
        writer.write(sent)
        got = await reader.readexactly(len(sent))
        writer.close()
        return seen, got == sent
    finally:
        await asyncio.to_thread(end_process, process)
        server.close()


async def _opened(forwarder):
    trusted = ssl.create_default_context(cafile=forwarder.local.authority)
    for _ in range(300):
        try:
            return await asyncio.open_connection("127.0.0.1", forwarder.port, ssl=trusted)
        except OSError:
            await asyncio.sleep(0.1)
    raise TimeoutError("the forwarder does not answer")


def test_the_far_end_sees_the_certificate_and_every_byte(home, authority):
    certified(home, authority)
    seen, is_same = asyncio.run(_exchange(home, authority, asks_for_certificates=True))
    assert is_same
    assert dict(seen[0]["subject"][0]) == {"commonName": "north"}


def test_a_far_end_that_is_gone_ends_the_connection(home, authority):
    certified(home, authority)
    forwarder = prepare_forwarder(read_coordinator(home), home / "state")
    process = Forked.start(lambda: run_forwarder(forwarder))

    async def read_to_the_end():
        reader, writer = await _opened(forwarder)
        async with asyncio.timeout(30):
            content = await reader.read()
        writer.close()
        return content

    try:
        assert asyncio.run(read_to_the_end()) == b""
    finally:
        end_process(process)


def test_it_ends_with_its_daemon(home, authority, tmp_path):
    certified(home, authority)
    forwarder = prepare_forwarder(read_coordinator(home), home / "state")

    def daemon():
        child = Forked.start(lambda: run_forwarder(forwarder))
        (tmp_path / "child").write_text(str(child.pid))

    assert Forked.start(daemon).wait(30) == 0
    orphan = int((tmp_path / "child").read_text())

    def is_gone():
        try:
            os.kill(orphan, 0)
        except ProcessLookupError:
            return True
        return False

    await_until(is_gone, "the forwarder to end", seconds=30)
