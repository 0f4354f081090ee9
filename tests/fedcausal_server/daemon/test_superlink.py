import asyncio
import inspect

import flwr.supercore.corestate.sql_corestate as core_state
import flwr.superlink.main as flower
import httpx
from flwr.superlink.cli.flower_superlink import _parse_args_run_superlink

from fedcausal_server.daemon.path_policy import OPERATOR_HEADER
from fedcausal_server.daemon.superlink import (
    guard_application,
    superlink_arguments,
    wait_for_studies,
)
from fedcausal_server.parties.enrolment_route import JOIN_PATH

SITE = "192.0.2.7"


def test_flower_takes_our_options(coordinator_home):
    parsed = _parse_args_run_superlink().parse_args(superlink_arguments(coordinator_home))
    assert parsed.isolation == "process"
    assert parsed.enable_supernode_auth
    assert not parsed.insecure
    assert not parsed.runtime_dependency_install
    assert parsed.database == str(coordinator_home.database)


def asked(app, method, path, client, **options):
    """What a request from an address gets, without a network."""

    async def ask():
        transport = httpx.ASGITransport(app, client=(client, 5), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="https://link") as http:
            return await http.request(method, path, **options)

    return asyncio.run(ask())


def test_the_application_stands_behind_the_policy(coordinator_home, monkeypatch):
    monkeypatch.setattr(flower, "create_app", flower.create_app)
    guard_application(coordinator_home)
    app = flower.create_app()
    for path in ("/docs", "/openapi.json", "/v1/control/list-runs", "/v1/runtime/acquire-task"):
        assert asked(app, "POST", path, SITE).status_code == 403
        assert asked(app, "GET", path, SITE).status_code == 403
    assert asked(app, "GET", "/health", SITE).status_code == 200
    assert asked(app, "POST", "/v1/fleet/activate-node", SITE).status_code not in (200, 403, 404)
    assert asked(app, "POST", JOIN_PATH, SITE, content=b"{}").json()["refusal"]
    assert asked(app, "POST", "/v1/control/list-runs", "127.0.0.1").status_code == 403
    shown = {OPERATOR_HEADER: coordinator_home.operator_token.read_text()}
    allowed = asked(app, "POST", "/v1/control/list-runs", "127.0.0.1", headers=shown)
    assert allowed.status_code not in (403, 404)


def test_a_study_may_be_out_of_reach_for_ten_minutes(monkeypatch):
    monkeypatch.setattr(core_state, "HEARTBEAT_PATIENCE", core_state.HEARTBEAT_PATIENCE)
    wait_for_studies()
    seconds = core_state.HEARTBEAT_PATIENCE * core_state.HEARTBEAT_DEFAULT_INTERVAL
    assert seconds == 600
    # Both places where Flower extends a task's life read the name that was changed.
    for method in ("activate_task", "acknowledge_task_heartbeat"):
        code = inspect.getsource(getattr(core_state.SqlCoreState, method))
        assert "HEARTBEAT_PATIENCE * HEARTBEAT_DEFAULT_INTERVAL" in code
