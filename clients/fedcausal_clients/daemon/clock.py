"""How far this machine's clock is from the coordinator's, and whether it answers at all."""

import logging
import math
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.client import HTTPException, HTTPSConnection
from pathlib import Path
from typing import Literal

from fedcausal.errors import DeadlineError, FedCausalError, LinkError
from fedcausal_clients.daemon.home import Coordinator

__all__ = ["Skew", "connection_fault", "measure_skew"]

_LOG = logging.getLogger(__name__)

SECONDS = 10.0
# A node's requests are signed with their time, and hold for five minutes: so does a roster's.
REFUSED_SECONDS = 300.0
WARNED_SECONDS = 60.0
# X509_V_FLAG_NO_CHECK_TIME of OpenSSL, which the ssl module has no name for.
_NO_CHECK_TIME = ssl.VerifyFlags(0x200000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Skew:
    """By how many seconds this clock is ahead of the coordinator's, give or take `error`.

    `certificate_seconds` is for how long the coordinator's certificate holds yet by its own clock.
    """

    seconds: float
    error: float
    certificate_seconds: float = math.inf

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
        connection.connect()
        ends = _certificate_end(connection)
        connection.request("GET", "/health")
        answer = connection.getresponse()
        after, written = clock(), answer.headers.get("date", "")
    except ssl.SSLCertVerificationError as error:
        raise UntrustedError(
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
    doubt = 0.5 + (after - before) / 2
    return Skew(seconds=middle - there, error=doubt, certificate_seconds=ends - there)


def _certificate_end(connection: HTTPSConnection) -> float:
    shown = connection.sock.getpeercert() or {}
    return float(ssl.cert_time_to_seconds(str(shown["notAfter"]))) if shown else math.inf


def connection_fault(coordinator: Coordinator, *, clock: Callable[[], float] = time.time) -> str:
    """Why a node would be refused without a word of the reason; "" where nothing is known.

    A coordinator that does not answer is no fault of this machine: "" then. A clock that is
    minutes wrong is written to the log, and works.
    """
    try:
        skew = measure_skew(coordinator, clock=clock)
    except UntrustedError as error:
        return str(error)
    except FedCausalError:
        return ""
    if skew.status == "failed":
        return f"this machine's clock is {skew.detail}"
    if skew.certificate_seconds <= 0:
        return (
            f"{coordinator.address}: its certificate has expired; its operator types `fedcausal "
            "coordinator renew`"
        )
    if skew.status == "warning":
        _LOG.warning("this machine's clock is %s", skew.detail)
    return ""


class UntrustedError(LinkError):
    """Somebody answers who is not the coordinator that was joined."""


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
