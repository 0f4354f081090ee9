"""Flower's real client against a server of our own on loopback that answers as it is told."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from flwr.proto.node_pb2 import NodeInfo
from flwr.proto.runtime_pb2 import GetNodesResponse, SendTaskHeartbeatResponse
from flwr.supercore.heartbeat import make_task_heartbeat_fn_http

from fedcausal.errors import UnreachableError
from fedcausal_privacy.messages import Message
from fedcausal_server.transport import steady_grid
from fedcausal_server.transport.link import FlowerLink
from fedcausal_server.transport.outage import STATUS
from fedcausal_server.transport.steady_grid import SteadyGrid

CONTENT = {
    "/v1/runtime/get-nodes": GetNodesResponse(nodes=[NodeInfo(node_id=7)]),
    "/v1/runtime/send-task-heartbeat": SendTaskHeartbeatResponse(success=True),
}


@pytest.fixture
def superlink():
    """Its `faults` come first, one per request: a status, or None to hang up."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["content-length"]))
            self.server.num_asked += 1
            status = self.server.faults.pop(0) if self.server.faults else 200
            if status is None:
                self.close_connection = True
                return
            content = CONTENT[self.path].SerializeToString() if status == 200 else b""
            self.send_response(status)
            self.send_header("content-type", "application/protobuf")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.faults, server.num_asked = [], 0
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join(10)


@pytest.fixture
def grid(superlink):
    made = SteadyGrid(f"127.0.0.1:{superlink.server_address[1]}", insecure=True, token="t")
    # Flower's pauses are random, up to a second, two, four: not in a test.
    made._retry_invoker.jitter = lambda seconds: 0.01
    yield made
    made.close()


@pytest.mark.parametrize("fault", [500, 502, 503, None])
def test_a_request_is_repeated_through_errors_of_the_server(grid, superlink, fault):
    superlink.faults = [fault] * 3
    assert list(grid.get_node_ids()) == [7]
    assert superlink.num_asked == 4


def test_a_heartbeat_outlives_an_error_of_the_server(grid, superlink):
    """Flower's own thread of heartbeats ends with an exception at the first 500."""
    beat = make_task_heartbeat_fn_http(grid._runtime_client)
    grid._retry_invoker.max_time = 0
    superlink.faults = [500]
    assert beat() is False
    assert beat() is True


@pytest.mark.parametrize("fault", [500, None])
def test_no_request_lasts_for_ever(grid, superlink, monkeypatch, fault):
    assert grid._retry_invoker.max_time == steady_grid.REQUEST_SECONDS
    grid._retry_invoker.max_time = 0.1
    superlink.faults = [fault] * 1000
    with pytest.raises(httpx.HTTPError) as caught:
        grid.get_node_ids()
    if fault:
        assert caught.value.response.extensions[STATUS] == 500


def test_a_link_gives_up_at_its_deadline_and_says_why(grid, superlink):
    grid._retry_invoker.max_time = 0.0
    superlink.faults = [500] * 1000
    link = FlowerLink(grid, deadline_seconds=0.3)
    with pytest.raises(UnreachableError, match=r"did not list its nodes .*HTTP 500.* resume"):
        link.greet(Message(kind="query.hello", header={"run_id": "r"}), ["a"])


def test_a_refusal_is_not_repeated(grid, superlink):
    superlink.faults = [404]
    with pytest.raises(httpx.HTTPStatusError):
        grid.get_node_ids()
    assert superlink.num_asked == 1
