"""The Flower ServerApp of the coordinator: read the workspace, run the study, write the run."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from fedcausal.daemons.processes import await_until, held_folder, holder_of
from fedcausal.errors import InputError
from fedcausal.study import Study
from fedcausal_privacy.keys.known_keys import read_revoked
from fedcausal_server.failure import noted_failure
from fedcausal_server.run_audit import log_of_run
from fedcausal_server.run_record import write_run
from fedcausal_server.store.postgresql_store import STORE_CHOICE, PostgresStore
from fedcausal_server.store.study_store import SqliteStore, StudyStore
from fedcausal_server.transport.link import FlowerLink
from fedcausal_server.workflow import JOURNAL_FOLDER, STEPS, run_study

__all__ = ["app"]

ALONE_SECONDS = 90.0

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the study of a workspace over Flower's grid and write the run folder."""
    workspace = Path(str(context.run_config["workspace"]))
    with noted_failure(workspace), alone_on(workspace):
        run_workspace(grid, context)


def run_workspace(grid: Grid, context: Context) -> None:
    """Run the study that the run's configuration names."""
    workspace = Path(str(context.run_config["workspace"]))
    out, seed = Path(str(context.run_config["out"])), int(context.run_config["seed"])
    steps = str(context.run_config.get("steps", ",".join(STEPS))).split(",")
    study = Study.load(workspace / "study.toml")
    sites, steward, second_steward = parties(workspace)
    link = FlowerLink(
        grid,
        deadline_seconds=study.rounds.deadline_seconds,
        node_ids=registered_nodes(workspace),
    )
    outcome = run_study(
        study,
        link,
        out,
        seed=seed,
        sites=sites,
        steward=steward,
        second_steward=second_steward,
        steps=steps,
        revoked=read_revoked(workspace),
        store=open_store(workspace, out),
        audit=log_of_run(workspace, out / JOURNAL_FOLDER),
    )
    write_run(outcome, study, out, seed=seed)


@contextmanager
def alone_on(workspace: Path) -> Iterator[None]:
    """Keep a second process off a run: one that resumes waits for the end of the one before.

    Raises
    ------
    DeadlineError
        The other one does not end in a minute and a half (Flower ends it after a minute).
    """
    if not workspace.is_dir():
        yield
        return
    await_until(
        lambda: holder_of(workspace) is None,
        "the earlier process of this run to end",
        seconds=ALONE_SECONDS,
    )
    with held_folder(workspace):
        yield


def open_store(workspace: Path, out: Path) -> StudyStore:
    """Where a run is kept: in the database that its `store.json` names, else in its own file."""
    path = workspace / STORE_CHOICE
    if not path.is_file():
        return SqliteStore.open(out / JOURNAL_FOLDER)
    chosen = json.loads(path.read_bytes())
    return PostgresStore(str(chosen["url"]), str(chosen["run"]))


def parties(workspace: Path) -> tuple[tuple[str, ...], str, str]:
    """Names of sites, steward and second steward (or ""), from the workspace's `nodes.json`."""
    path = workspace / "nodes.json"
    try:
        nodes = json.loads(path.read_text(encoding="utf-8"))
        sites = tuple(sorted(node["name"] for node in nodes if node["role"] == "site"))
        stewards = [node["name"] for node in nodes if node["role"] == "steward"]
        seconds = [node["name"] for node in nodes if node["role"] == "second-steward"]
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(
            f"{path}: expected a list of nodes with name and role; write one entry for every "
            "site and one for the steward"
        ) from None
    if len(stewards) != 1 or len(seconds) > 1:
        raise InputError(
            f"{path}: expected one steward and at most one second steward, got {len(stewards)} "
            f"and {len(seconds)}; list each party once"
        )
    return sites, stewards[0], seconds[0] if seconds else ""


def registered_nodes(workspace: Path) -> dict[str, int] | None:
    """Flower's number of every party, where `nodes.json` has them (in a deployment); else None."""
    nodes = json.loads((workspace / "nodes.json").read_text(encoding="utf-8"))
    if not all("node_id" in node for node in nodes):
        return None
    return {str(node["name"]): int(node["node_id"]) for node in nodes}
