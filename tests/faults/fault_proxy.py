"""A TCP proxy on loopback that cuts connections: some at once, some after a number of bytes."""

import random
import select
import socket
import struct
import threading
import time
from contextlib import suppress

__all__ = ["FaultProxy"]

CHUNK = 4096
POLL_SECONDS = 0.1


class FaultProxy:
    """Passes connections on to a port, and cuts a share of them with a reset.

    Parameters
    ----------
    port
        Where connections go.
    cut
        The share of connections that are cut: each after at most `within` bytes of either side,
        in the middle of a request or of its answer.
    idle_seconds
        A connection over which nothing went for so long is closed, as by most proxies: then every
        few requests have a connection of their own.
    seed
        Of which connections these are.
    """

    def __init__(
        self,
        port: int,
        *,
        cut: float,
        within: int = 20_000,
        idle_seconds: float = 60.0,
        seed: int = 0,
    ) -> None:
        self._port, self._cut, self._within, self._idle = port, cut, within, idle_seconds
        self._random = random.Random(seed)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(POLL_SECONDS)
        self.port = self._listener.getsockname()[1]
        self.num_passed, self.num_cut = 0, 0
        self._counting = threading.Lock()
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self) -> "FaultProxy":
        self._threads[0].start()
        return self

    def __exit__(self, *error: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join(30)
        self._listener.close()

    def _accept(self) -> None:
        while not self._is_over.is_set():
            with suppress(TimeoutError):
                client, _ = self._listener.accept()
                is_doomed = self._random.random() < self._cut
                limit = self._random.randrange(self._within) if is_doomed else None
                thread = threading.Thread(target=self._serve, args=(client, limit), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _serve(self, client: socket.socket, limit: int | None) -> None:
        is_cut = False
        with client:
            with (
                suppress(OSError),
                socket.create_connection(("127.0.0.1", self._port), timeout=10) as server,
            ):
                is_cut = self._pass_on(client, server, limit)
            if is_cut:
                # A reset, as of a firewall that has forgotten the connection.
                with suppress(OSError):
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with self._counting:
            self.num_cut += is_cut
            self.num_passed += not is_cut

    def _pass_on(self, client: socket.socket, server: socket.socket, limit: int | None) -> bool:
        """Pass bytes on until a side closes or the limit is reached; whether it was reached."""
        left, since = limit, time.monotonic()
        while not self._is_over.is_set():
            ready, _, _ = select.select([client, server], [], [], POLL_SECONDS)
            if not ready and time.monotonic() - since >= self._idle:
                return False
            for source in ready:
                content, since = source.recv(CHUNK), time.monotonic()
                if not content:
                    return False
                if left is not None:
                    content, left = content[:left], left - len(content)
                (server if source is client else client).sendall(content)
                if left is not None and left <= 0:
                    return True
        return False
