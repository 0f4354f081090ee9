"""A SuperLink that does not answer for a while: asked again with growing pauses, to a deadline."""

import logging
import random
import time
from collections.abc import Callable
from typing import TypeVar

import httpx
from flwr.supercore.inflatable.inflatable_utils import ObjectPushError

from fedcausal.errors import LinkError, UnreachableError

__all__ = ["STATUS", "insist", "is_outage"]

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 10.0
# Where `SteadyGrid` keeps the status that the server really answered.
STATUS = "fedcausal_status"
# A request that came too late or too often; whatever else is below 500 is wrong for good.
_PASSING = frozenset({408, 425, 429})
_LOG = logging.getLogger("fedcausal.rounds")
_Answer = TypeVar("_Answer")


def insist(call: Callable[[], _Answer], *, what: str, deadline: float) -> _Answer:
    """Ask the SuperLink until it answers.

    The request must be harmless to repeat: it may have been heard although no answer came.

    Parameters
    ----------
    call
        The request.
    what
        What it asks for, as in "the SuperLink did not (take messages)".
    deadline
        By `time.monotonic()`; the request is made at least once.

    Raises
    ------
    UnreachableError
        It did not answer until the deadline. Nothing is known of the parties then: the run stays
        as it is on the disk, and goes on from there.
    LinkError
        It refused, which it would do again.
    """
    began, pause = time.monotonic(), FIRST_PAUSE_SECONDS
    while True:
        try:
            return call()
        except (httpx.HTTPError, ObjectPushError) as error:
            if not is_outage(error):
                raise LinkError(
                    f"the SuperLink refused to {what} ({_words(error)}); read the coordinator's "
                    "log"
                ) from None
            words = _words(error)
        left = deadline - time.monotonic()
        if left <= 0:
            raise UnreachableError(
                f"the SuperLink did not {what} for {time.monotonic() - began:.0f} s, to the "
                f"deadline of this step ({words}); nothing was revealed by it. See why in the "
                "coordinator's log, then type: fedcausal coordinator resume"
            )
        _LOG.warning("the SuperLink did not %s (%s); asking again", what, words)
        # Not all processes at once when it comes back; no secret hangs on this randomness.
        time.sleep(min(left, pause * random.uniform(0.5, 1.0)))  # noqa: S311
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


def is_outage(error: Exception) -> bool:
    """Whether a failed request may succeed later: no answer, or one of the server's own errors.

    A push that the SuperLink took without its content is one: a SuperLink that was started anew
    knows nothing of the push that the one before had begun.
    """
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code >= 500 or error.response.status_code in _PASSING
    return isinstance(error, httpx.TransportError | ObjectPushError)


def _words(error: Exception) -> str:
    """What happened, without a word of what was sent."""
    if isinstance(error, httpx.HTTPStatusError):
        return f"HTTP {error.response.extensions.get(STATUS, error.response.status_code)}"
    return type(error).__name__
