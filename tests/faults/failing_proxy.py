"""A proxy with the SuperLink's own certificate: it answers 500, hangs up, loses answers."""

import random
import ssl
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

__all__ = ["FailingProxy"]

NOT_PASSED_ON = frozenset({"host", "connection", "content-length", "transfer-encoding"})
# To take a task and to end one are asked once, by design of Flower's.
ONCE = ("pull-task-input", "push-task-output")


class FailingProxy:
    """Passes requests on to a coordinator, and does what `fault` says.

    `None` passes; "500" answers so, "hang up" closes the connection without a word (both do not
    pass the request on), "lose" passes every request on and one in five answers not back.
    """

    def __init__(self, home, *, seed=0):
        self.fault, self.num_faults, self.num_passed = None, 0, 0
        self._random = random.Random(seed)
        trusted = ssl.create_default_context(cafile=home.authority)
        self.upstream = httpx.Client(verify=trusted, base_url=f"https://{home.local_address}")
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(home.certificate)
        # The handshake is made in the connection's own thread.
        self._server.socket = context.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,))
        self.address = f"127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(30)
        self.upstream.close()

    def fate(self, path):
        """What becomes of a request; None: it passes."""
        is_lost = self.fault == "lose" and (path.endswith(ONCE) or self._random.random() >= 0.2)
        found = None if is_lost else self.fault
        self.num_faults, self.num_passed = (
            self.num_faults + (found is not None),
            self.num_passed + (found is None),
        )
        return found

    def _handler(proxy):  # noqa: N805
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                content = self.rfile.read(int(self.headers["content-length"]))
                fate = proxy.fate(self.path)
                if fate == "500":
                    self.say(500, {}, b"")
                    return
                if fate == "hang up":
                    self.close_connection = True
                    return
                headers = {
                    name: value
                    for name, value in self.headers.items()
                    if name.lower() not in NOT_PASSED_ON
                }
                try:
                    answer = proxy.upstream.post(self.path, content=content, headers=headers)
                except httpx.HTTPError:
                    self.close_connection = True
                    return
                if fate == "lose":
                    self.close_connection = True
                    return
                self.say(answer.status_code, answer.headers, answer.content)

            def say(self, status, headers, content):
                with suppress(OSError):
                    self.send_response(status)
                    self.send_header("content-type", headers.get("content-type", "text/plain"))
                    self.send_header("content-length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)

            def handle(self):
                with suppress(OSError):
                    super().handle()

            def log_message(self, *arguments):
                pass

        return Handler
