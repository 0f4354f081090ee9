"""The other cores: processes that encrypt or add chunks, fed with plain bytes through pipes."""

import atexit
import fcntl
import os
import select
import struct
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import IO, Final, cast

from fedcausal_privacy.errors import ProtocolError

__all__ = [
    "ADD",
    "BEGIN_SUM",
    "ENCRYPT",
    "FAILURE",
    "FINISH_SUM",
    "READY",
    "RESULT",
    "SET_CONTEXT",
    "Worker",
    "divide",
    "divide_here_first",
    "num_cores",
    "read_frame",
    "share",
    "spare_workers",
    "write_frame",
]

# The operation of a frame is its first byte. ENCRYPT and FINISH_SUM are answered.
SET_CONTEXT: Final = b"C"
ENCRYPT: Final = b"E"
BEGIN_SUM: Final = b"B"
ADD: Final = b"A"
FINISH_SUM: Final = b"F"
READY: Final = b"R"
RESULT: Final = b"="
FAILURE: Final = b"!"

# Measured (decision 0021): a process is there after 0.4 s, in which one core encrypts some 330
# chunks; a worker that is there already pays from a few chunks on.
_CHUNKS_WORTH_STARTING: Final = 400
_CHUNKS_WORTH_SHARING: Final = 16
# Three requests (33 kB each) or answers (66 kB each) fit into a pipe: neither side ever waits
# for the other to read, which also rules out that both wait.
_PIPE_BYTES: Final = 2**18
_REQUESTS_AHEAD: Final = 3

# -P: modules come from where this process has them, never from the current folder.
_COMMAND: Final = (
    sys.executable,
    "-P",
    "-c",
    "from fedcausal_privacy.secure_sum.bfv import serve; serve()",
)
_LENGTH: Final = struct.Struct("<Q")


class Worker:
    """One process that takes frames of bytes and answers in frames of bytes.

    Privacy: it is given public contexts, masked residues and ciphertexts, never a key; the bytes
    travel through pipes of the same user and are written nowhere.
    """

    def __init__(self, command: Sequence[str] = _COMMAND) -> None:
        self.is_ready = False
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        self._requests = cast("IO[bytes]", self._process.stdin)
        self._answers = cast("IO[bytes]", self._process.stdout)
        pipes = (self._requests, self._answers)
        self.capacity = _REQUESTS_AHEAD if all(map(_is_widened, pipes)) else 1

    @property
    def is_alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def fileno(self) -> int:
        """The descriptor that becomes readable when an answer is there."""
        return self._answers.fileno()

    def send(self, operation: bytes, *parts: bytes | memoryview) -> None:
        """Write one frame; waits while the worker is behind."""
        try:
            write_frame(self._requests, operation, *parts)
        except (OSError, ValueError):
            raise ProtocolError("a worker process ended before its work was done") from None

    def receive(self) -> bytes:
        """Read one answer (of READY: nothing); what the worker refused is an error here too."""
        try:
            operation, body = read_frame(self._answers)
        except (OSError, EOFError, ValueError):
            raise ProtocolError("a worker process ended before its work was done") from None
        if operation == FAILURE:
            raise ProtocolError(body.decode())
        self.is_ready = True
        return body

    def close(self) -> None:
        """End the process."""
        self.is_ready = False
        self._process.kill()
        self._process.wait()
        for pipe in (self._requests, self._answers):
            try:
                pipe.close()
            except OSError:
                continue  # what it had not read yet is of no use to anybody


_workers: list[Worker] = []
_lending = threading.Lock()


@contextmanager
def spare_workers(num_chunks: int) -> Iterator[list[Worker]]:
    """Lend the worker processes for one task of so many chunks; an empty list when it is small.

    Workers start with the first large task, live as long as this process, and serve one task at
    a time: a second thread gets none. They need not be ready yet: see `Worker.is_ready`.
    """
    is_small = num_chunks < (_CHUNKS_WORTH_SHARING if _workers else _CHUNKS_WORTH_STARTING)
    wanted = 0 if is_small else num_cores() - 1
    if wanted < 1 or not _lending.acquire(blocking=False):
        yield []
        return
    try:
        for worker in [worker for worker in _workers if not worker.is_alive]:
            _workers.remove(worker)
            worker.close()
        while len(_workers) < wanted:
            _workers.append(Worker())
        _hear_starting(_workers)
        yield _workers[:wanted]
    except BaseException:
        # A worker may hold half a task: none of it may reach the next one.
        _close_all()
        raise
    finally:
        _lending.release()


def share(
    workers: Sequence[Worker],
    context: bytes,
    items: Sequence[bytes],
    here: Callable[[bytes], bytes],
) -> list[bytes]:
    """Have every item encrypted, here or at a worker, whoever is free; answers in their order.

    Between two items of its own this process hands out and collects without waiting, so nothing
    depends on threads (the library holds the interpreter's lock while it encrypts). A worker
    that fails is closed and its items are done by the others, at last by `here`.
    """
    waiting = deque(range(len(items)))
    answers: dict[int, bytes] = {}
    given: dict[Worker, deque[int]] = {worker: deque() for worker in workers}
    introduced: set[Worker] = set()
    while len(answers) < len(items):
        for worker in _readable(given, wait=not waiting):
            with _closing(worker, given, waiting):
                was_ready, answer = worker.is_ready, worker.receive()
                if was_ready:
                    answers[given[worker].popleft()] = answer
        for worker in [worker for worker in given if worker.is_ready]:
            with _closing(worker, given, waiting):
                if worker not in introduced:
                    introduced.add(worker)
                    worker.send(SET_CONTEXT, context)
                while waiting and len(given[worker]) < worker.capacity:
                    given[worker].append(waiting.popleft())
                    worker.send(ENCRYPT, items[given[worker][-1]])
        if waiting:
            number = waiting.popleft()
            answers[number] = here(items[number])
    return [answers[number] for number in range(len(items))]


def divide_here_first(total: int, num_workers: int) -> list[slice]:
    """Cut a range for this process and its workers; this one takes half as much again.

    It has the bytes already; a worker must first read them.

    >>> divide_here_first(10, 1)
    [slice(0, 6, None), slice(6, 10, None)]
    """
    own = -(-3 * total // (3 + 2 * num_workers))
    others = divide(total - own, num_workers) if num_workers else []
    return [slice(0, own), *(slice(own + s.start, own + s.stop) for s in others)]


def divide(total: int, parts: int) -> list[slice]:
    """Cut a range into so many consecutive slices of nearly the same size.

    >>> divide(5, 2)
    [slice(0, 3, None), slice(3, 5, None)]
    """
    edges = [-(-total * i // parts) for i in range(parts + 1)]
    return [slice(a, b) for a, b in pairwise(edges)]


def num_cores() -> int:
    """Cores that this process may use: its affinity, capped by OMP_NUM_THREADS.

    The variable is how schedulers (Ray among them) tell a process its share of a machine.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    allowed = os.environ.get("OMP_NUM_THREADS", "")
    return min(cores, int(allowed)) if allowed.isdecimal() and int(allowed) else cores


def write_frame(pipe: IO[bytes], operation: bytes, *parts: bytes | memoryview) -> None:
    """Write an operation and its bytes, preceded by their length."""
    pipe.write(_LENGTH.pack(sum(map(len, parts))) + operation)
    for part in parts:
        pipe.write(part)
    pipe.flush()


def read_frame(pipe: IO[bytes]) -> tuple[bytes, bytes]:
    """Read what `write_frame` wrote; `EOFError` when the other side is gone."""
    head = pipe.read(_LENGTH.size + 1)
    if len(head) != _LENGTH.size + 1:
        raise EOFError
    (length,) = _LENGTH.unpack_from(head)
    body = pipe.read(length)
    if len(body) != length:
        raise EOFError
    return head[-1:], body


def _readable(given: dict[Worker, deque[int]], *, wait: bool) -> list[Worker]:
    asked = [worker for worker, numbers in given.items() if numbers]
    if wait:
        return select.select(asked, [], [], None)[0]
    starting = [worker for worker in given if not worker.is_ready]
    return select.select(asked + starting, [], [], 0)[0]


@contextmanager
def _closing(
    worker: Worker, given: dict[Worker, deque[int]], waiting: deque[int]
) -> Iterator[None]:
    try:
        yield
    except ProtocolError:
        worker.close()
        waiting.extend(given.pop(worker))


def _is_widened(pipe: IO[bytes]) -> bool:
    try:
        return fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES) >= _PIPE_BYTES
    except (OSError, AttributeError):
        return False  # a system without it, or a user with many pipes: one request at a time


def _hear_starting(workers: Sequence[Worker]) -> None:
    given: dict[Worker, deque[int]] = {worker: deque() for worker in workers}
    for worker in _readable(given, wait=False):
        with _closing(worker, given, deque()):
            worker.receive()


@atexit.register
def _close_all() -> None:
    while _workers:
        _workers.pop().close()
