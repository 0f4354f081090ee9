"""Run a 4-site, 5-round study in forks of this process, and kill them where the caller says.

    python -m tests.faults.killed_study FOLDER < jobs > outcomes      (one JSON object a line)

A job names a run, and where to kill it: at the n-th commit of the coordinator's store, before it,
inside it (some entries of its transaction are written, others not), or after it. The store that
kills wraps the real one in the child; the product knows nothing of it.
"""

import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd

from fedcausal.daemons.processes import Forked
from fedcausal.study import Study
from fedcausal_server.store.study_store import SqliteStore
from fedcausal_simulations.workspace import prepare_workspace

SITES = ("east", "north", "south", "west")
SECONDS = 120


def study(mode: str) -> Study:
    kinds = {name: {"kind": "continuous", "bounds": [-9, 9]} for name in "xy"}
    return Study.model_validate(
        {
            # The range of z is released in a round of its own, the first of five.
            "variables": {**kinds, "z": {"kind": "continuous"}},
            "privacy": {"mode": mode, "incomplete": "drop"},
            "discovery": {
                "bootstrap": 2,
                "resampling": "poisson",
                "votes": False,
                "restarts": 1,
            },
            "effects": {
                "queries": [{"treatment": "x", "outcome": "z", "values": [0, 1]}],
                "draws": 20,
            },
        }
    )


def tables() -> dict[str, pd.DataFrame]:
    rng = np.random.default_rng(3)
    made = {}
    for name in SITES:
        x = rng.normal(size=120)
        y = x + rng.normal(size=120)
        made[name] = pd.DataFrame({"x": x, "y": y, "z": y + rng.normal(size=120)}).clip(-9, 9)
    return made


class Changes(Mapping):
    """Changes of a commit that kill their writer when the second one is asked for."""

    def __init__(self, changes):
        self._changes = changes

    def items(self) -> Iterator:
        for number, item in enumerate(self._changes.items()):
            if number:
                die()
            yield item
        die()

    def __getitem__(self, key):
        return self._changes[key]

    def __iter__(self):
        return iter(self._changes)

    def __len__(self):
        return len(self._changes)


class Killing:
    """The real store, until the n-th commit."""

    def __init__(self, store, *, at, when):
        self.store, self.at, self.when, self.commits = store, at, when, 0

    def commit(self, changes):
        self.commits += 1
        is_it = self.commits == self.at
        if is_it and self.when == "before":
            die()
        self.store.commit(Changes(changes) if is_it and self.when == "inside" else changes)
        if is_it:
            die()

    def __getattr__(self, name):
        return getattr(self.store, name)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def run(workspace: Path, out: Path, at: int, when: str) -> None:
    """The whole study in this process; it is killed at a commit unless `at` is 0."""
    server = import_module("fedcausal_server.app")
    opened = []

    def open_store(workspace: Path, out: Path):
        opened.append(Killing(SqliteStore.open(out / "journal"), at=at, when=when))
        return opened[-1]

    server.open_store = open_store
    engine = import_module("fedcausal_simulations.inprocess")
    client = import_module("fedcausal_clients.app")
    engine.run_inprocess(server.app, client.app, workspace, out, 1)
    (out / "commits").write_text(str(opened[-1].commits))
    (out / "modules").write_text("\n".join(sys.modules))


def learn(path: Path) -> None:
    """Import what a child had to, so that the next one finds it; this process computes nothing."""
    for name in path.read_text().split():
        with suppress(Exception):
            import_module(name)


def main(folder: Path) -> None:
    for name in ("fedcausal_simulations.inprocess", "fedcausal_clients.app"):
        import_module(name)
    for line in sys.stdin:
        job = json.loads(line)
        place = folder / job["name"]
        template = folder / f"template-{job['mode']}"
        if not template.exists():
            prepare_workspace(study(job["mode"]), tables(), template, seed=1)
        if not place.exists():
            shutil.copytree(template, place / "work")
        code = Forked.start(
            lambda job=job, place=place: run(place / "work", place / "out", job["at"], job["when"])
        ).wait(SECONDS)
        if not code:
            learn(place / "out" / "modules")
        print(json.dumps({"name": job["name"], "code": code}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
