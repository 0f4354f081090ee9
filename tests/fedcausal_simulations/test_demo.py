"""The main promise: one command, four hospitals, no network, the graph of the pooled analyst."""

import json
import os
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from fedcausal.cli import main
from fedcausal.study import Study
from fedcausal_simulations import simulate
from fedcausal_simulations.demo import DemoResult
from fedcausal_simulations.heart import load_hospitals, load_study

SPOKE_TO_THE_NETWORK = 97
MOST_SECONDS = 90
MOST_CPU_SECONDS = 60
MOST_KILOBYTES = 1_500_000

# Ends the process at the first word to another machine, and reports what it used at its end.
GUARDED = f"""
import os, resource, sys

LOCAL = {{"localhost", "127.0.0.1", "::1", None, ""}}

def is_local(address):
    return not isinstance(address, tuple) or address[0] in LOCAL

def watch(event, args):
    spoke = (
        (event in ("socket.connect", "socket.sendto", "socket.sendmsg") and not is_local(args[1]))
        or (event == "socket.getaddrinfo" and args[0] not in LOCAL)
        or event in ("socket.gethostbyname", "socket.gethostbyaddr") and args[0] not in LOCAL
    )
    if spoke:
        os.write(2, f"network: {{event}} {{args[1:]}}".encode())
        os._exit({SPOKE_TO_THE_NETWORK})

sys.addaudithook(watch)
from fedcausal.cli import main
code = main(sys.argv[1:])
used = resource.getrusage(resource.RUSAGE_SELF)
# ru_maxrss would hold what the process that started this one had in memory, too.
with open("/proc/self/status") as status:
    peak = next(line.split()[1] for line in status if line.startswith("VmHWM"))
print(used.ru_utime + used.ru_stime, peak, file=sys.stderr)
sys.exit(code)
"""


def guarded(folder, *arguments):
    """Run a command as a stranger would: another folder and home, no display, no network."""
    home = folder / "home"
    home.mkdir()
    environment = {**os.environ, "HOME": str(home), "OMP_NUM_THREADS": "1", "COLUMNS": "80"}
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", GUARDED, *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment,
        check=False,
    )
    return done, time.monotonic() - started


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    rng = np.random.default_rng(0)
    kinds = {name: {"kind": "continuous", "bounds": [-10, 10]} for name in "xy"}
    study = Study.model_validate(
        {"variables": kinds, "discovery": {"bootstrap": 2, "vote_bootstraps": 2}}
    )
    tables = {}
    for site in "abc":
        x = rng.normal(size=60)
        tables[site] = pd.DataFrame({"x": x, "y": x + rng.normal(size=60)})
    return simulate(study, tables, out=tmp_path_factory.mktemp("small") / "run")


def test_the_demo_keeps_its_promise(tmp_path):
    done, seconds = guarded(tmp_path, "demo", "--out", "here/demo")
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.split())
    assert "one analyst with all rows and the same site labels gets are the same." in said
    assert "4 sites, 905 records" in said
    assert "epsilon 8" in said
    cpu_seconds, kilobytes = (float(word) for word in done.stderr.split()[-2:])
    # A machine that others keep busy says nothing about the demo: then its own work counts.
    assert seconds < MOST_SECONDS or cpu_seconds < MOST_CPU_SECONDS
    assert kilobytes < MOST_KILOBYTES
    assert "Traceback" not in done.stderr
    run = tmp_path / "here" / "demo"
    assert {path.name for path in run.iterdir()} >= {
        "audit.jsonl",
        "graph.dagitty.txt",
        "graph.json",
        "graph.png",
        "graph.svg",
        "model",
        "report.html",
        "result.json",
        "run.json",
    }
    assert {path.name for path in tmp_path.iterdir()} == {"home", "here"}
    assert [path.name for path in (tmp_path / "here").iterdir()] == ["demo"]


def test_the_guard_would_see_a_word_to_the_network(tmp_path):
    script = GUARDED.replace(
        "from fedcausal.cli import main",
        "import socket; socket.create_connection(('192.0.2.1', 80), timeout=1)",
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert done.returncode == SPOKE_TO_THE_NETWORK


@pytest.mark.slow
def test_the_demo_answers_programs_in_json(tmp_path):
    done, _ = guarded(tmp_path, "demo", "--out", "demo", "--format", "json")
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)["data"]
    assert data["equals_pooled_analyst"] is True
    assert data["num_records"] == 905
    assert data["graph"]["kind"] in ("cpdag", "dag")
    assert data["graph"] == json.loads((tmp_path / "demo" / "graph.json").read_text())


@pytest.mark.parametrize("same", [True, False])
def test_the_answer_says_whether_the_graphs_are_the_same(small, monkeypatch, capsys, same):
    result = DemoResult(run=small, equals_pooled_analyst=same)
    monkeypatch.setattr("fedcausal_simulations.demo.run_demo", lambda **_: result)
    assert main(["demo"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert f"the same site labels gets are {'the same' if same else 'NOT the same'}." in said
    assert main(["demo", "--format", "json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["data"]["equals_pooled_analyst"] is same
    assert answer["data"]["path"] == str(small.path)
    assert main(["demo", "--quiet"]) == 0
    assert len(capsys.readouterr().out.splitlines()) < 20


def test_the_hospitals_are_those_of_the_study():
    study, hospitals = load_study(), load_hospitals()
    assert {name: len(frame) for name, frame in hospitals.items()} == {
        "Cleveland": 304,
        "Hungary": 293,
        "Switzerland": 123,
        "VA Long Beach": 200,
    }
    for frame in hospitals.values():
        assert set(study.variables) <= set(frame.columns)
        assert ((frame["num"] > 0) == (frame["disease"] == 1)).all()
