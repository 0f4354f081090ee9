"""What a coordinator tells its monitoring: parties, nodes, runs, certificates, disk."""

import shutil
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from fedcausal.daemons.monitor import Metric, Monitor
from fedcausal_privacy.keys.certificate_expiry import check_expiry
from fedcausal_server.daemon.control import Control, is_serving
from fedcausal_server.daemon.deployed_runs import run_names, run_status
from fedcausal_server.daemon.home import CoordinatorHome

__all__ = ["coordinator_metrics", "coordinator_monitor", "coordinator_readiness"]


def coordinator_monitor(home: CoordinatorHome) -> Monitor:
    """The answers of a coordinator's monitoring port."""
    return Monitor(
        collect=lambda: coordinator_metrics(home), is_ready=lambda: coordinator_readiness(home)
    )


def coordinator_readiness(home: CoordinatorHome) -> str:
    """Why sites could not be served at this moment; "" when they can."""
    if is_serving(home):
        return ""
    return "the SuperLink does not answer on its port with its certificate"


def coordinator_metrics(home: CoordinatorHome) -> tuple[Metric, ...]:
    """Everything that is shown, by the names that `server/README.md` documents."""
    serving = is_serving(home)
    book = home.book().enrolments.values()
    return (
        _metric(
            "fedcausal_build_info",
            "Versions of the installed packages.",
            {(("flwr", _version("flwr")), ("version", _version("fedcausal"))): 1.0},
        ),
        _metric(
            "fedcausal_coordinator_serving",
            "1 when the SuperLink answers on its port.",
            {(): float(serving)},
        ),
        _metric(
            "fedcausal_parties",
            "Parties in the book, by role and state.",
            _counted((("role", party.role), ("state", party.state)) for party in book),
        ),
        _metric(
            "fedcausal_nodes",
            "Nodes at the SuperLink, by status.",
            _counted((("status", status),) for status in (_statuses(home) if serving else ())),
        ),
        _metric(
            "fedcausal_runs",
            "Runs, by state.",
            _counted((("state", state),) for state in _run_states(home, serving=serving)),
        ),
        _metric(
            "fedcausal_certificate_seconds_left",
            "Seconds until a certificate expires, by file.",
            _certificates(home),
        ),
        _metric(
            "fedcausal_disk_free_bytes",
            "Free space where the home lies.",
            {(): float(shutil.disk_usage(home.folder).free)},
        ),
    )


def _metric(name: str, text: str, samples: dict[tuple[tuple[str, str], ...], float]) -> Metric:
    return Metric(name=name, help=text, samples=samples)


def _counted(
    labels: Iterable[tuple[tuple[str, str], ...]],
) -> dict[tuple[tuple[str, str], ...], float]:
    return {label: float(number) for label, number in Counter(labels).items()}


def _statuses(home: CoordinatorHome) -> list[str]:
    with closing(Control(home)) as control:
        return [node.status for node in control.nodes()]


def _run_states(home: CoordinatorHome, *, serving: bool) -> list[str]:
    if not serving:
        return ["unknown"] * len(run_names(home))
    return [run_status(home, name) for name in run_names(home)]


def _certificates(home: CoordinatorHome) -> dict[tuple[tuple[str, str], ...], float]:
    found = check_expiry(certificate_files(home))
    now = datetime.now(UTC)
    return {(("file", e.name),): (e.not_after - now).total_seconds() for e in found}


def certificate_files(home: CoordinatorHome) -> list[Path]:
    """The certificates that a coordinator's operator has to renew."""
    return [home.authority, home.certificate]


def _version(package: str) -> str:
    return metadata.version(package)
