"""The thin bundle on Flower's own command line: built, run on a private SuperLink, stopped."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import zipfile
from http.client import HTTPConnection
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fedcausal.study import Study
from fedcausal_simulations.ray import OFFLINE
from fedcausal_simulations.workspace import prepare_workspace

ROOT = Path(__file__).resolve().parents[2]
BUNDLE = ROOT / "deploy" / "flwr-app"
BIN = Path(sys.executable).parent

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def environment(tmp_path):
    folders = (ROOT / name for name in ("", "privacy", "clients", "server", "simulations"))
    return {
        **os.environ,
        **OFFLINE,
        "FLWR_HOME": str(tmp_path / "flwr"),
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(map(str, folders)),
    }


@pytest.fixture
def bundle(tmp_path, environment):
    folder = tmp_path / "bundle"
    shutil.copytree(BUNDLE, folder)
    command = [BIN / "flwr", "build", "--app", folder]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, timeout=120)
    return folder


@pytest.fixture
def superlink(tmp_path, environment):
    """A SuperLink of our own in simulation mode; its whole process group ends with the test."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    home = tmp_path / "flwr"
    home.mkdir()
    (home / "config.toml").write_text(
        f'[superlink]\ndefault = "ours"\n[superlink.ours]\naddress = "127.0.0.1:{port}"\n'
        "insecure = true\n"
    )
    command = [
        BIN / "flower-superlink",
        "--insecure",
        "--simulation",
        "--disable-runtime-dependency-installation",
        *("--host", "127.0.0.1", "--port", str(port)),
        *("--database", str(tmp_path / "link.db")),
    ]
    log = (tmp_path / "superlink.log").open("wb")
    process = subprocess.Popen(
        command, env=environment, stdout=log, stderr=log, start_new_session=True
    )
    try:
        await_health(port, process)
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(30)
        log.close()


def await_health(port, process):
    for _ in range(240):
        assert process.poll() is None, "the SuperLink ended"
        connection = HTTPConnection("127.0.0.1", port, timeout=2)
        try:
            connection.request("GET", "/health")
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(0.5)
    raise TimeoutError("the SuperLink does not answer")


def small_study():
    kinds = {name: {"kind": "continuous", "bounds": [-10, 10]} for name in "xyz"}
    return Study.model_validate(
        {"variables": kinds, "discovery": {"bootstrap": 0, "vote_bootstraps": 2}}
    )


def small_tables():
    rng = np.random.default_rng(0)
    tables = {}
    for site in ("a", "b", "c"):
        x = rng.normal(size=200)
        y = x + rng.normal(size=200) / 2
        tables[site] = pd.DataFrame({"x": x, "y": y, "z": y + rng.normal(size=200) / 2})
    return tables


def test_the_bundle_ships_no_code(bundle, tmp_path):
    (fab,) = [*tmp_path.glob("*.fab"), *bundle.glob("*.fab")]
    with zipfile.ZipFile(fab) as archive:
        assert sorted(archive.namelist()) == [".info/CONTENT", "BUNDLE.md", "pyproject.toml"]


def test_a_study_runs_on_flowers_command_line(bundle, superlink, tmp_path, environment):
    workspace = prepare_workspace(small_study(), small_tables(), tmp_path / "work", seed=1)
    out = tmp_path / "out"
    config = f'workspace="{workspace}" out="{out}" seed=1 steps="discovery"'
    command = [
        *(BIN / "flwr", "run", bundle, "ours", "--stream", "--run-config", config),
        *("--federation-config", "num-supernodes=4 client-resources-num-cpus=1"),
    ]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=400, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (out / "run.json").is_file(), done.stdout[-4000:] + done.stderr[-4000:]
    assert json.loads((out / "run.json").read_text())["sites"] == ["a", "b", "c"]
