"""Whether a site is ready for a study, as far as can be told without a network."""

import json
import shutil
import stat
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qsl, urlsplit

from fedcausal.commands.doctor import FREE_DISK_GIB, Finding, examine
from fedcausal.errors import FedCausalError
from fedcausal.study import Study
from fedcausal_clients.home import AUDIT_FILE, IDENTITY_FILE, STATE_FOLDER
from fedcausal_clients.inspection import inspect_data
from fedcausal_clients.policy_view import check_policy
from fedcausal_clients.site_config import SiteConfig
from fedcausal_privacy.audit import AuditLog
from fedcausal_privacy.certificate_expiry import check_expiry

__all__ = ["preflight"]

# Where a site keeps certificates: its coordinator's authority, and others that it was given.
CERTIFICATES = ("coordinator/*.crt", "certificates/*.pem")
# A clock may be set back a little; lines of the audit log from a later day mean it is wrong.
CLOCK_TOLERANCE = timedelta(minutes=5)
_LOCAL = ("", "localhost", "127.0.0.1", "::1")

Status = Literal["ok", "warning", "failed"]


def preflight(folder: Path, study: Study | None = None) -> list[Finding]:
    """Look at a site's machine, folder, log and certificates, and with a study at data and policy.

    Nothing leaves, and nothing is written but the lock of the folder.

    Raises
    ------
    InputError
        The folder has no site file, or a faulty one.
    """
    config = SiteConfig.load(folder)
    checks: list[Callable[[], Iterator[Finding]]] = [
        lambda: iter(examine()),
        lambda: _disk(folder),
        lambda: _key(folder),
        lambda: _audit(folder),
        lambda: _certificates(folder),
        lambda: _server(config),
    ]
    if study is not None and config.site.role == "site":
        checks += [lambda: _data(folder, study), lambda: _policy(folder, study)]
    return [finding for check in checks for finding in _guarded(check)]


def _guarded(check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """A check that fails is a finding, and the next one is made all the same."""
    try:
        yield from check()
    except FedCausalError as error:
        yield Finding(check="site", status="failed", detail=str(error).splitlines()[0])
    except OSError as error:
        detail = f"{error.filename}: {error.strerror}"
        yield Finding(check="site", status="failed", detail=detail)


def _disk(folder: Path) -> Iterator[Finding]:
    free = shutil.disk_usage(folder).free / 2**30
    status: Status = "ok" if free >= FREE_DISK_GIB else "failed"
    yield Finding(check="site disk", status=status, detail=f"{free:.0f} GiB free in {folder.name}")


def _key(folder: Path) -> Iterator[Finding]:
    path = folder / STATE_FOLDER / IDENTITY_FILE
    if not path.is_file():
        detail = f"none yet; run fedcausal key create {folder.name}"
        yield Finding(check="key", status="failed", detail=detail)
    elif stat.S_IMODE(path.stat().st_mode) & 0o077:
        detail = f"others can read {path.name}; run chmod 600 on it"
        yield Finding(check="key", status="failed", detail=detail)
    else:
        yield Finding(check="key", status="ok", detail="there, its owner's alone")


def _audit(folder: Path) -> Iterator[Finding]:
    """The chain, and whether the clock is behind the log's last line."""
    log = AuditLog(path=folder / AUDIT_FILE)
    report = log.check()
    yield Finding(check="audit log", status="ok", detail=f"{report.lines} lines, whole")
    lines = log.lines()
    if not lines:
        return
    last = datetime.fromisoformat(json.loads(lines[-1])["time"])
    behind = last - datetime.now(UTC)
    if behind > CLOCK_TOLERANCE:
        detail = f"{behind} behind the last line of the audit log; set the clock"
        yield Finding(check="site clock", status="failed", detail=detail)


def _certificates(folder: Path) -> Iterator[Finding]:
    paths = [path for pattern in CERTIFICATES for path in sorted(folder.glob(pattern))]
    for expiry in check_expiry(paths):
        yield Finding(check="certificate", status=expiry.status, detail=expiry.detail)


def _server(config: SiteConfig) -> Iterator[Finding]:
    """Rows from another machine travel in clear unless the address asks for TLS."""
    url = None if config.data is None else config.data.url
    if url is None:
        return
    parts = urlsplit(url)
    mode = dict(parse_qsl(parts.query)).get("sslmode", "")
    if (parts.hostname or "") in _LOCAL or mode == "verify-full":
        yield Finding(check="database", status="ok", detail="local, or its certificate is checked")
    else:
        detail = "add ?sslmode=verify-full to data.url: rows travel between machines"
        yield Finding(check="database", status="warning", detail=detail)


def _data(folder: Path, study: Study) -> Iterator[Finding]:
    found = inspect_data(folder, study)
    for fault in found.faults:
        yield Finding(check="data", status="failed", detail=fault)
    for column in found.columns:
        if column.status != "ok":
            detail = f"{column.variable}: {'; '.join(column.notes)}"
            yield Finding(check="data", status=column.status, detail=detail)
    if found.is_ready:
        detail = f"{found.num_rows} rows fit the study"
        yield Finding(check="data", status="ok", detail=detail)


def _policy(folder: Path, study: Study) -> Iterator[Finding]:
    for finding in check_policy(folder, study):
        if finding.status != "ok":
            detail = f"{finding.rule}: {finding.detail}"
            yield Finding(check="policy", status=finding.status, detail=detail)
