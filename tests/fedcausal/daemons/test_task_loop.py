import os
import signal
import sys
import time

from fedcausal.daemons.processes import await_until
from fedcausal.daemons.task_loop import Task, TaskLoop


def served(tasks, run):
    left = list(tasks)
    return TaskLoop(acquire=lambda: left.pop(0) if left else None, run=run, poll_seconds=0.01)


def test_every_task_runs_in_a_process_of_its_own(tmp_path):
    def run(task):
        (tmp_path / task.token).write_text(str(os.getpid()))
        return 0

    loop = served([Task(kind="k", token="a"), Task(kind="k", token="b")], run)

    def all_ran():
        loop.step()
        return not loop.children and len(list(tmp_path.iterdir())) == 2

    await_until(all_ran, "two tasks", seconds=30, poll_seconds=0.01)
    pids = {path.read_text() for path in tmp_path.iterdir()}
    assert len(pids) == 2
    assert str(os.getpid()) not in pids


def test_a_failing_task_leaves_the_loop_alone():
    def run(task):
        raise SystemExit(3)

    loop = served([Task(kind="k", token="a")], run)
    loop.step()

    def ended():
        loop.reap()
        return not loop.children

    await_until(ended, "the child", seconds=30, poll_seconds=0.01)


def test_closing_ends_what_still_runs():
    loop = served([Task(kind="k", token="a")], lambda task: time.sleep(60) or 0)
    loop.step()
    ((_, child, _),) = loop.children
    loop.close()
    assert not loop.children
    assert not os.path.exists(f"/proc/{child.pid}")


def test_what_a_child_imported_is_there_for_the_next(tmp_path, monkeypatch):
    (tmp_path / "heavy_thing.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    loop = served([Task(kind="k", token="a")], lambda task: bool(__import__("heavy_thing")) - 1)
    loop.step()

    def ended():
        loop.reap()
        return not loop.children

    await_until(ended, "the child", seconds=30, poll_seconds=0.01)
    assert sys.modules.pop("heavy_thing")


def test_whoever_must_know_of_an_end_is_told_until_he_has_heard_it():
    told = []

    def ended(task, code):
        told.append((task.token, code))
        return len(told) == 3

    def run(task):
        os.kill(os.getpid(), signal.SIGKILL)

    loop = served([Task(kind="k", token="a")], run)
    loop.ended = ended
    loop.step()

    def heard():
        loop.reap()
        return len(told) == 3

    await_until(heard, "the third time", seconds=30, poll_seconds=0.01)
    loop.reap()
    assert told == [("a", -signal.SIGKILL)] * 3


def test_a_token_is_not_printed():
    assert "secret" not in repr(Task(kind="k", token="secret"))
