"""What a site tells its monitoring, where its operator opened a port for it."""

import json
import shutil
from collections import Counter
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from fedcausal.daemons.monitor import Labels, Metric, Monitor
from fedcausal.errors import FedCausalError
from fedcausal_clients.daemon.clock import Skew, measure_skew
from fedcausal_clients.daemon.daemon import daemon_status
from fedcausal_clients.daemon.home import read_coordinator
from fedcausal_clients.daemon.preflight import certificate_files
from fedcausal_clients.home import AUDIT_FILE, STATE_FOLDER
from fedcausal_clients.policy.consent import kept_requests, state_of
from fedcausal_clients.site_config import SiteConfig
from fedcausal_clients.state_store import StateStore
from fedcausal_privacy.audit import AuditLog
from fedcausal_privacy.keys.certificate_expiry import check_expiry

__all__ = ["site_metrics", "site_monitor", "site_readiness"]


def site_monitor(folder: Path) -> Monitor:
    """The answers of a site's monitoring port."""
    return Monitor(collect=lambda: site_metrics(folder), is_ready=lambda: site_readiness(folder))


def site_readiness(folder: Path) -> str:
    """Why the site could not answer at this moment; "" when it can."""
    if not daemon_status(folder).running:
        return "the daemon is not running"
    if _skew(folder) is None:
        return "the coordinator cannot be reached"
    return ""


def site_metrics(folder: Path) -> tuple[Metric, ...]:
    """Everything that is shown, by the names that `clients/README.md` documents.

    Privacy: nothing here comes from the data. Lines of the audit log and studies are counted,
    not records, and no count of records is read.
    """
    status, skew = daemon_status(folder), _skew(folder)
    return (
        _metric(
            "fedcausal_build_info",
            "Versions of the installed packages.",
            {(("flwr", metadata.version("flwr")), ("version", metadata.version("fedcausal"))): 1},
        ),
        _metric("fedcausal_site_running", "1 when the daemon runs.", {(): status.running}),
        _metric(
            "fedcausal_site_node_starts",
            "Starts of the node since the daemon's own.",
            {(): status.starts},
        ),
        _metric(
            "fedcausal_site_coordinator_reachable",
            "1 when the coordinator answers, with the certificate that was joined.",
            {(): skew is not None},
        ),
        _metric(
            "fedcausal_site_clock_skew_seconds",
            "This clock less the coordinator's.",
            {} if skew is None else {(): skew.seconds},
        ),
        _metric("fedcausal_site_studies", "Studies that asked, by state.", _studies(folder)),
        _metric(
            "fedcausal_site_audit_lines", "Lines of the audit log, by event.", _events(folder)
        ),
        _metric(
            "fedcausal_certificate_seconds_left",
            "Seconds until a certificate expires, by file.",
            _certificates(folder),
        ),
        _metric(
            "fedcausal_disk_free_bytes",
            "Free space where the folder lies.",
            {(): shutil.disk_usage(folder).free},
        ),
    )


def _metric(name: str, text: str, samples: dict[Labels, float]) -> Metric:
    return Metric(name=name, help=text, samples={k: float(v) for k, v in samples.items()})


def _skew(folder: Path) -> Skew | None:
    try:
        return measure_skew(read_coordinator(folder), seconds=3.0)
    except FedCausalError:
        return None


def _studies(folder: Path) -> dict[Labels, float]:
    store, policy = StateStore.open(folder / STATE_FOLDER), SiteConfig.load(folder).policy
    found = Counter(state_of(store, policy, r.study)[0] for r in kept_requests(store))
    return {(("state", state),): float(number) for state, number in found.items()}


def _events(folder: Path) -> dict[Labels, float]:
    lines = AuditLog(path=folder / AUDIT_FILE).lines()
    counted = Counter(str(json.loads(line)["event"]) for line in lines)
    return {(("event", event),): float(number) for event, number in counted.items()}


def _certificates(folder: Path) -> dict[Labels, float]:
    now = datetime.now(UTC)
    found = check_expiry(certificate_files(folder))
    return {(("file", e.name),): (e.not_after - now).total_seconds() for e in found}
