"""Processes of a daemon: their environment, who holds a folder, how they start and end."""

import ctypes
import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from fedcausal_privacy.errors import DeadlineError, InputError

__all__ = [
    "FLOWER_OFFLINE",
    "Forked",
    "await_until",
    "end_process",
    "flower_environment",
    "free_port",
    "go_offline",
    "held_folder",
    "holder_of",
    "stop_holder",
]

# Flower would post telemetry, ask for updates and install what a bundle depends on.
FLOWER_OFFLINE = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
}
PID_FILE = "daemon.pid"
POLL_SECONDS = 0.2
PR_SET_PDEATHSIG = 1
# Descriptors of the folders that this process holds.
_HELD: set[int] = set()


def flower_environment(folder: Path) -> dict[str, str]:
    """The environment of this process with Flower offline and at home in `folder`."""
    return {**os.environ, **FLOWER_OFFLINE, "FLWR_HOME": str(folder)}


def go_offline(folder: Path) -> None:
    """Put the environment in force here; to be called before Flower is imported.

    Flower reads its telemetry switch once, when it is imported.

    Raises
    ------
    RuntimeError
        It was imported with telemetry on.
    """
    telemetry = sys.modules.get("flwr.supercore.telemetry")
    if telemetry is not None and telemetry.FLWR_TELEMETRY_ENABLED != "0":
        raise RuntimeError("Flower was imported before its telemetry was switched off")
    os.environ.update(flower_environment(folder))
    # One line per request would drown what an operator must see.
    os.environ.setdefault("FLWR_LOG_LEVEL", "WARNING")


@dataclass(slots=True)
class Forked:
    """A child process made of this one's imports; `code` is known once it has ended."""

    pid: int
    code: int | None = None

    @classmethod
    def start(cls, main: Callable[[], object]) -> "Forked":
        """Run a function in a child, with the signal handlers of a new process.

        The child does not outlive this process, however that ends (on Linux): a daemon that was
        killed leaves nothing behind that answers, or holds a port or a lock.
        """
        sys.stdout.flush()
        sys.stderr.flush()
        parent = os.getpid()
        pid = os.fork()
        if pid:
            return cls(pid)
        code = 1
        try:
            _end_with(parent)
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            # The locks are the parent's: a child that outlives it must not keep them.
            for descriptor in _HELD:
                os.close(descriptor)
            _HELD.clear()
            main()
            code = 0
        except SystemExit as ending:
            code = ending.code if isinstance(ending.code, int) else int(ending.code is not None)
        except BaseException:
            traceback.print_exc()
        finally:
            with suppress(OSError, ValueError):
                sys.stdout.flush()
                sys.stderr.flush()
            # Not sys.exit: the parent's exit handlers are not this process's business.
            os._exit(code)

    def poll(self) -> int | None:
        """The exit code, or None while it runs."""
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
        return self.code

    def wait(self, seconds: float) -> int:
        """Wait for its end; `subprocess.TimeoutExpired` when it does not come."""
        deadline = time.monotonic() + seconds
        while self.poll() is None:
            if time.monotonic() >= deadline:
                raise subprocess.TimeoutExpired(f"process {self.pid}", seconds)
            time.sleep(0.05)
        return int(self.code or 0)

    def terminate(self) -> None:
        """Ask it to end."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)


def _end_with(parent: int) -> None:
    """Let the kernel kill this process when its parent ends; see prctl(2), PR_SET_PDEATHSIG."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        # The parent may have ended before the call.
        if os.getppid() != parent:
            os._exit(1)


def end_process(process: subprocess.Popen[bytes] | Forked, *, seconds: float = 10.0) -> int:
    """Ask a process to end, insist after `seconds`; return its exit code."""
    if process.poll() is None:
        process.terminate()
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait(seconds)


def await_until(
    is_so: Callable[[], bool], what: str, *, seconds: float, poll_seconds: float = POLL_SECONDS
) -> None:
    """Wait until something holds.

    Raises
    ------
    DeadlineError
        It does not after `seconds`; the message says what was waited for.
    """
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() >= deadline:
            raise DeadlineError(f"waited {seconds:g} s for {what}")
        time.sleep(poll_seconds)


def free_port() -> int:
    """A port of the loopback interface that nobody uses at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def held_folder(folder: Path) -> Iterator[None]:
    """Hold a state folder for the life of a daemon; its pid stands in `daemon.pid`.

    Raises
    ------
    InputError
        Another daemon holds it. The lock ends with its process, however that ends.
    """
    descriptor = os.open(folder / PID_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"{folder}: a daemon is running on this folder already; stop it first"
            ) from None
        _HELD.add(descriptor)
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        yield
    finally:
        _HELD.discard(descriptor)
        os.close(descriptor)


def holder_of(folder: Path) -> int | None:
    """The pid of the daemon that holds a state folder; None when none does."""
    try:
        descriptor = os.open(folder / PID_FILE, os.O_RDWR)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return None
    except BlockingIOError:
        return int(os.read(descriptor, 20) or b"0") or None
    finally:
        os.close(descriptor)


def stop_holder(folder: Path, *, seconds: float) -> bool:
    """End the daemon that holds a folder; whether there was one.

    Raises
    ------
    DeadlineError
        It still runs after `seconds`.
    """
    pid = holder_of(folder)
    if pid is None:
        return False
    os.kill(pid, signal.SIGTERM)
    await_until(
        lambda: holder_of(folder) is None, f"process {pid} to end; it may hang", seconds=seconds
    )
    return True
