"""Real processes on loopback, TLS between them: the tests end what they started, by its pid."""

import json
import os
import signal
import ssl
import subprocess
import time
from http.client import HTTPSConnection
from pathlib import Path

import pytest

from fedcausal.cli import main
from fedcausal.daemons.processes import await_until, holder_of
from fedcausal.errors import FedCausalError, LinkError
from fedcausal.results.run import load_run
from fedcausal_server.daemon.control import is_serving
from fedcausal_server.daemon.deployed_runs import (
    abort_run,
    prepare_run,
    run_status,
    submit_run,
    watch_run,
)
from tests.deployed import (
    SEED,
    children,
    deployed,
    descendants,
    entries,
    exact,
    simulated,
    small_rows,
    small_study,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

STEPS = ("discovery", "model", "effects")
STUDY = small_study(vote_bootstraps=2)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return simulated(STUDY, tmp_path_factory.mktemp("simulated") / "run", steps=STEPS)


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with deployed(STUDY, tmp_path_factory.mktemp("deployed")) as found:
        yield found


def rounds(home, name):
    """Rounds on record."""
    return entries(home, name, "round/")


def submitted(running, name):
    """A run that has released one round, and no more than it must have."""
    prepare_run(running.home, STUDY, seed=SEED, steps=STEPS, name=name)
    submit_run(running.home, name)
    await_until(lambda: rounds(running.home, name), f"round 1 of {name}", seconds=600)


def finish(running, name):
    """Watch a run that was disturbed; resume it until it ends well."""
    for _ in range(3):
        try:
            return watch_run(running.home, name, seconds=600, say=print)
        except FedCausalError as error:
            print("resuming after:", error)
            submit_run(running.home, name)
    raise AssertionError(f"{name} did not end")


def test_a_rehearsal_gives_the_exact_result_of_a_simulation(alone, tmp_path, capsys):
    study, rows = tmp_path / "study.toml", tmp_path / "rows.csv"
    study.write_text(STUDY.to_toml())
    small_rows(STUDY).to_pandas().to_csv(rows, index=False)
    words = ["rehearse", str(study), "--data", str(rows), "--sites", "3", "--seed", str(SEED)]
    before = set(descendants(os.getpid()))
    assert main([*words, "--out", str(tmp_path / "run"), "--timeout", "900"]) == 0, capsys
    assert exact(load_run(tmp_path / "run")) == exact(alone)
    lines = (tmp_path / "run" / "audit.jsonl").read_text().splitlines()
    parties = {json.loads(line)["party"] for line in lines}
    assert parties == {"site_1", "site_2", "site_3", "steward"}
    assert set(descendants(os.getpid())) <= before


def test_sites_reach_the_fleet_and_health_alone(running):
    context = ssl.create_default_context(cafile=running.home.authority)

    def ask(path, headers):
        connection = HTTPSConnection(
            "127.0.0.1", running.home.config.port, timeout=30, context=context
        )
        connection.request("POST", path, b"", headers)
        status = connection.getresponse().status
        connection.close()
        return status

    through_a_proxy = {"x-forwarded-for": "192.0.2.7"}
    for path in ("/v1/control/list-runs", "/v1/runtime/acquire-task", "/docs", "/openapi.json"):
        assert ask(path, through_a_proxy) == 403
    assert ask("/v1/control/list-runs", {}) == 403
    assert ask("/v1/fleet/activate-node", through_a_proxy) not in (200, 403, 404)


def test_every_process_is_offline(running):
    daemons = [process.pid for process in running.processes.values()]
    await_until(lambda: all(map(children, daemons)), "every daemon's node", seconds=300)
    for pid in (*daemons, *(children(pid)[0] for pid in daemons)):
        mapped = Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]
        ours = sockets_of(pid)
        remote = [line.split()[2] for line in mapped if line.split()[9] in ours]
        assert all(place.startswith(("0100007F", "00000000")) for place in remote)


def sockets_of(pid):
    """Inode numbers of a process's sockets."""
    found = set()
    for path in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = os.readlink(path)
        except FileNotFoundError:
            continue
        if target.startswith("socket:["):
            found.add(target[8:-1])
    return found


def test_a_killed_coordinator_resumes_with_the_same_result(running, alone):
    submitted(running, "killed")
    process = running.processes["coordinator"]
    process.kill()
    process.wait(30)
    await_until(lambda: not is_serving(running.home), "the orphan's end", seconds=120)
    kept = rounds(running.home, "killed")
    assert kept
    running.start("coordinator")
    running.await_serving()
    with pytest.raises(LinkError, match=r"coordinator was killed .* resume it"):
        watch_run(running.home, "killed", seconds=300, say=print)
    submit_run(running.home, "killed")
    run = load_run(finish(running, "killed").out)
    assert exact(run) == exact(alone)
    assert run.card["replayed_rounds"] >= len(kept)
    assert run_status(running.home, "killed") == "finished"


def test_a_killed_superlink_is_started_again_and_the_study_goes_on(running, alone):
    """No resume: the study asks again until there is a SuperLink."""
    submitted(running, "relinked")
    daemon = running.processes["coordinator"]
    link = children(daemon.pid)[0]
    os.kill(link, signal.SIGKILL)
    run = load_run(watch_run(running.home, "relinked", seconds=900, say=print).out)
    assert exact(run) == exact(alone)
    assert run.card["replayed_rounds"] == 0
    assert daemon.poll() is None


def test_a_renewed_certificate_costs_no_run(running, alone):
    submitted(running, "renewed")
    daemon = running.processes["coordinator"]
    before = children(daemon.pid)[0], served_certificate(running.home)
    assert main(["coordinator", "renew", str(running.home.folder)]) == 0
    run = load_run(watch_run(running.home, "renewed", seconds=900, say=print).out)
    assert exact(run) == exact(alone)
    assert run.card["replayed_rounds"] == 0
    after = children(daemon.pid), served_certificate(running.home)
    assert before[0] not in after[0]
    assert before[1] != after[1]
    assert daemon.poll() is None


def served_certificate(home):
    return ssl.get_server_certificate(("127.0.0.1", home.config.port), timeout=30)


def test_a_killed_study_is_told_at_once(running):
    """Its process is killed, its daemon and the SuperLink live: nobody waits for a heartbeat."""
    submitted(running, "struck")
    pid = holder_of(running.home.workspace("struck"))
    os.kill(pid, signal.SIGKILL)
    began = time.monotonic()
    with pytest.raises(LinkError, match=r"its process ended \(-9\).* resume it"):
        watch_run(running.home, "struck", seconds=300, say=print)
    assert time.monotonic() - began < 200
    submit_run(running.home, "struck")
    watch_run(running.home, "struck", seconds=900, say=print)


def test_an_aborted_run_stops_and_can_be_resumed(running, alone):
    submitted(running, "aborted")
    assert abort_run(running.home, "aborted")
    await_until(lambda: run_status(running.home, "aborted") == "stopped", "the abort", seconds=60)
    submit_run(running.home, "aborted")
    assert exact(load_run(finish(running, "aborted").out)) == exact(alone)


def test_a_killed_site_reconnects_by_itself(running, alone):
    process = running.processes["site_1"]
    process.kill()
    process.wait(30)
    running.start("site_1")
    prepare_run(running.home, STUDY, seed=SEED, steps=("discovery",), name="rejoined")
    submit_run(running.home, "rejoined")
    run = load_run(finish(running, "rejoined").out)
    assert run.card["sites"] == ["site_1", "site_2", "site_3"]


def test_a_daemon_ends_on_a_signal_with_its_children(running):
    process = running.processes["steward"]
    below = descendants(process.pid)
    process.terminate()
    try:
        assert process.wait(60) == 0
    except subprocess.TimeoutExpired:
        pytest.fail("the daemon hangs")
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in below) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not [pid for pid in below if Path(f"/proc/{pid}").exists()]
