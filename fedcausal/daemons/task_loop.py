"""A daemon's tasks: each runs in a fork of a process that has imported what it needs."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

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
    """

    acquire: Callable[[], Task | None]
    run: Callable[[Task], int]
    poll_seconds: float
    children: list[Forked] = field(default_factory=list)

    def step(self) -> None:
        """Take one task, if there is one; pause if there is none."""
        self.reap()
        task = self.acquire()
        if task is None:
            time.sleep(self.poll_seconds)
            return
        self.children.append(Forked.start(lambda: sys.exit(self.run(task))))

    def reap(self) -> None:
        """Forget the children that have ended."""
        self.children = [child for child in self.children if child.poll() is None]

    def close(self) -> None:
        """End all children: asked first, killed after a grace."""
        for child in self.children:
            child.terminate()
        for child in self.children:
            end_process(child, seconds=GRACE_SECONDS)
        self.children = []
