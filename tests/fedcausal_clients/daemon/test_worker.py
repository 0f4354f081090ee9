import json
from importlib import import_module
from types import SimpleNamespace

import pytest

from fedcausal.daemons.bundle import thin_bundle, thin_bundle_hash
from fedcausal.daemons.task_loop import Task
from fedcausal_clients.app import app
from fedcausal_clients.daemon import worker as daemon_worker
from fedcausal_clients.daemon.worker import BundleGuard, client_loop, guard_client_app
from fedcausal_privacy.audit import AuditLog


@pytest.fixture
def refused():
    return []


@pytest.fixture
def guard(refused):
    return BundleGuard(thin_bundle_hash(), refused.append)


def test_the_pinned_bundle_runs_the_installed_app(guard, refused):
    guard.install(thin_bundle(), skip_prompt=True)
    load = guard.loader(default_app_ref="", app_path=None, multi_app=True)
    assert load("any/app", "1.0", "hash") is app
    assert refused == []


@pytest.mark.parametrize("fab", [b"", b"PK", thin_bundle() + b" ", thin_bundle()[:-1]])
def test_another_bundle_is_refused_and_noted(guard, refused, fab):
    with pytest.raises(PermissionError, match=r"^BUNDLE_NOT_APPROVED$"):
        guard.install(fab)
    assert len(refused) == 1
    with pytest.raises(PermissionError, match=r"^BUNDLE_NOT_APPROVED$"):
        guard.loader()("any/app", "1.0", "hash")


def test_nothing_is_loaded_before_a_bundle_was_compared(guard):
    with pytest.raises(PermissionError):
        guard.loader()()


def test_flower_has_the_places_of_the_guard(guard, monkeypatch):
    flower = import_module("flwr.supernode.runtime.run_clientapp")
    for name in ("install_from_fab", "get_load_client_app_fn"):
        monkeypatch.setattr(flower, name, getattr(flower, name))
    assert guard_client_app(guard).install_from_fab == guard.install
    assert flower.get_load_client_app_fn == guard.loader


def test_a_flower_without_them_runs_nothing(guard, monkeypatch):
    monkeypatch.setattr(daemon_worker, "import_module", lambda name: SimpleNamespace())
    with pytest.raises(RuntimeError, match="cannot be guarded"):
        guard_client_app(guard)


def test_flowers_words_for_tasks_are_ours():
    from flwr.supercore.constant import TaskType

    ours = {daemon_worker.CLIENT_TASK, *daemon_worker.OTHER_TASKS}
    assert ours == {kind.value for kind in TaskType} - {TaskType.SERVER_APP.value}


@pytest.mark.parametrize("kind", daemon_worker.OTHER_TASKS)
def test_no_other_task_is_run(tmp_path, monkeypatch, kind):
    ended = []
    monkeypatch.setattr(daemon_worker, "_refuse", lambda address, task: ended.append(task) or 1)
    monkeypatch.setattr(daemon_worker, "guard_client_app", None)
    log = AuditLog(path=tmp_path / "audit.jsonl")
    monkeypatch.setattr(daemon_worker, "audit_log", lambda home: log)
    loop = client_loop(tmp_path, address="127.0.0.1:1", secret=b"s", poll_seconds=0.01)
    assert loop.run(Task(kind=kind, token="t")) == 1
    assert [task.kind for task in ended] == [kind]
    (line,) = (tmp_path / "audit.jsonl").read_text().splitlines()
    assert json.loads(line)["event"] == "task refused"


def test_nobody_to_ask_is_no_task(tmp_path):
    loop = client_loop(tmp_path, address="127.0.0.1:1", secret=b"s", poll_seconds=0.01)
    assert loop.acquire() is None
