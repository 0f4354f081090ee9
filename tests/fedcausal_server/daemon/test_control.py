from types import SimpleNamespace

import httpx
import pytest

from fedcausal.daemons.bundle import thin_bundle_hash
from fedcausal.errors import LinkError
from fedcausal_server.daemon import control as module
from fedcausal_server.daemon.control import Control, is_serving


def test_nobody_there_is_a_link_error_that_says_what_to_type(coordinator_home):
    control = Control(coordinator_home)
    with pytest.raises(LinkError, match="coordinator start"):
        control.nodes()
    control.close()
    assert not is_serving(coordinator_home)


def test_a_run_is_of_the_thin_bundle(coordinator_home, monkeypatch):
    sent = []

    def start(self, request):
        sent.append(request)
        return SimpleNamespace(run_id=7)

    monkeypatch.setattr(module.ControlHttpClient, "StartRun", start)
    assert Control(coordinator_home).start_run({"seed": 1, "out": "/x"}) == 7
    (request,) = sent
    assert request.fab.hash_str == thin_bundle_hash()
    assert request.override_config["seed"].sint64 == 1
    assert request.override_config["out"].string == "/x"


def test_a_run_without_a_number_was_not_taken(coordinator_home, monkeypatch):
    taken = SimpleNamespace(run_id=0)
    monkeypatch.setattr(module.ControlHttpClient, "StartRun", lambda self, request: taken)
    with pytest.raises(LinkError, match="did not take"):
        Control(coordinator_home).start_run({})


@pytest.mark.parametrize("status", [412, 500])
def test_a_run_that_has_ended_cannot_be_stopped(coordinator_home, monkeypatch, status):
    def stop(self, request):
        answer = httpx.Response(status, request=httpx.Request("POST", "http://link"))
        answer.raise_for_status()

    monkeypatch.setattr(module.ControlHttpClient, "StopRun", stop)
    if status == 412:
        assert Control(coordinator_home).stop_run(7) is False
        return
    with pytest.raises(LinkError, match="500"):
        Control(coordinator_home).stop_run(7)
