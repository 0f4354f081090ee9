"""A study rehearsed: every party a process of its own, TLS between them, on this machine."""

import datetime
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedcausal.daemons.processes import await_until, end_process, free_port
from fedcausal.errors import LinkError
from fedcausal.report.story import write_report
from fedcausal.results.run import Run, load_run
from fedcausal.steps.state import STEPS, check_steps, parse_steps
from fedcausal.study import Study
from fedcausal_clients.daemon.enrolment import join
from fedcausal_clients.daemon.home import ensure_node_key, load_identity
from fedcausal_server.daemon.control import is_serving
from fedcausal_server.daemon.deployed_runs import prepare_run, submit_run, watch_run
from fedcausal_server.daemon.home import CoordinatorHome, create_home
from fedcausal_server.parties.enrolling import confirm, invite
from fedcausal_simulations.gather import gather_site_records, write_differences
from fedcausal_simulations.run_place import claimed, publish, scratch_folder
from fedcausal_simulations.simulation import check_sites
from fedcausal_simulations.workspace import Node, prepare_workspace, read_nodes

__all__ = ["Rehearsal", "enrol_party", "rehearsal", "rehearse"]

START_SECONDS = 300.0
RUN_SECONDS = 3600.0
POLL_SECONDS = 0.5


def rehearse(
    study: Study,
    tables: Mapping[str, Any],
    *,
    seed: int = 0,
    steps: Sequence[str] = STEPS,
    policy: Mapping[str, object] | None = None,
    out: str | Path | None = None,
    seconds: float = RUN_SECONDS,
    say: Callable[[str], None] = lambda line: None,
) -> Run:
    """Run a study as a deployment would, with every process on this machine.

    A coordinator and one daemon per party are started by their own commands; parties enrol with
    one-time tokens; messages travel over TLS on loopback. All processes end with this call.

    Parameters
    ----------
    study, tables, seed, steps, policy, out
        As in `simulate`: the exact part of the result is the same.
    seconds
        How long the run may take once everybody is connected.
    say
        Told what happens, line by line.

    Raises
    ------
    InputError
        The study, the data or an option is wrong; nothing is started.
    DeadlineError
        A process did not start, or the run did not end, in time.
    FedCausalError
        The run failed.
    """
    chosen = parse_steps(list(steps))
    check_steps(study, chosen)
    comparison = check_sites(study, tables)
    comparison.raise_for_errors()
    with claimed(study, out) as folder, scratch_folder(folder) as scratch:
        workspace = scratch / "work"
        prepare_workspace(study, tables, workspace, seed=seed, policy=policy)
        with rehearsal(workspace, scratch, say=say) as running:
            name = prepare_run(running.home, study, seed=seed, steps=chosen, name="rehearsal")
            submit_run(running.home, name)
            partial = watch_run(running.home, name, seconds=seconds, say=say).out
        gather_site_records(workspace, partial)
        write_differences(comparison, partial)
        write_report(load_run(partial))
        publish(partial, folder)
    return load_run(folder)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """A deployment that runs on this machine: its coordinator, and its processes by name."""

    home: CoordinatorHome
    workspace: Path
    processes: dict[str, subprocess.Popen[bytes]]
    logs: Path

    def start(self, name: str) -> None:
        """Start the daemon of a party, or "coordinator"."""
        if name == "coordinator":
            arguments = ["coordinator", "start", str(self.home.folder)]
        else:
            party = str(self.workspace / name)
            arguments = ["site", "start", party, "--poll", str(POLL_SECONDS)]
        command = [sys.executable, "-P", "-m", "fedcausal.cli", *arguments]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        with (self.logs / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def await_serving(self) -> None:
        """Wait until the coordinator answers."""
        process = self.processes["coordinator"]

        def serves() -> bool:
            if process.poll() is not None:
                raise LinkError(f"the coordinator ended: {self.last_lines('coordinator')}")
            return is_serving(self.home)

        await_until(serves, "the coordinator to answer", seconds=START_SECONDS)

    def last_lines(self, name: str) -> str:
        """The end of a process's log."""
        text = (self.logs / f"{name}.log").read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-5:])


@contextmanager
def rehearsal(
    workspace: Path, scratch: Path, *, say: Callable[[str], None] = lambda line: None
) -> Iterator[Rehearsal]:
    """Start a coordinator and the parties of a prepared workspace; end them all at the end."""
    logs = scratch / "logs"
    logs.mkdir()
    home = create_home(
        scratch / "coordinator",
        name="rehearsal",
        hosts=["127.0.0.1"],
        port=free_port(),
        bind="127.0.0.1",
        now=datetime.datetime.now(datetime.UTC),
    )
    running = Rehearsal(home=home, workspace=workspace, processes={}, logs=logs)
    nodes = read_nodes(workspace)
    with ExitStack() as ending:
        ending.callback(_end_all, running.processes)
        running.start("coordinator")
        running.await_serving()
        say(f"coordinator at https://{home.public_address}")
        for node in nodes:
            enrol_party(home, workspace / node.home, node, scratch)
            running.start(node.name)
        say(f"enrolled {', '.join(node.name for node in nodes)}")
        yield running


def enrol_party(home: CoordinatorHome, folder: Path, node: Node, scratch: Path) -> None:
    """Invite, join, compare, confirm: here one person plays both operators."""
    ensure_node_key(folder)
    invitation = invite(
        home, node.name, node.role, days=1, out=scratch / f"invitation-{node.name}.json"
    )
    join(folder, invitation)
    invitation.unlink()
    confirm(home, node.name, load_identity(folder).fingerprint())


def _end_all(processes: Mapping[str, subprocess.Popen[bytes]]) -> None:
    for process in processes.values():
        if process.poll() is None:
            process.terminate()
    for process in processes.values():
        end_process(process, seconds=20)
