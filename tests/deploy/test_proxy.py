"""The proxy's configuration: read here, and run by a real nginx where there is one."""

import datetime
import os
import re
import shutil
import ssl
import subprocess
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from http.client import HTTPSConnection
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from fedcausal.daemons.processes import Forked, await_until, end_process, free_port
from fedcausal_clients.daemon.forwarder import prepare_forwarder, run_forwarder
from fedcausal_clients.daemon.home import (
    create_party_home,
    load_identity,
    load_node_key,
    read_coordinator,
    write_client_certificate,
    write_coordinator,
)
from fedcausal_privacy.keys.client_certificates import node_key_as_pem
from fedcausal_privacy.keys.enrolment import Invitation, request_to_join
from fedcausal_server.daemon.home import create_home
from fedcausal_server.parties.authority import certify, current_certificate
from fedcausal_server.parties.enrolling import confirm, invite, revoke

PROXY = Path(__file__).resolve().parents[2] / "deploy" / "proxy"
CONFIGURATION = PROXY / "coordinator.conf"
WITH_CERTIFICATES = PROXY / "coordinator-mtls.conf"
NGINX = shutil.which("nginx", path=f"{os.environ['PATH']}{os.pathsep}/usr/sbin")


def test_the_fleet_and_health_are_the_only_doors():
    text = directives(CONFIGURATION)
    places = dict(re.findall(r"location\s+([^{]+?)\s*{\s*([^;]+);", text))
    assert places == {
        "/v1/fleet/": "proxy_pass https://fedcausal",
        "= /health": "proxy_pass https://fedcausal",
        "/": "return 403",
    }
    assert "proxy_ssl_verify on;" in text
    assert "proxy_set_header X-Forwarded-For $remote_addr;" in text
    assert text.count("{") == text.count("}")


def directives(path):
    return re.sub(r"#.*", "", path.read_text())


def test_client_certificates_open_nothing_more():
    plain, text = directives(CONFIGURATION), directives(WITH_CERTIFICATES)
    plain = plain.replace("listen 443 ssl;", "listen 443 ssl default_server;")
    lines = [line.strip() for line in text.splitlines()]
    missing = [line.strip() for line in plain.splitlines() if line.strip() not in lines]
    assert missing == []
    doors = re.findall(r"location\s+([^{]+?)\s*{", text)
    assert doors == [
        "/v1/fleet/",
        "= /v1/fleet/fedcausal/join",
        "= /v1/fleet/fedcausal/roster",
        "= /health",
        "/",
    ]
    assert re.search(r"location /v1/fleet/ {\s*if \(\$ssl_client_verify != SUCCESS\)", text)
    assert "ssl_session_tickets off;" in " ".join(text.split())


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


class Proxied:
    """A real nginx with one of our files in front of an echo."""

    def __init__(self, home, port, nginx, folder):
        self.home, self.port, self.nginx, self.folder = home, port, nginx, folder

    def ask(self, path, headers=None, *, certificate=None):
        """The status, and what the echo saw; `certificate` is a file with key and certificate."""
        trusted = ssl.create_default_context(cafile=self.home.authority)
        if certificate is not None:
            trusted.load_cert_chain(certificate)
        connection = HTTPSConnection("127.0.0.1", self.port, timeout=20, context=trusted)
        try:
            connection.request("POST", path, b"x" * 2**21, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read().decode().splitlines()
        finally:
            connection.close()

    def command(self):
        return [NGINX, "-c", str(self.folder / "nginx.conf"), "-e", str(self.folder / "error.log")]

    def reload(self):
        """As an operator does after `revoke`; new connections meet the new list."""
        subprocess.run([*self.command(), "-s", "reload"], check=True)


@pytest.fixture
def coordinator_home(tmp_path):
    return create_home(
        tmp_path / "coordinator",
        name="n",
        hosts=["127.0.0.1"],
        now=datetime.datetime.now(datetime.UTC),
    )


@contextmanager
def nginx_in_front(home, configuration, folder):
    if NGINX is None:
        pytest.skip("there is no nginx on this machine (Debian: apt-get install nginx-light)")
    echo = HTTPServer(("127.0.0.1", 0), Echo)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(home.certificate)
    echo.socket = context.wrap_socket(echo.socket, server_side=True)
    thread = threading.Thread(target=echo.serve_forever, args=(0.05,))
    port = free_port()
    text = configuration.read_text()
    for theirs, ours in {
        "127.0.0.1:8443": f"127.0.0.1:{echo.server_port}",
        "listen 443": f"listen 127.0.0.1:{port}",
        "/srv/coordinator": str(home.folder),
    }.items():
        assert theirs in text
        text = text.replace(theirs, ours)
    whole = (
        f"daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log; events {{}}\n"
        f"http {{ access_log off; client_body_temp_path {folder}/body; "
        f"proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f; "
        f"uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n{text}\n}}\n"
    )
    (folder / "nginx.conf").write_text(whole)
    proxied = Proxied(home, port, None, folder)
    thread.start()
    proxied.nginx = subprocess.Popen(proxied.command())
    try:
        await_port(proxied.ask, proxied.nginx, folder)
        yield proxied
    finally:
        end_process(proxied.nginx)
        echo.shutdown()
        thread.join(30)
        echo.server_close()


@pytest.fixture
def proxied(coordinator_home, tmp_path):
    with nginx_in_front(coordinator_home, CONFIGURATION, tmp_path) as running:
        yield running.ask


@pytest.fixture
def parties(coordinator_home, tmp_path):
    """Two enrolled parties' folders, with their client certificates fetched."""
    folders = {}
    for name in ("north", "south"):
        folder = tmp_path / name
        create_party_home(folder, name=name, role="steward", data=None)
        path = invite(coordinator_home, name, "steward", days=1, out=tmp_path / f"{name}.json")
        invitation = Invitation.from_bytes(path.read_bytes())
        request = request_to_join(invitation, load_identity(folder), load_node_key(folder))
        with coordinator_home.changed_book() as held:
            held[0] = held[0].join(request, now=0.0)
        confirm(coordinator_home, name, load_identity(folder).fingerprint())
        write_coordinator(folder, invitation)
        folders[name] = folder
    certify(coordinator_home, now=datetime.datetime.now(datetime.UTC))
    for name, folder in folders.items():
        made = current_certificate(coordinator_home, coordinator_home.book().enrolments[name])
        write_client_certificate(folder, made.read_text())
        key = node_key_as_pem((folder / "state" / "node.key").read_bytes())
        (folder / "both.pem").write_bytes(key + made.read_bytes())
    return folders


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


FLEET = "/v1/fleet/pull-messages"


def test_a_real_proxy_asks_for_certificates(coordinator_home, parties, tmp_path):
    with nginx_in_front(coordinator_home, WITH_CERTIFICATES, tmp_path) as proxied:
        shown = {name: folder / "both.pem" for name, folder in parties.items()}
        assert proxied.ask(FLEET)[0] == 403
        assert proxied.ask(FLEET, certificate=shown["north"])[0] == 200
        assert proxied.ask(FLEET, certificate=shown["south"])[0] == 200
        # The server's own certificate is of the same authority, and no client's.
        assert proxied.ask(FLEET, certificate=coordinator_home.certificate)[0] == 400
        for path in ("/v1/fleet/fedcausal/join", "/v1/fleet/fedcausal/roster", "/health"):
            assert proxied.ask(path)[0] == 200
        for path in ("/v1/control/list-runs", "/v1/runtime/acquire-task", "/docs"):
            assert proxied.ask(path, certificate=shown["north"])[0] == 403

        revoke(coordinator_home, "north", why="the laptop was stolen")
        certify(coordinator_home, now=datetime.datetime.now(datetime.UTC))
        proxied.reload()
        await_until(
            lambda: proxied.ask(FLEET, certificate=shown["north"])[0] == 400,
            "nginx to refuse the revoked certificate",
            seconds=30,
        )
        assert proxied.ask(FLEET, certificate=shown["south"])[0] == 200


def test_a_node_behind_the_forwarder_is_let_in(coordinator_home, parties, tmp_path):
    with nginx_in_front(coordinator_home, WITH_CERTIFICATES, tmp_path) as proxied:
        joined = read_coordinator(parties["south"])
        there = replace(joined, address=f"127.0.0.1:{proxied.port}")
        forwarder = prepare_forwarder(there, parties["south"] / "state")
        process = Forked.start(lambda: run_forwarder(forwarder))
        try:
            through = ssl.create_default_context(cafile=forwarder.local.authority)
            answers = []

            def reached():
                connection = HTTPSConnection(
                    "127.0.0.1", forwarder.port, timeout=20, context=through
                )
                try:
                    connection.request("POST", FLEET, b"x" * 2**23)
                    answer = connection.getresponse()
                    answers.append((answer.status, answer.read().decode().splitlines()[0]))
                except OSError:
                    return False
                finally:
                    connection.close()
                return True

            await_until(reached, "the forwarder", seconds=30)
            assert answers == [(200, FLEET)]
        finally:
            end_process(process)
