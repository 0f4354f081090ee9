"""A door on loopback through which a party's node shows a client certificate.

Flower's node has no option for one. So it connects to this process, which connects to the
coordinator's proxy with the certificate and passes bytes both ways.
"""

import asyncio
import datetime
import os
import ssl
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from fedcausal.daemons.processes import free_port
from fedcausal_clients.daemon.home import NODE_KEY_FILE, Coordinator
from fedcausal_privacy.keys.certificates import make_authority, make_server_certificate, write_new
from fedcausal_privacy.keys.client_certificates import node_key_as_pem

__all__ = ["Forwarder", "prepare_forwarder", "run_forwarder"]

LOCAL = "127.0.0.1"
CONNECT_SECONDS = 20.0
CHUNK_BYTES = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Forwarder:
    """Where the door is, its own certificate, and what it shows on the other side.

    `local` is what the party's node is told: the door's address and authority.
    """

    port: int
    coordinator: Coordinator
    certificate: Path
    client_key: Path
    local: Coordinator


def prepare_forwarder(coordinator: Coordinator, state: Path) -> Forwarder | None:
    """Make what a forwarder needs, in a party's state folder; None without a client certificate.

    The door's own certificate is made anew for each start, and nobody but the node trusts it.
    """
    if not coordinator.client_certificate.is_file():
        return None
    now, port = datetime.datetime.now(datetime.UTC), free_port()
    authority, authority_key = make_authority("this machine", now=now)
    certificate, key = make_server_certificate(authority, authority_key, [LOCAL], now=now)
    files = {
        "forward-ca.crt": authority,
        "forward.pem": certificate + key,
        "client.key": node_key_as_pem((state / NODE_KEY_FILE).read_bytes()),
    }
    for name, content in files.items():
        (state / name).unlink(missing_ok=True)
        write_new(state / name, content)
    return Forwarder(
        port=port,
        coordinator=coordinator,
        certificate=state / "forward.pem",
        client_key=state / "client.key",
        local=replace(coordinator, address=f"{LOCAL}:{port}", authority=state / "forward-ca.crt"),
    )


def run_forwarder(forwarder: Forwarder) -> None:
    """Pass connections on until a signal ends it, or its parent is gone."""
    asyncio.run(_serve(forwarder, os.getppid()))


async def _serve(forwarder: Forwarder, parent: int) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(forwarder.certificate)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _pass_on(forwarder, reader, writer)

    server = await asyncio.start_server(connected, LOCAL, forwarder.port, ssl=context)
    async with server:
        while os.getppid() == parent:
            await asyncio.sleep(1.0)


async def _pass_on(
    forwarder: Forwarder, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """One connection: bytes both ways until either end closes.

    An end that cannot be reached closes the other: the node sees a lost connection, which it
    tries again.
    """
    host, _, port = forwarder.coordinator.address.rpartition(":")
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            far_reader, far_writer = await asyncio.open_connection(
                host.strip("[]"),
                int(port),
                ssl=_shown(forwarder),
                server_hostname=host.strip("[]"),
            )
    except (OSError, TimeoutError):
        writer.close()
        return
    ways = [
        asyncio.create_task(_copy(reader, far_writer)),
        asyncio.create_task(_copy(far_reader, writer)),
    ]
    await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    for way in ways:
        way.cancel()
    for end in (writer, far_writer):
        end.close()


def _shown(forwarder: Forwarder) -> ssl.SSLContext:
    """The client's side of TLS, read anew for each connection: a renewed certificate counts."""
    context = ssl.create_default_context(cafile=forwarder.coordinator.authority)
    context.load_cert_chain(forwarder.coordinator.client_certificate, forwarder.client_key)
    return context


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while chunk := await reader.read(CHUNK_BYTES):
            writer.write(chunk)
            await writer.drain()
