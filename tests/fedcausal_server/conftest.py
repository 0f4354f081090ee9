"""A coordinator's home, a book of parties, and a SuperLink that is a few dictionaries."""

import datetime

import pytest

from fedcausal.study import Study
from fedcausal_privacy.keys.certificates import make_node_key, node_public_key
from fedcausal_privacy.keys.enrolment import Invitation, request_to_join
from fedcausal_privacy.keys.identity import Identity
from fedcausal_server.daemon import coordinator, deployed_runs, overview
from fedcausal_server.daemon.control import Node, RunStatus
from fedcausal_server.daemon.home import create_home
from fedcausal_server.parties import enrolling


class PretendedControl:
    """Stands in for `Control`: the same requests, no network."""

    def __init__(self):
        self.known, self.runs, self.configs, self.stopped = {}, {}, [], []

    def __call__(self, home):
        return self

    def nodes(self):
        return tuple(
            Node(node_id=number, public_key=key, status="online")
            for key, number in self.known.items()
        )

    def register(self, public_key, name):
        self.known[public_key] = len(self.known) + 1
        return self.known[public_key]

    def unregister(self, node_id):
        self.known = {key: number for key, number in self.known.items() if number != node_id}

    def start_run(self, run_config):
        self.configs.append(dict(run_config))
        number = len(self.configs)
        self.put(number, "running")
        return number

    def put(self, run_id, state, outcome="", details=""):
        self.runs[run_id] = RunStatus(run_id=run_id, state=state, outcome=outcome, details=details)

    def run(self, run_id):
        return self.runs.get(run_id)

    def stop_run(self, run_id):
        self.stopped.append(run_id)
        return True

    def close(self):
        pass


@pytest.fixture
def coordinator_home(tmp_path):
    now = datetime.datetime.now(datetime.UTC)
    return create_home(tmp_path / "c", name="n", hosts=["127.0.0.1"], port=1, now=now)


@pytest.fixture
def control(monkeypatch):
    pretended = PretendedControl()
    for module in (coordinator, deployed_runs, overview):
        monkeypatch.setattr(module, "Control", pretended)
    for module in (enrolling, overview):
        monkeypatch.setattr(module, "is_serving", lambda home: True)
    return pretended


@pytest.fixture
def join(coordinator_home, tmp_path):
    """Invite a party and take its keys; its identity."""

    def joined(name, role="site", *, confirmed=True):
        path = enrolling.invite(
            coordinator_home, name, role, days=1, out=tmp_path / f"{name}.json"
        )
        identity = Identity.generate()
        node_key = node_public_key(make_node_key())
        request = request_to_join(Invitation.from_bytes(path.read_bytes()), identity, node_key)
        with coordinator_home.changed_book() as held:
            held[0] = held[0].join(request, now=0.0)
        if confirmed:
            enrolling.confirm(coordinator_home, name, identity.fingerprint())
        return identity

    return joined


@pytest.fixture
def small_study():
    kinds = {name: {"kind": "continuous", "bounds": [-10, 10]} for name in "xyz"}
    return Study.model_validate({"study": {"name": "small"}, "variables": kinds})
