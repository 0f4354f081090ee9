"""Plain lines while a study runs; nothing stays behind in the logging of the process."""

import logging
import re

import pytest

from fedcausal_simulations.progress import ROUNDS, shown_rounds


def state():
    logger = logging.getLogger(ROUNDS)
    return logger.level, logger.propagate, list(logger.handlers)


def test_rounds_are_lines_with_the_time_since_the_start(capsys):
    before = state()
    with shown_rounds(enabled=True) as say:
        say("hello [bold]you[/bold]")
        logging.getLogger(ROUNDS).info("round %d: %s", 1, "gram, votes")
    first, second = capsys.readouterr().out.splitlines()
    assert first == "hello [bold]you[/bold]"
    assert re.fullmatch(r" +\d+\.\d s  round 1: gram, votes", second)
    assert state() == before


def test_quiet_is_quiet(capsys):
    with shown_rounds(enabled=False) as say:
        say("hello")
        logging.getLogger(ROUNDS).info("round 1")
    assert capsys.readouterr() == ("", "")


def test_a_failure_leaves_no_handler():
    before = state()
    with pytest.raises(RuntimeError), shown_rounds(enabled=True):
        raise RuntimeError
    assert state() == before
