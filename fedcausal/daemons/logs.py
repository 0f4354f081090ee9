"""What a daemon says: lines for people, or one JSON object a line for a log collector."""

import io
import json
import logging
import logging.config
import sys
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = [
    "JsonLines",
    "LogFormat",
    "LogFormatOption",
    "adopt_loggers",
    "start_logging",
    "writes_json",
]

# Loggers that bring handlers of their own, which would put plain lines between ours.
FOREIGN = ("flwr", "uvicorn", "uvicorn.error", "uvicorn.access")


class LogFormat(StrEnum):
    """How a daemon writes its log."""

    TEXT = "text"
    JSON = "json"


LogFormatOption = Annotated[
    LogFormat,
    typer.Option(
        "--log-format",
        envvar="FEDCAUSAL_LOG_FORMAT",
        help="Lines for people, or JSON lines for a log collector.",
    ),
]


class _Printed(io.TextIOBase):
    """Stands in for standard output: what Flower prints becomes lines of the log."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            # Click writes bytes to whatever takes them.
            raise TypeError("expected text")
        for line in text.splitlines():
            if line.strip():
                self._logger.info("%s", line)
        return len(text)


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, message, process and the given fields.

    Of an exception its class and place are written, and no word of it: a message can quote a
    value of a record, and collectors carry logs to other machines.
    """

    def __init__(self, **fields: str) -> None:
        super().__init__()
        self._fields = fields

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        moment = datetime.fromtimestamp(record.created, UTC)
        content: dict[str, object] = {
            "time": moment.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            # A failed statement comes with its parameters, a task's token among them.
            "message": record.getMessage().partition("\n[SQL:")[0],
            "pid": record.process,
            **self._fields,
        }
        if record.exc_info and record.exc_info[0] is not None:
            content["error"] = record.exc_info[0].__name__
            frames = traceback.extract_tb(record.exc_info[2])
            if frames:
                content["at"] = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}"
        return json.dumps(content)


def start_logging(form: LogFormat, *, role: str, name: str, quiet: bool) -> Callable[[str], None]:
    """Set up the log of a daemon; return what writes a line of it.

    As text, the lines go to standard output unless `quiet`, and warnings where Python puts them.
    As JSON, all lines go to standard error, also those of Flower and of its server.
    """
    if form is LogFormat.TEXT:
        return _nothing if quiet else typer.echo
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(role=role, name=name))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    own = logging.getLogger("fedcausal")
    own.setLevel(logging.WARNING if quiet else logging.INFO)
    logging.captureWarnings(True)
    sys.stdout = _Printed(logging.getLogger("fedcausal.printed"))
    _adopt_after(logging.config.dictConfig)
    adopt_loggers()
    return logging.getLogger(f"fedcausal.{role}").info


def adopt_loggers() -> None:
    """Let foreign loggers write through ours, if ours writes JSON; once they are imported."""
    if not writes_json():
        return
    for name in FOREIGN:
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [], True
        logger.setLevel(logging.WARNING)


def writes_json() -> bool:
    """Whether this process was told to write JSON lines."""
    return any(isinstance(h.formatter, JsonLines) for h in logging.getLogger().handlers)


def _adopt_after(configure: Callable[..., None]) -> None:
    """Keep the loggers when uvicorn configures its own, as it does when it starts to serve."""

    def configured(config: Any) -> None:
        configure(config)
        adopt_loggers()

    logging.config.dictConfig = configured


def _nothing(line: str) -> None:
    """Say nothing."""
