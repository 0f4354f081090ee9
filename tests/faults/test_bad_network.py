"""One connection in five is cut on its way: sites try again, and the result is the same."""

import json
import socket
import threading
from contextlib import closing, suppress

import pytest

from fedcausal.results.run import load_run
from fedcausal_server.daemon.deployed_runs import prepare_run, submit_run, watch_run
from tests.deployed import SEED, SITES, deployed, exact, simulated, small_study
from tests.faults.fault_proxy import FaultProxy

CUT, WITHIN = 0.2, 3000
STEPS = ("discovery", "model", "effects")


@pytest.fixture
def echo():
    """A server that gives back what comes."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(peer):
        with peer, suppress(OSError):
            while content := peer.recv(4096):
                peer.sendall(content)

    def accept():
        with suppress(OSError):
            while True:
                peer, _ = listener.accept()
                threading.Thread(target=serve, args=(peer,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    # Closing alone does not wake the thread that waits in accept.
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(10)


def asked(port, size):
    """What comes back of `size` bytes; less when the connection is cut."""
    got = b""
    with (
        suppress(OSError),
        closing(socket.create_connection(("127.0.0.1", port), timeout=20)) as client,
    ):
        client.sendall(bytes(size))
        while len(got) < size and (content := client.recv(4096)):
            got += content
    return len(got)


def test_the_proxy_cuts_the_share_that_it_was_told(echo):
    with FaultProxy(echo, cut=CUT, within=3000, seed=1) as proxy:
        sizes = [asked(proxy.port, 3000) for _ in range(50)]
    assert proxy.num_cut + proxy.num_passed == 50
    assert sizes.count(3000) == proxy.num_passed
    assert 4 <= proxy.num_cut <= 20


def test_the_proxy_closes_what_is_idle(echo):
    with (
        FaultProxy(echo, cut=0, idle_seconds=0.2) as proxy,
        closing(socket.create_connection(("127.0.0.1", proxy.port), timeout=20)) as client,
    ):
        client.sendall(b"x")
        assert client.recv(10) == b"x"
        assert client.recv(10) == b""


@pytest.mark.slow
@pytest.mark.timeout(1700)
def test_a_study_over_a_network_that_cuts_one_connection_in_five(tmp_path):
    """The whole study; idle connections are closed, so that nearly every request makes one."""
    study = small_study(vote_bootstraps=2)
    alone = simulated(study, tmp_path / "simulated", steps=STEPS)
    with (
        deployed(study, tmp_path) as running,
        FaultProxy(
            running.home.config.port, cut=CUT, within=WITHIN, idle_seconds=0.5, seed=2
        ) as proxy,
    ):
        for name in (*SITES, "steward"):
            process = running.processes[name]
            process.terminate()
            process.wait(60)
            link = running.workspace / name / "coordinator" / "link.json"
            assert json.loads(link.read_bytes())["address"]
            link.write_text(json.dumps({"address": f"127.0.0.1:{proxy.port}"}))
            running.start(name)
        name = prepare_run(running.home, study, seed=SEED, steps=STEPS)
        submit_run(running.home, name)
        run = load_run(watch_run(running.home, name, seconds=1500, say=print).out)
        print(f"{proxy.num_cut} of {proxy.num_cut + proxy.num_passed} connections were cut")
        assert proxy.num_cut >= 20
    assert exact(run) == exact(alone)
    assert run.card["sites"] == list(SITES)
