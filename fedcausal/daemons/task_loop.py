"""A daemon's tasks: each runs in a fork of a process that has imported what it needs."""

import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module

from fedcausal.daemons.processes import Forked, end_process

__all__ = ["Task", "TaskLoop"]

GRACE_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A task that was handed to this daemon: Flower's word for its kind, and its secret token."""

    kind: str
    token: str = field(repr=False)


@dataclass(slots=True, kw_only=True)
class TaskLoop:
    """Fetches tasks and runs each in a child process of its own.

    A fork starts in milliseconds and shares the memory of the imports, where a fresh interpreter
    would take seconds for each message. The parent computes nothing and starts no threads, so
    that a child starts from a state without locks.

    Parameters
    ----------
    acquire
        The next task, or None when there is none (or nobody to ask).
    run
        Runs a task in the child and returns the child's exit code.
    poll_seconds
        Pause after an answer without a task.
    ended
        Told of every task that ended, with its exit code (below 0: killed by that signal). While
        it returns False it is told again in the next step.
    """

    acquire: Callable[[], Task | None]
    run: Callable[[Task], int]
    poll_seconds: float
    ended: Callable[[Task, int], bool] = lambda task, code: True
    children: list[tuple[Task, Forked, int]] = field(default_factory=list)
    _unsettled: list[tuple[Task, int]] = field(default_factory=list, init=False)

    def step(self) -> None:
        """Take one task, if there is one; pause if there is none."""
        self.reap()
        task = self.acquire()
        if task is None:
            time.sleep(self.poll_seconds)
            return
        reader, writer = os.pipe()
        self.children.append((task, Forked.start(lambda: self._work(task, writer)), reader))
        os.close(writer)

    def reap(self) -> None:
        """Forget the children that have ended, say so, and import what they had to import.

        The next child finds it there. A child runs installed code alone, so that these are the
        names of installed modules.
        """
        for task, child, reader in tuple(self.children):
            code = child.poll()
            if code is None:
                continue
            self.children.remove((task, child, reader))
            self._unsettled.append((task, code))
            with open(reader, "rb") as learned:
                names = learned.read().decode().split()
            for name in names:
                with suppress(Exception):
                    import_module(name)
        self._unsettled = [
            (task, code) for task, code in self._unsettled if not self.ended(task, code)
        ]

    def close(self) -> None:
        """End all children: asked first, killed after a grace."""
        for _, child, _ in self.children:
            child.terminate()
        for _, child, reader in self.children:
            end_process(child, seconds=GRACE_SECONDS)
            os.close(reader)
        self.children = []

    def _work(self, task: Task, writer: int) -> None:
        """Run a task and leave word of the modules that it needed; in a child."""
        before = frozenset(sys.modules)
        try:
            sys.exit(self.run(task))
        finally:
            names = "\n".join(name for name in tuple(sys.modules) if name not in before)
            os.set_blocking(writer, False)
            with suppress(OSError):
                os.write(writer, names.encode())
