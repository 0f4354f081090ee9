"""How far this machine's clock is from the coordinator's, and whether it answers at all."""

import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.client import HTTPException, HTTPSConnection
from pathlib import Path
from typing import Literal

from fedcausal.errors import DeadlineError, FedCausalError, LinkError
from fedcausal_clients.daemon_home import Coordinator, read_coordinator

__all__ = ["Skew", "check_clock", "measure_skew"]

SECONDS = 10.0
# A node's requests are signed with their time, and hold for five minutes: so does a roster's.
REFUSED_SECONDS = 300.0
WARNED_SECONDS = 60.0
# At this distance somebody set the clock: nothing that this machine writes down has a right date.
START_REFUSED_SECONDS = 3600.0
# X509_V_FLAG_NO_CHECK_TIME of OpenSSL, which the ssl module has no name for.
_NO_CHECK_TIME = ssl.VerifyFlags(0x200000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Skew:
    """By how many seconds this clock is ahead of the coordinator's, give or take `error`."""

    seconds: float
    error: float

    @property
    def status(self) -> Literal["ok", "warning", "failed"]:
        """`warning` from a minute on; `failed` where signed requests are refused."""
        distance = abs(self.seconds) - self.error
        if distance >= REFUSED_SECONDS:
            return "failed"
        return "warning" if distance >= WARNED_SECONDS else "ok"

    @property
    def detail(self) -> str:
        """In words, with what to do."""
        said = f"{self.seconds:+.0f} s from the coordinator's clock"
        if self.status == "ok":
            return said
        limit = f"requests hold for {REFUSED_SECONDS:.0f} s"
        return f"{said}; {limit}: synchronise this machine (NTP)"


def measure_skew(
    coordinator: Coordinator, *, clock: Callable[[], float] = time.time, seconds: float = SECONDS
) -> Skew:
    """Ask the coordinator's `/health` over TLS and compare its Date header with this clock.

    The header has whole seconds, and was written somewhere between question and answer: both go
    into `error`.

    Raises
    ------
    LinkError
        It cannot be reached, or is not the coordinator that was joined.
    DeadlineError
        It does not answer in time.
    """
    host, _, port = coordinator.address.rpartition(":")
    context = _context(coordinator.authority)
    connection = HTTPSConnection(host.strip("[]"), int(port), timeout=seconds, context=context)
    before = clock()
    try:
        connection.request("GET", "/health")
        answer = connection.getresponse()
        after, written = clock(), answer.headers.get("date", "")
    except ssl.SSLCertVerificationError as error:
        raise LinkError(
            f"{coordinator.address}: is not the coordinator that was joined "
            f"({error.verify_message})"
        ) from None
    except TimeoutError:
        raise DeadlineError(f"waited {seconds:g} s for {coordinator.address} to answer") from None
    except (OSError, HTTPException):
        raise LinkError(
            f"{coordinator.address}: cannot be reached; is the coordinator started, and may this "
            "machine connect to it?"
        ) from None
    finally:
        connection.close()
    try:
        there = parsedate_to_datetime(written).timestamp() + 0.5
    except ValueError:
        raise LinkError(f"{coordinator.address}: answered without a date") from None
    middle = (before + after) / 2
    return Skew(seconds=middle - there, error=0.5 + (after - before) / 2)


def check_clock(folder: Path, *, clock: Callable[[], float] = time.time) -> str:
    """Refuse to serve with a clock that is hours wrong; a line to say when it is minutes wrong.

    A coordinator that does not answer is no fault of the clock: "" then, as when all is well.

    Raises
    ------
    LinkError
        The clocks differ by an hour or more; the message says by how much.
    """
    try:
        skew = measure_skew(read_coordinator(folder), clock=clock)
    except FedCausalError:
        return ""
    if abs(skew.seconds) - skew.error >= START_REFUSED_SECONDS:
        raise LinkError(f"this machine's clock is {skew.detail}")
    return "" if skew.status == "ok" else f"this machine's clock is {skew.detail}"


def _context(authority: Path) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=authority)
    except (OSError, ssl.SSLError):
        raise LinkError(
            f"{authority}: is not the authority's certificate; join the coordinator again"
        ) from None
    # Chain and name are checked, times are not: a wrong clock here would find them all wrong.
    context.verify_flags |= _NO_CHECK_TIME
    return context
