"""What a simulation may see and a deployment may not: every site's own audit log and ledger."""

import json
from pathlib import Path
from typing import Any

from fedcausal.data.comparison import SiteComparison
from fedcausal.report.story import SITES_FILE
from fedcausal_clients.home import AUDIT_FILE, LEDGER_FILE, STATE_FOLDER
from fedcausal_privacy.dp.events import event_to_json
from fedcausal_privacy.dp.ledger import Ledger
from fedcausal_simulations.workspace import read_nodes

__all__ = ["gather_site_records", "write_differences"]


def gather_site_records(workspace: Path, run: Path) -> None:
    """Copy the audit lines and the ledgers of all parties into a run folder.

    `audit.jsonl` holds every party's lines in its own order, each with the party's name; the
    ledgers go into `ledger.json`.
    """
    nodes = read_nodes(workspace)
    lines: list[str] = []
    for node in nodes:
        log = workspace / node.home / AUDIT_FILE
        if log.is_file():
            for line in log.read_text(encoding="utf-8").splitlines():
                lines.append(json.dumps({"party": node.name, **json.loads(line)}))
    (run / "audit.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    ledgers = {
        node.name: _ledger(workspace / node.home / STATE_FOLDER / LEDGER_FILE) for node in nodes
    }
    charged = {name: entries for name, entries in ledgers.items() if entries}
    (run / "ledger.json").write_text(json.dumps(charged, indent=2), encoding="utf-8")


def write_differences(comparison: SiteComparison, run: Path) -> None:
    """Write the column x site table of a simulation for the report to show."""
    rows = [
        [name, *(comparison.cells[name, site].text for site in comparison.sites)]
        for name in comparison.variables
    ]
    content = {
        "columns": ["variable", *comparison.sites],
        "rows": rows,
        "note": "Seen in a simulation only; in a deployment each site sees its own column.",
    }
    (run / SITES_FILE).write_text(json.dumps(content, indent=2), encoding="utf-8")


def _ledger(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    with Ledger(path) as ledger:
        return [
            {
                "release": entry.release,
                "part": entry.part,
                "description": entry.description,
                "event": event_to_json(entry.event),
            }
            for entry in ledger.entries()
        ]
