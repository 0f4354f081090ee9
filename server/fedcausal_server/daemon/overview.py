"""What a coordinator's operator sees at a glance."""

import datetime
from contextlib import closing
from typing import Any

from fedcausal_privacy.keys.certificates import certificate_fingerprint, days_left
from fedcausal_server.daemon.control import Control, is_serving
from fedcausal_server.daemon.deployed_runs import run_names, run_status
from fedcausal_server.daemon.home import CoordinatorHome

__all__ = ["overview"]


def overview(home: CoordinatorHome) -> dict[str, Any]:
    """Whether it serves, parties with the state of their nodes, runs, days of the certificate."""
    serving = is_serving(home)
    nodes: dict[str, str] = {}
    if serving:
        with closing(Control(home)) as control:
            nodes = {node.public_key: node.status for node in control.nodes()}
    book = home.book().enrolments
    now = datetime.datetime.now(datetime.UTC)
    return {
        "serving": serving,
        "address": home.public_address,
        "authority": certificate_fingerprint(home.authority.read_bytes()),
        "certificate_days": int(days_left(home.certificate.read_bytes(), now=now)),
        "parties": [
            {
                "name": party.name,
                "role": party.role,
                "state": party.state,
                "node": nodes.get(party.node_key, "unknown"),
            }
            for _, party in sorted(book.items())
        ],
        "runs": [
            {"name": name, "state": run_status(home, name) if serving else "unknown"}
            for name in run_names(home)
        ],
    }
