"""How long a certificate is still valid, and whether that is soon."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from cryptography import x509

from fedcausal_privacy.errors import InputError

__all__ = ["WARN_DAYS", "CertificateExpiry", "check_expiry", "read_expiry"]

WARN_DAYS = (30, 7, 1)
"""Days before the end at which a warning gets louder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateExpiry:
    """One certificate at one time.

    `status` is failed when it is not valid now, warning from 30 days before its end on.
    `threshold` is the smallest of `WARN_DAYS` that it has come down to; None before.
    """

    name: str
    not_before: datetime
    not_after: datetime
    now: datetime

    @property
    def days_left(self) -> float:
        """Days until the end; negative after it."""
        return (self.not_after - self.now) / timedelta(days=1)

    @property
    def threshold(self) -> int | None:
        """Which warning is due."""
        due = [days for days in WARN_DAYS if self.days_left <= days]
        return min(due, default=None)

    @property
    def status(self) -> Literal["ok", "warning", "failed"]:
        """Whether the certificate can be used, and for how long."""
        if self.now < self.not_before or self.now >= self.not_after:
            return "failed"
        return "ok" if self.threshold is None else "warning"

    @property
    def detail(self) -> str:
        """The same in words, with what to do."""
        end = self.not_after.strftime("%Y-%m-%d %H:%M UTC")
        if self.now < self.not_before:
            begin = self.not_before.strftime("%Y-%m-%d %H:%M UTC")
            return f"{self.name}: not valid before {begin}; check this machine's clock"
        if self.now >= self.not_after:
            return f"{self.name}: expired on {end}; renew it"
        left = f"{int(self.days_left)} days" if self.days_left >= 2 else f"{self._hours} hours"
        renew = "" if self.threshold is None else "; renew it"
        urgent = " NOW" if self.threshold == WARN_DAYS[-1] else ""
        return f"{self.name}: {left} left, until {end}{renew}{urgent}"

    @property
    def _hours(self) -> int:
        return int(self.days_left * 24)


def read_expiry(path: Path, *, now: datetime | None = None) -> tuple[CertificateExpiry, ...]:
    """Every certificate of a PEM file, in its order.

    Raises
    ------
    InputError
        The file cannot be read or holds no certificate.
    """
    moment = now or datetime.now(UTC)
    try:
        found = x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError):
        raise InputError(
            f"{path}: expected certificates (PEM); check the path, or make a new one"
        ) from None
    return tuple(
        CertificateExpiry(
            name=path.name if len(found) == 1 else f"{path.name}[{number}]",
            not_before=certificate.not_valid_before_utc,
            not_after=certificate.not_valid_after_utc,
            now=moment,
        )
        for number, certificate in enumerate(found)
    )


def check_expiry(
    paths: Sequence[Path], *, now: datetime | None = None
) -> tuple[CertificateExpiry, ...]:
    """All certificates of some files, the one that ends first at the front."""
    found = [expiry for path in paths for expiry in read_expiry(path, now=now)]
    return tuple(sorted(found, key=lambda expiry: expiry.not_after))
