"""Real daemons behind a real nginx that asks for client certificates; one site is revoked."""

import datetime
import json
import os
import ssl
import subprocess
import sys
import urllib.request
from contextlib import ExitStack

import pytest
from prometheus_client.parser import text_string_to_metric_families

from fedcausal.cli import main
from fedcausal.daemons.processes import await_until, end_process, free_port
from fedcausal.errors import DeadlineError, FedCausalError
from fedcausal.results.run import load_run
from fedcausal.study import Study
from fedcausal_clients.daemon.enrolment import join
from fedcausal_clients.daemon.home import ensure_node_key, load_identity
from fedcausal_server.daemon.control import Control, is_serving
from fedcausal_server.daemon.deployed_runs import prepare_run, submit_run, watch_run
from fedcausal_server.daemon.home import create_home
from fedcausal_server.parties.authority import certify
from fedcausal_server.parties.enrolling import confirm, invite
from fedcausal_simulations.made_up import made_up_rows
from fedcausal_simulations.simulation import simulate, tables_of
from fedcausal_simulations.workspace import prepare_workspace, read_nodes
from tests.deploy.test_proxy import NGINX, WITH_CERTIFICATES, await_port

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1700),
    pytest.mark.skipif(NGINX is None, reason="there is no nginx on this machine"),
]
STUDY = Study.model_validate(
    {
        "study": {"name": "small"},
        "variables": {name: {"kind": "continuous", "bounds": [-10, 10]} for name in "xyz"},
        "discovery": {"bootstrap": 0, "votes": False},
        "rounds": {"deadline_seconds": 240, "quorum": 3},
    }
)
STEPS = ("discovery",)


class Deployment:
    """A coordinator, its proxy and five parties, each a process; logs as JSON lines."""

    def __init__(self, folder, ending):
        self.folder, self.ending, self.processes = folder, ending, {}
        self.public, self.metrics = free_port(), free_port()
        self.home = create_home(
            folder / "coordinator",
            name="hospitals",
            hosts=["127.0.0.1"],
            port=free_port(),
            bind="127.0.0.1",
            public_port=self.public,
            metrics_port=self.metrics,
            now=now(),
        )

    def start(self, name, *words):
        command = [sys.executable, "-P", "-m", "fedcausal.cli", *words, "--log-format", "json"]
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=log, stderr=log
            )
        self.ending.callback(end_process, process, seconds=30)
        self.processes[name] = process

    def nginx(self, *words):
        return [NGINX, "-c", f"{self.folder}/nginx.conf", "-e", f"{self.folder}/error.log", *words]

    def start_proxy(self):
        certify(self.home, now=now())
        text = WITH_CERTIFICATES.read_text()
        for theirs, ours in {
            "127.0.0.1:8443": self.home.local_address,
            "listen 443": f"listen 127.0.0.1:{self.public}",
            "/srv/coordinator": str(self.home.folder),
        }.items():
            text = text.replace(theirs, ours)
        temporary = " ".join(
            f"{kind}_temp_path {self.folder}/{kind};"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        (self.folder / "nginx.conf").write_text(
            f"daemon off; pid {self.folder}/nginx.pid; events {{}}\n"
            f"http {{ access_log off; {temporary}\n{text}\n}}\n"
        )
        process = subprocess.Popen(self.nginx())
        self.ending.callback(end_process, process)
        return process

    def reload(self):
        subprocess.run(self.nginx("-s", "reload"), check=True)

    def online(self):
        control = Control(self.home)
        try:
            names = {p.node_key: p.name for p in self.home.book().enrolments.values()}
            return {names[n.public_key] for n in control.nodes() if n.status == "online"}
        finally:
            control.close()

    def samples(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics}/metrics") as answer:
            families = text_string_to_metric_families(answer.read().decode())
        return {(s.name, *s.labels.values()): s.value for f in families for s in f.samples}


def now():
    return datetime.datetime.now(datetime.UTC)


@pytest.fixture
def tables():
    rows = made_up_rows(STUDY, seed=3, num_rows=800)
    return tables_of(rows, site_column=None, num_sites=4, seed=3)


@pytest.fixture
def deployment(tmp_path, tables):
    with ExitStack() as ending:
        running = Deployment(tmp_path, ending)
        workspace = prepare_workspace(STUDY, tables, tmp_path / "work", seed=3)
        running.start("coordinator", "coordinator", "start", str(running.home.folder))
        await_until(lambda: is_serving(running.home), "the coordinator", seconds=300)
        nginx = running.start_proxy()

        def ask(path):
            trusted = ssl.create_default_context(cafile=running.home.authority)
            url = f"https://127.0.0.1:{running.public}{path}"
            with urllib.request.urlopen(url, context=trusted, timeout=20):
                pass

        await_port(ask, nginx, tmp_path)
        running.tokens, running.homes = [], {}
        for node in read_nodes(workspace):
            folder = running.homes[node.name] = workspace / node.home
            ensure_node_key(folder)
            path = invite(running.home, node.name, node.role, days=1, out=tmp_path / node.name)
            running.tokens.append(json.loads(path.read_bytes())["token"])
            join(folder, path)
            confirm(running.home, node.name, load_identity(folder).fingerprint())
        certify(running.home, now=now())
        for name, folder in running.homes.items():
            assert main(["site", "certificate", str(folder)]) == 0
            running.start(name, "site", "start", str(folder), "--poll", "0.25")
        await_until(
            lambda: running.online() == set(running.homes), "all nodes to be online", seconds=400
        )
        yield running


def test_a_study_behind_client_certificates_and_a_revocation(deployment, tables, tmp_path):
    first = prepare_run(deployment.home, STUDY, seed=3, steps=STEPS, name="first")
    submit_run(deployment.home, first)
    done = ended(deployment.home, first)
    alone = simulate(STUDY, tables, seed=3, steps=STEPS, out=tmp_path / "alone")
    assert done.result["exact"] == alone.result["exact"]
    found = deployment.samples()
    assert found["fedcausal_nodes", "online"] == 5
    assert found["fedcausal_runs", "finished"] == 1

    second = prepare_run(deployment.home, STUDY, seed=4, steps=STEPS, name="second")
    submit_run(deployment.home, second)
    out = deployment.home.run_folder(second)
    await_until(lambda: (out / "journal").exists(), "the second run to begin", seconds=200)
    lost = sorted(name for name in deployment.homes if not name.startswith("steward"))[0]
    words = ["coordinator", "revoke", str(deployment.home.folder), lost, "--why", "stolen"]
    assert main(words) == 0
    deployment.reload()
    assert_lost_or_complete(deployment.home, second, lost)
    assert lost not in deployment.online()
    with pytest.raises(FedCausalError, match=lost):
        submit_run(deployment.home, prepare_again(deployment, lost))
    await_until(
        lambda: "not connected" in (deployment.folder / f"{lost}.log").read_text(),
        "the revoked site to be refused",
        seconds=300,
    )
    check_logs(deployment, tables)


def watched(home, name):
    return load_run(watch_run(home, name, seconds=700, say=print).out)


def ended(home, name):
    """The run, resumed as an operator would where a starved SuperLink ended it."""
    for _ in range(3):
        try:
            return watched(home, name)
        except FedCausalError:
            submit_run(home, name)
    return watched(home, name)


def assert_lost_or_complete(home, name, lost):
    """The run goes on without the site, or ends with an error of ours; nothing hangs."""
    try:
        dropouts = watched(home, name).card.get("dropouts", ())
    except DeadlineError:
        raise
    except FedCausalError:
        assert not (home.run_folder(name) / "result.json").exists()
        return
    assert {entry["site"] for entry in dropouts} <= {lost}


def prepare_again(deployment, lost):
    """A run that was prepared with the site before it was revoked."""
    name = prepare_run(deployment.home, STUDY, seed=5, steps=STEPS, name="third")
    path = deployment.home.workspace(name) / "parties.json"
    path.write_text(json.dumps([*json.loads(path.read_bytes()), lost]))
    return name


def check_logs(deployment, tables):
    """Every line is an object; no secret, and no value of a record, stands in any."""
    secrets = [deployment.home.operator_token.read_text(), *deployment.tokens]
    for folder in (*deployment.homes.values(), deployment.home.folder):
        for path in [*folder.rglob("*.key"), *folder.rglob("*.pem")]:
            secrets += [line for line in path.read_text().splitlines() if "--" not in line]
    values = [f"{v:.6f}"[:-1] for table in tables.values() for v in table["x"].to_pylist()[:50]]
    for name in deployment.processes:
        text = (deployment.folder / f"{name}.log").read_text()
        for line in text.splitlines():
            assert {"time", "level", "message", "role"} <= set(json.loads(line)), line
        assert not any(secret in text for secret in secrets if len(secret) > 20)
        assert not any(value in text for value in values)
