"""Runs of a coordinator: prepared on disk, submitted to the SuperLink, watched, resumed."""

import json
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from fedcausal.errors import (
    DeadlineError,
    FedCausalError,
    InputError,
    LinkError,
    ProtocolError,
)
from fedcausal.results.run import RESULT_FILE
from fedcausal.steps.state import check_steps, parse_steps
from fedcausal.study import Study
from fedcausal_privacy.canonical import JsonValue, canonical_json
from fedcausal_privacy.keys.enrolment import Enrolment
from fedcausal_privacy.keys.known_keys import REVOKED_FILE
from fedcausal_server.daemon.control import Control, RunStatus
from fedcausal_server.daemon.home import CoordinatorHome
from fedcausal_server.failure import forget_failure, note_failure, read_failure
from fedcausal_server.run_audit import AUDIT_CHOICE
from fedcausal_server.store.journal import write_whole
from fedcausal_server.store.postgresql_store import STORE_CHOICE

__all__ = [
    "Watch",
    "abort_run",
    "close_orphans",
    "prepare_run",
    "run_names",
    "run_status",
    "submit_run",
    "watch_run",
]

RUN_FILE = "submitted.json"
POLL_SECONDS = 1.0
_STEWARDS = ("steward", "second-steward")


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What a watched run came to."""

    name: str
    out: Path
    seconds: float


def prepare_run(
    home: CoordinatorHome,
    study: Study,
    *,
    seed: int,
    steps: Sequence[str],
    sites: Sequence[str] = (),
    name: str = "",
) -> str:
    """Write down what a run needs; return its name.

    Parameters
    ----------
    study
        What to do.
    seed, steps
        As in a simulation.
    sites
        Names of the sites that take part; all enrolled ones when empty.
    name
        Of the run; the next free `<study name>-<n>` when empty.

    Raises
    ------
    InputError
        The name is taken, a site is not enrolled, or a steward is missing.
    """
    check_steps(study, parse_steps(list(steps)))
    parties = _parties(home, study, sites)
    study.check_num_sites(sum(party.role == "site" for party in parties))
    chosen = name or _free_name(home, study)
    workspace = home.workspace(chosen)
    if workspace.exists():
        raise InputError(f"run {chosen!r} exists; resume it, or choose another --name")
    workspace.mkdir(parents=True)
    content: dict[str, JsonValue] = {"seed": seed, "steps": ",".join(steps)}
    write_whole(workspace / "study.toml", study.to_toml().encode())
    write_whole(workspace / "parties.json", canonical_json([p.name for p in parties]))
    if home.config.store is not None:
        # No other run of any coordinator has this key in the database.
        key = f"{chosen}-{secrets.token_hex(8)}"
        where: dict[str, JsonValue] = {"url": home.config.store, "run": key}
        write_whole(workspace / STORE_CHOICE, canonical_json(where))
    write_whole(workspace / AUDIT_CHOICE, canonical_json({"key": str(home.audit_key)}))
    write_whole(workspace / "options.json", canonical_json(content))
    return chosen


def submit_run(home: CoordinatorHome, name: str) -> int:
    """Hand a prepared run to the SuperLink; Flower's number of the run.

    A run that was submitted before goes on where its store ends, with the same study, seed and
    parties.

    Raises
    ------
    InputError
        There is no such run, or it is finished.
    ProtocolError
        A party is enrolled no longer.
    """
    workspace, out = _known(home, name), home.run_folder(name)
    if (out / RESULT_FILE).exists():
        raise InputError(f"run {name!r} is finished: {out}")
    options = json.loads((workspace / "options.json").read_bytes())
    with closing(Control(home)) as control:
        before = _last(control, workspace)
        if before is not None and not before.is_finished:
            # A coordinator that was killed leaves a run that Flower takes for running, for a
            # minute. The server app sees to it that two never work on one run.
            control.stop_run(before.run_id)
        _write_nodes(home, control, workspace)
        forget_failure(workspace)
        run_id = control.start_run(
            {"workspace": str(workspace.resolve()), "out": str(out.resolve()), **options}
        )
    write_whole(workspace / RUN_FILE, canonical_json({"run_id": run_id}))
    return run_id


def watch_run(
    home: CoordinatorHome, name: str, *, seconds: float, say: Callable[[str], None]
) -> Watch:
    """Wait for a run's end; its outcome is Flower's own, not that of a stream.

    Raises
    ------
    DeadlineError
        It did not end in time; it goes on, and can be watched again or aborted.
    FedCausalError
        It failed: the error of the server app, or a `LinkError` when that left none.
    """
    workspace, started, last = _known(home, name), time.monotonic(), ""
    while True:
        try:
            with closing(Control(home)) as control:
                status = _last(control, workspace)
        except (LinkError, DeadlineError):
            # A SuperLink that was killed is started again by its daemon, within the deadline; one
            # that answers 500 or nothing is asked again.
            status = None
        if status is not None and status.is_finished:
            return _finished(home, name, status, time.monotonic() - started)
        state = "waiting for the coordinator" if status is None else status.state
        if state != last:
            say(f"{name}: {state}")
            last = state
        if time.monotonic() - started >= seconds:
            raise DeadlineError(
                f"waited {seconds:g} s for run {name!r} to end ({state}); it goes on: watch it "
                "with `fedcausal coordinator status`, or abort it"
            )
        time.sleep(POLL_SECONDS)


def abort_run(home: CoordinatorHome, name: str) -> bool:
    """Stop a run; what its journal holds stays. False when it was not running."""
    workspace = _known(home, name)
    with closing(Control(home)) as control:
        status = _last(control, workspace)
        if status is None or status.is_finished:
            return False
        forget_failure(workspace)
        return control.stop_run(status.run_id)


def close_orphans(home: CoordinatorHome) -> tuple[str, ...]:
    """Close the runs that Flower takes for running although their coordinator was killed.

    To be called by a daemon that has started no study yet: studies end with the daemon that began
    them, so that nobody works on these. Whoever watches one hears at once that it wants a resume.
    """
    closed = []
    for name in run_names(home):
        workspace = home.workspace(name)
        with closing(Control(home)) as control:
            status = _last(control, workspace)
            if status is None or status.state != "running":
                continue
            what = f"the coordinator was killed while run {name!r} was under way; resume it"
            note_failure(workspace, LinkError(what))
            if not control.stop_run(status.run_id):
                # Its operator was quicker, and resumes it.
                forget_failure(workspace)
                continue
        closed.append(name)
    return tuple(closed)


def run_status(home: CoordinatorHome, name: str) -> str:
    """One word for a run: finished, running, failed, stopped, prepared."""
    workspace = _known(home, name)
    if (home.run_folder(name) / RESULT_FILE).exists():
        return "finished"
    if not (workspace / RUN_FILE).exists():
        return "prepared"
    with closing(Control(home)) as control:
        status = _last(control, workspace)
    if status is None:
        return "unknown to this SuperLink: resume it"
    return status.outcome if status.is_finished else status.state


def run_names(home: CoordinatorHome) -> tuple[str, ...]:
    """All runs of a coordinator, by name."""
    folder = home.folder / "work"
    return tuple(sorted(path.name for path in folder.iterdir())) if folder.is_dir() else ()


def _finished(home: CoordinatorHome, name: str, status: RunStatus, seconds: float) -> Watch:
    out = home.run_folder(name)
    if status.outcome == "completed" and (out / RESULT_FILE).exists():
        return Watch(name=name, out=out, seconds=seconds)
    failure = read_failure(home.workspace(name))
    if failure is not None:
        raise failure
    if status.outcome == "stopped":
        raise FedCausalError(f"run {name!r} was aborted; resume it, or start another one")
    raise LinkError(
        f"run {name!r} failed without a word of its own (Flower: {status.details or 'nothing'}); "
        "the coordinator may have been killed: resume it"
    )


def _known(home: CoordinatorHome, name: str) -> Path:
    workspace = home.workspace(name)
    if "/" in name or not name or not (workspace / "options.json").is_file():
        listed = ", ".join(run_names(home)) or "none yet"
        raise InputError(f"run {name!r}: expected one of this coordinator's runs ({listed})")
    return workspace


def _last(control: Control, workspace: Path) -> RunStatus | None:
    path = workspace / RUN_FILE
    if not path.exists():
        return None
    return control.run(int(json.loads(path.read_bytes())["run_id"]))


def _parties(home: CoordinatorHome, study: Study, sites: Sequence[str]) -> tuple[Enrolment, ...]:
    enrolled = {party.name: party for party in home.book().enrolled()}
    unknown = [n for n in sites if n not in enrolled or enrolled[n].role != "site"]
    if unknown:
        raise InputError(
            f"--sites {unknown[0]}: expected enrolled sites, got another name; list them with "
            "`fedcausal coordinator enrol HOME`"
        )
    chosen = [p for p in enrolled.values() if p.role == "site" and (not sites or p.name in sites)]
    needed = _STEWARDS if study.privacy.mode == "two-steward" else _STEWARDS[:1]
    for role in needed:
        holders = [party for party in enrolled.values() if party.role == role]
        if len(holders) != 1:
            raise InputError(
                f"expected one enrolled {role}, got {len(holders)}; invite one with "
                f"`fedcausal coordinator enrol HOME NAME --role {role}`"
            )
        chosen += holders
    return tuple(chosen)


def _write_nodes(home: CoordinatorHome, control: Control, workspace: Path) -> None:
    """Who takes part, with Flower's number of each: answers count only from there."""
    numbers = {node.public_key: node.node_id for node in control.nodes()}
    enrolled = {party.name: party for party in home.book().enrolled()}
    listed: list[JsonValue] = []
    for name in json.loads((workspace / "parties.json").read_bytes()):
        party = enrolled.get(name)
        number = None if party is None else numbers.get(party.node_key)
        if party is None or number is None:
            raise ProtocolError(f"{name!r} is enrolled no longer; start another run without it")
        listed.append({"name": name, "role": party.role, "node_id": number})
    write_whole(workspace / "nodes.json", canonical_json(listed))
    revoked = home.folder / REVOKED_FILE
    write_whole(workspace / REVOKED_FILE, revoked.read_bytes() if revoked.exists() else b"")


def _free_name(home: CoordinatorHome, study: Study) -> str:
    stem = "".join(c if c.isalnum() or c in "-_" else "-" for c in study.study.name)
    number = 1
    while home.workspace(f"{stem}-{number}").exists():
        number += 1
    return f"{stem}-{number}"
