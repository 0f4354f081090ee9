"""What is seen while a study runs: a live line on a terminal, plain lines elsewhere."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console

__all__ = ["shown_rounds"]

ROUNDS = "fedcausal.rounds"


class _Lines(logging.Handler):
    """Hands every message of the rounds on, with the time since the start."""

    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__(logging.INFO)
        self._say, self._start = say, time.monotonic()

    def emit(self, record: logging.LogRecord) -> None:
        self._say(f"{time.monotonic() - self._start:6.1f} s  {record.getMessage()}")


@contextmanager
def shown_rounds(*, enabled: bool) -> Iterator[Callable[[str], None]]:
    """Show what the rounds report; yields a function that says one more line."""
    if not enabled:
        yield lambda text: None
        return
    console = Console(highlight=False, soft_wrap=True)

    def say(text: str) -> None:
        console.print(text, markup=False)

    logger, handler = logging.getLogger(ROUNDS), _Lines(say)
    level, propagates = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        if console.is_terminal:
            with console.status("the sites are at work"):
                yield say
        else:
            yield say
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagates
