"""A daemon's own small HTTP server: metrics in Prometheus' format, and whether it is well."""

import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal

from fedcausal_privacy.errors import FedCausalError

__all__ = ["Metric", "Monitor", "exposition", "serve_monitor"]

# A scrape reads files and asks a port: more often than this it gets the last answer again.
FRESH_SECONDS = 5.0
REQUEST_SECONDS = 10.0
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One named quantity with its samples, by labels.

    Privacy: states, times, sizes and numbers of messages. Never a number of patients, nor a
    statistic of them.
    """

    name: str
    help: str
    samples: Mapping[Labels, float]
    kind: Literal["gauge", "counter"] = "gauge"


def exposition(metrics: Sequence[Metric]) -> str:
    """The metrics in Prometheus' text format.

    References: https://prometheus.io/docs/instrumenting/exposition_formats/ (version 0.0.4).
    """
    return "".join(f"{line}\n" for metric in metrics for line in _lines(metric))


def _lines(metric: Metric) -> Iterator[str]:
    yield f"# HELP {metric.name} {metric.help}"
    yield f"# TYPE {metric.name} {metric.kind}"
    for labels, value in sorted(metric.samples.items()):
        shown = ",".join(f'{name}="{_escaped(text)}"' for name, text in labels)
        yield f"{metric.name}{{{shown}}} {value!r}" if shown else f"{metric.name} {value!r}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


@dataclass(slots=True, kw_only=True)
class Monitor:
    """What the server answers: `/metrics`, `/live`, `/ready`; all else is 404.

    Parameters
    ----------
    collect
        The metrics of this moment.
    is_ready
        Whether the daemon can do its work: "" if so, else what is in the way.
    """

    collect: Callable[[], Sequence[Metric]]
    is_ready: Callable[[], str]
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _kept: dict[str, tuple[float, int, str]] = field(default_factory=dict)

    def answer(self, path: str) -> tuple[int, str]:
        """Status and body for a path."""
        answers = {"/metrics": self._metrics, "/live": _live, "/ready": self._ready}
        if path not in answers:
            return 404, "expected /metrics, /live or /ready\n"
        with self._lock:
            when, status, body = self._kept.get(path, (float("-inf"), 0, ""))
            if time.monotonic() - when >= FRESH_SECONDS:
                status, body = answers[path]()
                self._kept[path] = (time.monotonic(), status, body)
            return status, body

    def _metrics(self) -> tuple[int, str]:
        try:
            return 200, exposition(self.collect())
        except (FedCausalError, OSError) as error:
            # The class alone: this port may be open to a whole network of machines.
            return 500, f"{type(error).__name__}\n"

    def _ready(self) -> tuple[int, str]:
        missing = self.is_ready()
        return (503 if missing else 200), json.dumps({"ready": not missing, "why": missing})


def _live() -> tuple[int, str]:
    return 200, json.dumps({"live": True})


def serve_monitor(monitor: Monitor, *, bind: str, port: int, parent: int) -> None:
    """Serve until the daemon (process `parent`) is gone; in a child process of it.

    A child, because a daemon forks for every task and must have no threads.

    Raises
    ------
    OSError
        The port is in use.
    """
    server = ThreadingHTTPServer((bind, port), _handler(monitor))
    server.daemon_threads = True
    server.timeout = 1.0
    with server:
        while os.getppid() == parent:
            server.handle_request()


def _handler(monitor: Monitor) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """Answers GET."""

        timeout = REQUEST_SECONDS
        server_version, sys_version = "fedcausal", ""

        def do_GET(self) -> None:
            status, body = monitor.answer(self.path.partition("?")[0])
            content = body.encode()
            self.send_response(status)
            self.send_header("content-type", CONTENT_TYPE)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *arguments: object) -> None:
            """Keep no log of requests."""

    return Handler
