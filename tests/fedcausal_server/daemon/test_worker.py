from importlib import import_module

import httpx
import pytest

from fedcausal.daemons.bundle import thin_bundle, thin_bundle_hash
from fedcausal.daemons.task_loop import Task
from fedcausal.errors import ProtocolError
from fedcausal_server.daemon import worker as server_worker
from fedcausal_server.daemon.worker import pinned_install, report_end, server_loop
from fedcausal_server.transport.steady_grid import SteadyGrid


def test_flower_has_what_the_worker_replaces():
    flower = import_module("flwr.superlink.runtime.run_serverapp")
    assert callable(flower.install_from_fab)
    assert issubclass(SteadyGrid, flower.HttpGrid)


def test_an_end_is_told_again_while_nobody_hears_it(coordinator_home):
    assert not report_end(coordinator_home, Task(kind="k", token="t"), -9)


@pytest.mark.parametrize(("status", "is_settled"), [(200, True), (401, True), (500, False)])
def test_an_end_is_settled_when_the_superlink_has_answered(
    coordinator_home, monkeypatch, status, is_settled
):
    said = []

    class Client:
        def PushTaskOutput(self, request):  # noqa: N802
            said.append((request.sub_status, request.details))
            answer = httpx.Response(status, request=httpx.Request("POST", "http://link"))
            answer.raise_for_status()

        def close(self):
            said.append("closed")

    monkeypatch.setattr(server_worker, "_runtime", lambda home, interceptor: Client())
    assert report_end(coordinator_home, Task(kind="k", token="t"), -9) == is_settled
    assert said == [("failed", "its process ended (-9)"), "closed"]


def test_only_the_pinned_bundle_is_installed():
    installed = []
    install = pinned_install(lambda fab, **options: installed.append(fab), thin_bundle_hash())
    install(thin_bundle(), skip_prompt=True)
    with pytest.raises(ProtocolError, match="bundle"):
        install(thin_bundle() + b" ", skip_prompt=True)
    assert installed == [thin_bundle()]


def test_nobody_to_ask_is_no_task(coordinator_home):
    assert server_loop(coordinator_home, poll_seconds=0.01).acquire() is None
