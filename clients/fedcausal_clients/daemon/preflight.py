"""Whether a site is ready for a study: machine, folder, certificates, clock, coordinator, data."""

import json
import shutil
import socket
import stat
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qsl, urlsplit

from fedcausal.commands.doctor import FREE_DISK_GIB, Finding, examine
from fedcausal.daemons.processes import holder_of
from fedcausal.errors import FedCausalError
from fedcausal.study import Study
from fedcausal_clients.daemon.clock import measure_skew
from fedcausal_clients.daemon.home import COORDINATOR_FOLDER, read_coordinator
from fedcausal_clients.data.inspection import inspect_data
from fedcausal_clients.home import AUDIT_FILE, IDENTITY_FILE, STATE_FOLDER
from fedcausal_clients.policy.view import check_policy
from fedcausal_clients.site_config import SiteConfig
from fedcausal_privacy.audit import AuditLog
from fedcausal_privacy.keys.certificate_expiry import check_expiry

__all__ = ["certificate_files", "preflight"]

# Where a site keeps certificates: its coordinator's authority, and others that it was given.
CERTIFICATES = ("coordinator/*.crt", "certificates/*.pem")
# A clock may be set back a little; lines of the audit log from a later day mean it is wrong.
CLOCK_TOLERANCE = timedelta(minutes=5)
_LOCAL = ("", "localhost", "127.0.0.1", "::1")

Status = Literal["ok", "warning", "failed"]


def preflight(folder: Path, study: Study | None = None, *, offline: bool = False) -> list[Finding]:
    """Look at a site's machine, folder, log and certificates, and with a study at data and policy.

    A site that has joined asks the coordinator's `/health` too, unless `offline`. Nothing of the
    site leaves with that, and nothing is written but the lock of the folder.

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
        lambda: _trust(config),
        lambda: _monitoring(folder, config),
    ]
    if not offline and (folder / COORDINATOR_FOLDER).is_dir():
        checks.append(lambda: _coordinator(folder))
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


def certificate_files(folder: Path) -> list[Path]:
    """The certificates of a party's folder."""
    return [path for pattern in CERTIFICATES for path in sorted(folder.glob(pattern))]


def _trust(config: SiteConfig) -> Iterator[Finding]:
    if config.trust is not None and not config.trust:
        detail = "nobody is pinned; compare fingerprints, then fedcausal site trust HOME --pin"
        yield Finding(check="trust", status="failed", detail=detail)


def _monitoring(folder: Path, config: SiteConfig) -> Iterator[Finding]:
    """The port is free, or taken by the daemon of this folder."""
    place = config.monitoring
    if place is None or holder_of(folder / STATE_FOLDER) is not None:
        return
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((place.bind, place.port))
        except OSError:
            detail = f"{place.port} is in use; choose another monitoring.port"
            yield Finding(check="monitoring port", status="failed", detail=detail)
            return
    yield Finding(check="monitoring port", status="ok", detail=f"{place.port} is free")


def _coordinator(folder: Path) -> Iterator[Finding]:
    coordinator = read_coordinator(folder)
    try:
        skew = measure_skew(coordinator)
    except FedCausalError as error:
        yield Finding(check="coordinator", status="failed", detail=str(error))
        return
    detail = f"{coordinator.address} answers, with the authority that was joined"
    yield Finding(check="coordinator", status="ok", detail=detail)
    yield Finding(check="clock skew", status=skew.status, detail=skew.detail)


def _certificates(folder: Path) -> Iterator[Finding]:
    for expiry in check_expiry(certificate_files(folder)):
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
