import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from fedcausal.commands.doctor import FLOWER_SWITCHES
from fedcausal.daemons import processes
from fedcausal.errors import DeadlineError, InputError


def test_flower_is_offline_in_every_environment(tmp_path):
    environment = processes.flower_environment(tmp_path)
    assert FLOWER_SWITCHES == processes.FLOWER_OFFLINE
    assert environment.items() >= FLOWER_SWITCHES.items()
    assert environment["FLWR_HOME"] == str(tmp_path)


def test_a_wait_has_a_deadline_and_says_what_for():
    started = time.monotonic()
    with pytest.raises(DeadlineError, match=r"waited 0.2 s for the moon"):
        processes.await_until(lambda: False, "the moon", seconds=0.2, poll_seconds=0.01)
    assert time.monotonic() - started < 5
    processes.await_until(lambda: True, "nothing", seconds=0)


def test_one_daemon_holds_a_folder(tmp_path):
    assert processes.holder_of(tmp_path) is None
    with processes.held_folder(tmp_path):
        assert processes.holder_of(tmp_path) == os.getpid()
        with (
            pytest.raises(InputError, match="running on this folder"),
            processes.held_folder(tmp_path),
        ):
            pass
    assert processes.holder_of(tmp_path) is None


def is_gone(pid):
    """Whether a process runs no more; nobody may have collected it yet."""
    try:
        return "State:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return True


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM, None])
def test_a_child_ends_with_its_daemon_however_that_ends(tmp_path, ending):
    def daemon():
        with processes.held_folder(tmp_path):
            child = processes.Forked.start(lambda: time.sleep(60))
            (tmp_path / "child").write_text(str(child.pid))
            (tmp_path / "child").rename(tmp_path / "started")
            if ending is not None:
                time.sleep(60)

    parent = processes.Forked.start(daemon)
    processes.await_until((tmp_path / "started").exists, "the child", seconds=30)
    if ending is not None:
        os.kill(parent.pid, ending)
    assert parent.wait(30) == (0 if ending is None else -ending)
    child = int((tmp_path / "started").read_text())
    processes.await_until(lambda: is_gone(child), "the child's end", seconds=10)
    assert processes.holder_of(tmp_path) is None


def test_a_daemon_is_stopped_by_its_folder(tmp_path):
    code = (
        "import sys, time\nfrom pathlib import Path\n"
        "from fedcausal.daemons.processes import held_folder\n"
        "with held_folder(Path(sys.argv[1])):\n    time.sleep(60)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)])
    try:
        held = lambda: processes.holder_of(tmp_path) == child.pid  # noqa: E731
        processes.await_until(held, "the child", seconds=60)
        assert processes.stop_holder(tmp_path, seconds=30)
        assert child.wait(30) != 0
        assert not processes.stop_holder(tmp_path, seconds=1)
    finally:
        processes.end_process(child)


def test_flower_must_not_be_imported_before_it_is_offline(tmp_path, monkeypatch):
    loud = SimpleNamespace(FLWR_TELEMETRY_ENABLED="1")
    monkeypatch.setitem(sys.modules, "flwr.supercore.telemetry", loud)
    with pytest.raises(RuntimeError, match="telemetry"):
        processes.go_offline(tmp_path)
    monkeypatch.delitem(sys.modules, "flwr.supercore.telemetry")
    for name in (*processes.FLOWER_OFFLINE, "FLWR_HOME"):
        monkeypatch.setenv(name, "before")
    processes.go_offline(tmp_path)
    assert os.environ["FLWR_TELEMETRY_ENABLED"] == "0"


@pytest.mark.parametrize(
    ("main", "code"),
    [(lambda: None, 0), (lambda: sys.exit(3), 3), (lambda: sys.exit("words"), 1)],
)
def test_a_fork_ends_with_its_functions_code(main, code):
    assert processes.Forked.start(main).wait(30) == code


def test_a_fork_that_fails_says_why(capfd):
    assert processes.Forked.start(lambda: 1 / 0).wait(30) == 1
    assert "ZeroDivisionError" in capfd.readouterr().err


def test_a_fork_is_ended():
    child = processes.Forked.start(lambda: time.sleep(60))
    assert child.poll() is None
    assert processes.end_process(child, seconds=30) == -15


def test_a_deaf_process_is_killed():
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print(flush=True)"
    process = subprocess.Popen(
        [sys.executable, "-c", f"{deaf}; time.sleep(60)"], stdout=subprocess.PIPE
    )
    with process.stdout:
        process.stdout.readline()
    assert processes.end_process(process, seconds=0.2) == -9


def test_free_ports_are_ports():
    assert 1024 <= processes.free_port() <= 65535
