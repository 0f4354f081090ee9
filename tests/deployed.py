"""What the tests of real daemons share: a small study, and a coordinator and parties that run it.

Everything listens on loopback alone, and every process ends with the context that started it.
"""

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing, contextmanager
from pathlib import Path

from fedcausal.study import Study
from fedcausal_privacy.dp.ledger import Ledger
from fedcausal_simulations.made_up import made_up_rows
from fedcausal_simulations.rehearsal import rehearsal
from fedcausal_simulations.simulation import simulate, tables_of
from fedcausal_simulations.workspace import prepare_workspace

SEED = 3
SITES = ("site_1", "site_2", "site_3")


def small_study(*, deadline_seconds=600, **discovery):
    """Three variables; `discovery` takes the place of searching once, without votes."""
    kinds = {name: {"kind": "continuous", "bounds": [-10, 10]} for name in "xyz"}
    return Study.model_validate(
        {
            "study": {"name": "small"},
            "variables": kinds,
            "discovery": {"bootstrap": 0, **(discovery or {"votes": False})},
            "rounds": {"deadline_seconds": deadline_seconds},
        }
    )


def small_rows(study):
    return made_up_rows(study, seed=SEED, num_rows=600)


def small_tables(study):
    return tables_of(small_rows(study), site_column=None, num_sites=len(SITES), seed=SEED)


def simulated(study, out, *, steps):
    """The run that every other engine must give, byte for byte."""
    return simulate(study, small_tables(study), seed=SEED, steps=steps, out=out)


@contextmanager
def deployed(study, scratch):
    """A coordinator, three sites and a steward that are enrolled and connected."""
    workspace = scratch / "work"
    prepare_workspace(study, small_tables(study), workspace, seed=SEED)
    with rehearsal(workspace, scratch) as running:
        yield running


def start_faulty(running, *fault):
    """Start the coordinator anew, with a fault in it: see `faulty_coordinator`."""
    before = running.processes["coordinator"]
    before.terminate()
    before.wait(60)
    module = ["-m", "tests.faults.faulty_coordinator", *fault]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    with (running.logs / "coordinator.log").open("ab") as log:
        running.processes["coordinator"] = subprocess.Popen(
            [sys.executable, *module, "coordinator", "start", str(running.home.folder)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    running.await_serving()
    return running.processes["coordinator"]


def exact(run):
    return json.dumps(run.result["exact"], sort_keys=True)


def entries(home, name, prefix):
    """Keys in the store of a run, read beside the coordinator that writes them."""
    path = home.run_folder(name) / "journal" / "study.db"
    if not path.exists():
        return []
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as store:
            rows = store.execute(
                "SELECT key FROM entries WHERE key LIKE ? ORDER BY key", (f"{prefix}%",)
            )
            return [key for (key,) in rows]
    except sqlite3.OperationalError:  # it is being made
        return []


def releases(running, site):
    """What a site's ledger holds: of which run, which release."""
    with Ledger(running.workspace / site / "state" / "ledger.db") as ledger:
        return [(entry.run, entry.release) for entry in ledger.entries()]


def children(pid):
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in listed]


def descendants(pid):
    found = children(pid)
    return found + [pid for child in found for pid in descendants(child)]
