"""The command line, with a coordinator that is killed at the n-th commit of its first run.

    python -m tests.faults.killed_coordinator N coordinator start HOME

The study's process kills its daemon and then itself, as a power cut or the kernel's memory killer
would: nobody gets to clean up.
"""

import os
import signal
import sys
from importlib import import_module

from fedcausal_server.study_store import SqliteStore


class Killing:
    """The real store, until the n-th commit of this process is on the disk."""

    def __init__(self, store, at):
        self.store, self.left = store, at

    def commit(self, changes):
        self.store.commit(changes)
        self.left -= 1
        if not self.left:
            os.kill(os.getppid(), signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)

    def __getattr__(self, name):
        return getattr(self.store, name)


def main(at: int, arguments: list[str]) -> int:
    processes = import_module("fedcausal.daemons.processes")
    forked, start = processes.Forked, processes.Forked.start.__func__

    def begin(main):
        def injected():
            # In a child, after the daemon has put Flower offline.
            server = import_module("fedcausal_server.app")
            server.open_store = lambda _, out: Killing(SqliteStore.open(out / "journal"), at)
            main()

        return start(forked, injected)

    processes.Forked.start = staticmethod(begin)
    return import_module("fedcausal.cli").main(arguments)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
