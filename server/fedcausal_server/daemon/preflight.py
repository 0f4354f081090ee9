"""Whether a coordinator is ready: machine, keys, certificates, port, doors, disk, log."""

import json
import shutil
import socket
import ssl
import stat
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Literal

import httpx
from cryptography import x509

from fedcausal.commands.doctor import FREE_DISK_GIB, Finding, examine
from fedcausal.errors import FedCausalError
from fedcausal_privacy.audit import AuditLog
from fedcausal_privacy.keys.certificate_expiry import CertificateExpiry, check_expiry
from fedcausal_server.daemon.control import is_serving
from fedcausal_server.daemon.home import CoordinatorHome
from fedcausal_server.daemon.monitoring import certificate_files
from fedcausal_server.parties.authority import is_protected

__all__ = ["preflight"]

CLOCK_TOLERANCE = timedelta(minutes=5)
Status = Literal["ok", "warning", "failed"]


def preflight(home: CoordinatorHome) -> list[Finding]:
    """Look at a coordinator's machine and home; nothing is changed."""
    checks: tuple[Callable[[], Iterator[Finding]], ...] = (
        lambda: iter(examine()),
        lambda: _disk(home),
        lambda: _secrets(home),
        lambda: _authority_key(home),
        lambda: _certificates(home),
        lambda: _revocations(home),
        lambda: _audit(home),
        lambda: _port(home),
    )
    return [finding for check in checks for finding in _guarded(check)]


def _guarded(check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """A check that fails is a finding, and the next one is made all the same."""
    try:
        yield from check()
    except FedCausalError as error:
        yield _finding("home", "failed", str(error).splitlines()[0])
    except OSError as error:
        yield _finding("home", "failed", f"{error.filename}: {error.strerror}")


def _disk(home: CoordinatorHome) -> Iterator[Finding]:
    free = shutil.disk_usage(home.folder).free / 2**30
    status: Status = "ok" if free >= FREE_DISK_GIB else "failed"
    yield _finding("home disk", status, f"{free:.0f} GiB free in {home.folder.name}")


def _secrets(home: CoordinatorHome) -> Iterator[Finding]:
    """Whoever reads one of these files is the operator, or the server."""
    for path in (home.operator_token, home.task_secret, home.certificate, home.authority_key):
        if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077:
            yield _finding("secrets", "failed", f"others can read {path}; run chmod 600 on it")
            return
    yield _finding("secrets", "ok", "there, their owner's alone")


def _authority_key(home: CoordinatorHome) -> Iterator[Finding]:
    protected = is_protected(home)
    if protected is None:
        yield _finding("authority key", "ok", "elsewhere")
    elif protected:
        yield _finding("authority key", "ok", "encrypted")
    else:
        detail = f"tls/ca.key is not encrypted; run fedcausal coordinator protect {home.folder}"
        yield _finding("authority key", "warning", detail)


def _certificates(home: CoordinatorHome) -> Iterator[Finding]:
    clients = sorted(home.client_certificates.glob("*/*.crt"))
    for expiry in check_expiry([*certificate_files(home), *clients]):
        yield _finding("certificate", expiry.status, expiry.detail)


def _revocations(home: CoordinatorHome) -> Iterator[Finding]:
    """A proxy refuses everybody once its list has ended."""
    if not home.revocation_list.exists():
        return
    found = x509.load_pem_x509_crl(home.revocation_list.read_bytes())
    end = found.next_update_utc
    if end is None:
        yield _finding(
            "revocation list", "failed", "has no end; run fedcausal coordinator certify"
        )
        return
    expiry = CertificateExpiry(
        name=home.revocation_list.name,
        not_before=found.last_update_utc,
        not_after=end,
        now=datetime.now(UTC),
    )
    yield _finding("revocation list", expiry.status, expiry.detail)


def _audit(home: CoordinatorHome) -> Iterator[Finding]:
    log = AuditLog(path=home.audit_log)
    report = log.check()
    yield _finding("audit log", "ok", f"{report.lines} lines, whole")
    lines = log.lines()
    if lines:
        behind = datetime.fromisoformat(json.loads(lines[-1])["time"]) - datetime.now(UTC)
        if behind > CLOCK_TOLERANCE:
            detail = f"{behind} behind the last line of the audit log; set the clock"
            yield _finding("clock of the home", "failed", detail)


def _port(home: CoordinatorHome) -> Iterator[Finding]:
    """Served by this home, with the operator's doors closed; or free for it."""
    address, port = home.local_address, home.config.port
    if is_serving(home):
        yield _finding("port", "ok", f"{address} serves, with this home's certificate")
        yield from _doors(home)
        return
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((home.config.bind, port))
        except OSError as error:
            detail = f"{port} cannot be opened ({error.strerror}); who listens there?"
            yield _finding("port", "failed", detail)
            return
    yield _finding("port", "ok", f"{port} is free; the coordinator is not started")


def _doors(home: CoordinatorHome) -> Iterator[Finding]:
    """The control routes answer nobody without the operator's token."""
    url = f"https://{home.local_address}/v1/control/list-runs"
    context = ssl.create_default_context(cafile=home.authority)
    try:
        status = httpx.post(url, verify=context, timeout=5.0).status_code
    except httpx.HTTPError:
        yield _finding("control routes", "warning", "did not answer; try again")
        return
    if status == 403:
        yield _finding("control routes", "ok", "closed without the operator's token")
    else:
        yield _finding("control routes", "failed", f"HTTP {status} without a token; stop it")


def _finding(check: str, status: Status, detail: str) -> Finding:
    return Finding(check=check, status=status, detail=detail)
