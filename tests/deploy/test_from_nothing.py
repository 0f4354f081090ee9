"""The road of `server/README.md` and `clients/README.md`, typed as it stands there."""

import json
import os
import re
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from fedcausal.cli import main
from fedcausal.daemons.processes import await_until, end_process, free_port
from fedcausal.study import Study
from fedcausal_simulations.made_up import made_up_rows
from fedcausal_simulations.simulation import tables_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

SITES = ("north", "south", "west")
STUDY = """
[study]
name = "small"
[variables]
x = { kind = "continuous", bounds = [-10, 10] }
y = { kind = "continuous", bounds = [-10, 10] }
[discovery]
bootstrap = 0
vote_bootstraps = 2
[rounds]
deadline_seconds = 600
"""


@pytest.fixture
def typed(capsys):
    """Type a command; its JSON answer, or its words."""

    def type_it(*words, code=0, as_json=True):
        capsys.readouterr()
        found = main([*map(str, words), *(("--format", "json") if as_json else ())])
        said = capsys.readouterr()
        assert found == code, said.err + said.out
        return json.loads(said.out)["data"] if as_json and code == 0 else said.out

    return type_it


@pytest.fixture
def started(tmp_path):
    """Start a daemon in the background; all end with the test."""
    with ExitStack() as ending:

        def start(*words):
            with (tmp_path / "daemons.log").open("ab") as log:
                process = subprocess.Popen(
                    [sys.executable, "-P", "-m", "fedcausal.cli", *map(str, words)],
                    env={**os.environ, "OMP_NUM_THREADS": "1"},
                    stdout=log,
                    stderr=log,
                )
            ending.callback(end_process, process, seconds=30)
            return process

        yield start


def test_from_nothing_to_a_run(tmp_path, typed, started):
    study = tmp_path / "study.toml"
    study.write_text(STUDY)
    home = tmp_path / "coordinator"
    words = ("--host", "127.0.0.1", "--port", free_port(), "--bind", "127.0.0.1")
    typed("coordinator", "init", home, *words)
    started("coordinator", "start", home)
    await_until(
        lambda: main(["coordinator", "status", str(home)]) == 0, "the coordinator", seconds=300
    )
    folders = enrolled(tmp_path, home, study, typed)
    for folder in folders:
        typed("site", "trust", folder, "--pin")
        started("site", "start", folder, "--poll", "0.5")
    done = typed("coordinator", "run", home, study, "--steps", "discovery", "--timeout", 900)
    assert done["run"]["sites"] == sorted(SITES)
    assert Path(done["path"], "report.html").is_file()
    seen = typed("coordinator", "status", home)
    assert [(run["name"], run["state"]) for run in seen["runs"]] == [("small-1", "finished")]
    for folder in folders:
        assert typed("site", "status", folder)["running"]
        typed("site", "stop", folder, as_json=False)
    typed("coordinator", "stop", home, as_json=False)


def enrolled(tmp_path, home, study, typed):
    """Every party has joined and was confirmed by the fingerprint that it saw itself."""
    rows = tables_of(
        made_up_rows(Study.load(study), seed=0), site_column=None, num_sites=3, seed=0
    )
    folders = []
    for name, table in zip((*SITES, "keeper"), (*rows.values(), None), strict=True):
        folder, invitation = tmp_path / name, tmp_path / f"{name}.json"
        role = ("--role", "steward")
        if table is not None:
            data = tmp_path / f"{name}.csv"
            table.to_pandas().to_csv(data, index=False)
            role = ("--data", data)
        mine = typed("site", "init", folder, "--name", name, *role)["fingerprint"]
        if table is not None:
            approve_by_hash(folder / "site.toml", Study.load(study).hash())
        as_role = role if table is None else ()
        typed("coordinator", "enrol", home, name, *as_role, "--out", invitation)
        joined = typed("site", "join", folder, invitation)
        assert joined["authority"] == typed("coordinator", "status", home)["authority"]
        typed("site", "join", folder, invitation, code=2)
        typed("site", "trust", folder, code=2)
        typed("coordinator", "enrol", home, name, "--fingerprint", mine)
        folders.append(folder)
    return folders


def approve_by_hash(path, study_hash):
    text = path.read_text()
    ours = f'approve = "by_hash"\napproved = ["{study_hash}"]'
    path.write_text(re.sub(r'approve = "manual"', ours, text))
