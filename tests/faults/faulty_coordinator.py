"""The command line, with a coordinator that is killed at a durable step of its first run.

    python -m tests.faults.faulty_coordinator --kill STEP coordinator start HOME
    python -m tests.faults.faulty_coordinator --through ADDRESS coordinator start HOME

Killed: the study's process kills its daemon and then itself, as a power cut or the kernel's memory
killer would; nobody gets to clean up. Through: the study's process talks to its SuperLink by way
of another address.
"""

import os
import signal
import sys
from importlib import import_module

from fedcausal_privacy.secure_sum.recovery import Event
from fedcausal_server.store.study_store import SqliteStore

# A step, and the second reply of that kind (or the entry) that is on the disk when it is over.
KINDS = {"keys frozen": "query.freeze", "uploaded": "query.upload"}
ENTRIES = {"greeted": "session/nodes", "released": "round/"}
STEPS = (*KINDS, *ENTRIES)


class Killing:
    """The real store, until a step of this process is on the disk."""

    def __init__(self, store, step):
        self.store, self.step, self.num_replies = store, step, 0

    def commit(self, changes):
        self.store.commit(changes)
        if self.is_over(changes):
            os.kill(os.getppid(), signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)

    def is_over(self, changes):
        written = {key: value for key, value in changes.items() if value is not None}
        if self.step in ENTRIES:
            return any(key.startswith(ENTRIES[self.step]) for key in written)
        events = [Event.from_bytes(v) for k, v in written.items() if k.startswith("session/event")]
        kinds = [event.reply.kind for event in events if event.reply is not None]
        self.num_replies += kinds.count(KINDS[self.step])
        return self.num_replies >= 2

    def __getattr__(self, name):
        return getattr(self.store, name)


def kill_at(step: str) -> None:
    server = import_module("fedcausal_server.app")
    server.open_store = lambda _, out: Killing(SqliteStore.open(out / "journal"), step)


def talk_through(address: str) -> None:
    flower = import_module("flwr.superlink.runtime.run_serverapp")
    run = flower.run_serverapp
    flower.run_serverapp = lambda **options: run(**{**options, "runtime_api_address": address})


def main(fault: str, value: str, arguments: list[str]) -> int:
    processes = import_module("fedcausal.daemons.processes")
    forked, start = processes.Forked, processes.Forked.start.__func__
    inject = {"--kill": kill_at, "--through": talk_through}[fault]

    def begin(main):
        def injected():
            # In a child, after the daemon has put Flower offline.
            inject(value)
            main()

        return start(forked, injected)

    processes.Forked.start = staticmethod(begin)
    return import_module("fedcausal.cli").main(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
