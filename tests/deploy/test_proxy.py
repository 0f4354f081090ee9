"""The proxy's configuration: read here, and run by a real nginx where there is one."""

import datetime
import os
import re
import shutil
import ssl
import subprocess
import threading
import time
from http.client import HTTPSConnection
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from fedcausal.daemons.processes import end_process, free_port
from fedcausal_server.coordinator_home import create_home

CONFIGURATION = Path(__file__).resolve().parents[2] / "deploy" / "proxy" / "coordinator.conf"
NGINX = shutil.which("nginx", path=f"{os.environ['PATH']}{os.pathsep}/usr/sbin")


def test_the_fleet_and_health_are_the_only_doors():
    text = re.sub(r"#.*", "", CONFIGURATION.read_text())
    places = dict(re.findall(r"location\s+([^{]+?)\s*{\s*([^;]+);", text))
    assert places == {
        "/v1/fleet/": "proxy_pass https://fedcausal",
        "= /health": "proxy_pass https://fedcausal",
        "/": "return 403",
    }
    assert "proxy_ssl_verify on;" in text
    assert "proxy_set_header X-Forwarded-For $remote_addr;" in text
    assert text.count("{") == text.count("}")


class Echo(BaseHTTPRequestHandler):
    """Answers with the path and the headers that arrived."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        kept = ("x-forwarded-for", "x-fedcausal-operator")
        seen = [self.path, *(f"{name}={self.headers.get(name)}" for name in kept)]
        content = "\n".join(seen).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def proxied(tmp_path):
    """A real nginx with our file in front of an echo; how to ask it."""
    if NGINX is None:
        pytest.skip("there is no nginx on this machine (Debian: apt-get install nginx-light)")
    home = create_home(
        tmp_path / "coordinator",
        name="n",
        hosts=["127.0.0.1"],
        now=datetime.datetime.now(datetime.UTC),
    )
    echo = HTTPServer(("127.0.0.1", 0), Echo)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(home.certificate)
    echo.socket = context.wrap_socket(echo.socket, server_side=True)
    thread = threading.Thread(target=echo.serve_forever, args=(0.05,))
    port = free_port()
    text = CONFIGURATION.read_text()
    for theirs, ours in {
        "127.0.0.1:8443": f"127.0.0.1:{echo.server_port}",
        "listen 443": f"listen 127.0.0.1:{port}",
        "/srv/coordinator": str(home.folder),
    }.items():
        assert theirs in text
        text = text.replace(theirs, ours)
    whole = (
        f"daemon off; pid {tmp_path}/nginx.pid; error_log {tmp_path}/error.log; events {{}}\n"
        f"http {{ access_log off; client_body_temp_path {tmp_path}/body; "
        f"proxy_temp_path {tmp_path}/proxy; fastcgi_temp_path {tmp_path}/f; "
        f"uwsgi_temp_path {tmp_path}/u; scgi_temp_path {tmp_path}/s;\n{text}\n}}\n"
    )
    (tmp_path / "nginx.conf").write_text(whole)
    command = [NGINX, "-c", str(tmp_path / "nginx.conf"), "-e", str(tmp_path / "error.log")]
    thread.start()
    nginx = subprocess.Popen(command)

    def ask(path, headers=None):
        trusted = ssl.create_default_context(cafile=home.authority)
        connection = HTTPSConnection("127.0.0.1", port, timeout=20, context=trusted)
        try:
            connection.request("POST", path, b"x" * 2**21, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read().decode().splitlines()
        finally:
            connection.close()

    try:
        await_port(ask, nginx, tmp_path)
        yield ask
    finally:
        end_process(nginx)
        echo.shutdown()
        thread.join(30)
        echo.server_close()


def await_port(ask, nginx, tmp_path):
    for _ in range(200):
        assert nginx.poll() is None, (tmp_path / "error.log").read_text()
        try:
            ask("/health")
            return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError("nginx does not answer")


def test_a_real_proxy_passes_the_fleet_and_nothing_else(proxied):
    status, seen = proxied("/v1/fleet/pull-messages", {"X-Fedcausal-Operator": "stolen"})
    assert status == 200
    assert seen == [
        "/v1/fleet/pull-messages",
        "x-forwarded-for=127.0.0.1",
        "x-fedcausal-operator=None",
    ]
    assert proxied("/health")[0] == 200
    for path in (
        "/v1/control/list-runs",
        "/v1/runtime/acquire-task",
        "/docs",
        "/openapi.json",
        "/",
        "/v1/fleet/../control/list-runs",
        "/v1/fleet/%2e%2e/control/list-runs",
        "/health/x",
    ):
        assert proxied(path)[0] == 403, path
