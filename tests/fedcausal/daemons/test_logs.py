"""The log of a daemon: every line is an object, and no exception brings a value into it."""

import json
import logging
import logging.config
import sys

import pytest
import typer

from fedcausal.daemons.logs import JsonLines, LogFormat, adopt_loggers, start_logging


@pytest.fixture
def loggers(monkeypatch):
    """Leave all loggers as they were found."""
    names = (None, "fedcausal", "flwr", "uvicorn", "uvicorn.access")
    before = [
        (log, log.handlers, log.level, log.propagate) for log in map(logging.getLogger, names)
    ]
    monkeypatch.setattr(logging.config, "dictConfig", logging.config.dictConfig)
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    yield
    logging.captureWarnings(False)
    for log, handlers, level, propagate in before:
        log.handlers, log.level, log.propagate = handlers, level, propagate


def lines_of(capsys):
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


@pytest.mark.usefixtures("loggers")
def test_every_line_is_an_object(capsys):
    say = start_logging(LogFormat.JSON, role="site", name="north", quiet=False)
    say("two\nlines, 100 % sure")
    logging.getLogger("fedcausal.site").warning("the node ended after %d s", 3)
    first, second = lines_of(capsys)
    assert (first["message"], first["level"]) == ("two\nlines, 100 % sure", "info")
    assert (second["message"], second["logger"]) == ("the node ended after 3 s", "fedcausal.site")
    for line in (first, second):
        assert (line["role"], line["name"]) == ("site", "north")
        assert line["time"].endswith("+00:00")
        assert line["pid"] > 0


@pytest.mark.usefixtures("loggers")
def test_no_word_of_an_exception_is_written(capsys):
    start_logging(LogFormat.JSON, role="site", name="north", quiet=True)
    try:
        raise ValueError("the patient of row 17 is 42")
    except ValueError:
        logging.getLogger("fedcausal.site").exception("a message could not be answered")
    (line,) = lines_of(capsys)
    assert (line["error"], line["message"]) == ("ValueError", "a message could not be answered")
    assert line["at"].startswith("test_logs.py:")
    assert "42" not in json.dumps({**line, "at": "", "time": "", "pid": 0})


@pytest.mark.usefixtures("loggers")
def test_foreign_loggers_write_through_ours(capsys, monkeypatch):
    def configure(config):
        """As uvicorn's configuration does, and without closing the test runner's own handlers."""
        logger = logging.getLogger(config["logger"])
        logger.handlers, logger.propagate = [logging.StreamHandler()], False

    monkeypatch.setattr(logging.config, "dictConfig", configure)
    flower = logging.getLogger("flwr")
    flower.handlers, flower.propagate = [logging.StreamHandler()], False
    start_logging(LogFormat.JSON, role="coordinator", name="c", quiet=False)
    flower.info("starting")
    flower.warning("a node is gone")
    # Uvicorn configures its loggers when it starts to serve.
    logging.config.dictConfig({"logger": "uvicorn"})
    logging.getLogger("uvicorn").error("a port is in use")
    assert [line["message"] for line in lines_of(capsys)] == ["a node is gone", "a port is in use"]


@pytest.mark.usefixtures("loggers")
def test_what_flower_prints_is_a_line_too(capsys):
    start_logging(LogFormat.JSON, role="coordinator", name="c", quiet=False)
    typer.secho("installed a bundle", fg="green")
    (line,) = lines_of(capsys)
    assert (line["message"], line["logger"]) == ("installed a bundle", "fedcausal.printed")


@pytest.mark.usefixtures("loggers")
def test_lines_for_people_are_the_default(capsys):
    before = logging.getLogger().handlers
    start_logging(LogFormat.TEXT, role="site", name="north", quiet=False)("hello")
    start_logging(LogFormat.TEXT, role="site", name="north", quiet=True)("nothing")
    flower = logging.getLogger("flwr")
    flower.handlers = [logging.NullHandler()]
    adopt_loggers()
    assert flower.handlers
    assert logging.getLogger().handlers == before
    assert capsys.readouterr() == ("hello\n", "")


def test_parameters_of_a_failed_statement_are_left_out():
    words = "database is locked\n[SQL: UPDATE task SET token=?]\n[parameters: ('s3cret',)]"
    record = logging.LogRecord("flwr", logging.ERROR, "f", 1, words, (), None)
    assert json.loads(JsonLines().format(record))["message"] == "database is locked"


def test_a_line_has_no_fields_but_these():
    record = logging.LogRecord("fedcausal", logging.INFO, "f", 1, "m", (), None)
    record.secret = "k" * 20
    line = json.loads(JsonLines(role="site").format(record))
    assert set(line) == {"time", "level", "logger", "message", "pid", "role"}
