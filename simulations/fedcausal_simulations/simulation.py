"""A whole study over simulated sites on one machine: every message, lock and gate is real."""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from fedcausal.data.comparison import SiteComparison, compare_sites
from fedcausal.data.sources import split_by_site, to_arrow
from fedcausal.errors import InputError
from fedcausal.report.story import write_report
from fedcausal.results.run import Run, load_run
from fedcausal.steps.state import STEPS, check_steps, parse_steps
from fedcausal.study import Study
from fedcausal_clients.site_config import Policy
from fedcausal_simulations.gather import gather_site_records, write_differences
from fedcausal_simulations.partition import partition_rows
from fedcausal_simulations.run_place import claimed, publish, scratch_folder
from fedcausal_simulations.silence import Silence
from fedcausal_simulations.workspace import prepare_workspace

__all__ = [
    "Engine",
    "check_sites",
    "parse_engine",
    "read_policy",
    "simulate",
    "tables_of",
]

Engine = Literal["inprocess", "ray"]


def simulate(
    study: Study,
    tables: Mapping[str, Any],
    *,
    seed: int = 0,
    steps: Sequence[str] = STEPS,
    policy: Mapping[str, object] | None = None,
    engine: str = "inprocess",
    out: str | Path | None = None,
    strict: bool = True,
    order_seed: int | None = None,
    silent: Sequence[Silence] = (),
) -> Run:
    """Run a study as its sites, its steward and its coordinator would, on this machine.

    Parameters
    ----------
    study
        What to do.
    tables
        Site name -> its rows: a pandas frame, an Arrow table or the path of a file.
    seed
        Of everything that may be repeated: resampling, the flow's public start. Keys, masks,
        encryption and privacy noise come from the operating system whatever the seed.
    steps
        Some of "discovery", "model", "effects"; discovery alone trains nothing.
    policy
        Keys of `[policy]` in `site.toml`, the same at every site.
    engine
        "inprocess" (default) or "ray", Flower's simulation engine.
    out
        The run folder: new or empty. A folder `runs/<study name>-<n>` when left out.
    strict
        Serialise every message as a network would (in-process engine).
    order_seed
        Shuffle the order in which replies arrive; the exact part of the result stays the same.
    silent
        Dropouts to simulate (in-process engine): which site answers nothing from which message
        on. The run goes on without it where it may, and says who is missing.

    Raises
    ------
    InputError
        The study, the data or an option is wrong (exit code 4); nothing is written.
    FedCausalError
        The run failed; nothing is written.

    Privacy: the sites' rows stay in their own temporary homes, which are removed afterwards.
    """
    chosen = parse_steps(list(steps))
    kind = parse_engine(engine)
    if silent and kind != "inprocess":
        raise InputError(
            f'silent: dropouts are simulated by engine="inprocess" only, got {kind!r}'
        )
    if seed < 0:
        raise InputError(f"seed: expected 0 or more, got {seed}")
    Policy.check(policy or {}, source="policy")
    study.check_num_sites(len(tables))
    check_steps(study, chosen)
    comparison = check_sites(study, tables)
    comparison.raise_for_errors()
    with claimed(study, out) as folder, scratch_folder(folder) as scratch:
        workspace, partial = scratch / "work", scratch / "run"
        prepare_workspace(study, tables, workspace, seed=seed, policy=policy)
        _run(
            kind,
            workspace,
            partial,
            seed,
            chosen,
            strict=strict,
            order_seed=order_seed,
            silent=silent,
        )
        gather_site_records(workspace, partial)
        write_differences(comparison, partial)
        write_report(load_run(partial))
        publish(partial, folder)
    return load_run(folder)


def check_sites(study: Study, tables: Mapping[str, Any]) -> SiteComparison:
    """The column x site table of differences, before anything runs."""
    return compare_sites(study.schema(), tables)


def tables_of(
    data: str | Path, *, site_column: str | None, num_sites: int | None, seed: int
) -> dict[str, Any]:
    """The rows of each simulated site: by a column of labels, or spread at random.

    Raises
    ------
    InputError
        Neither or both ways are given, or there are too few rows.
    """
    if num_sites is not None:
        rows = to_arrow(data)
        if not 3 <= num_sites <= rows.num_rows // 2:
            raise InputError(
                f"--sites {num_sites}: expected 3 to {rows.num_rows // 2} sites, of 2 rows or "
                f"more each; {data} has {rows.num_rows} rows"
            )
        parts = partition_rows(rows.num_rows, num_sites, seed=seed)
        return {name: rows.take(chosen) for name, chosen in parts.items()}
    if site_column is None:
        raise InputError("--site-column: name the column of the sites, or give --sites N")
    return split_by_site(data, site_column)


def read_policy(path: Path) -> dict[str, object]:
    """The keys of `[policy]` of a TOML file (or the whole file, if it has no such table).

    Raises
    ------
    InputError
        Naming the file and the key that is wrong.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise InputError(f"--policy {path}: the file cannot be read; check the path") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"--policy {path}: not valid TOML: {error}") from None
    policy = content.get("policy", content)
    if not isinstance(policy, dict):
        raise InputError(f"--policy {path}: expected a table [policy]")
    Policy.check(policy, source=f"--policy {path}")
    return policy


def parse_engine(engine: str) -> Engine:
    """The engine of this name; an unknown one is an `InputError`."""
    for known in get_args(Engine):
        if engine == known:
            found: Engine = known
            return found
    raise InputError(f"engine: expected one of {', '.join(get_args(Engine))}, got {engine!r}")


def _run(
    engine: Engine,
    workspace: Path,
    out: Path,
    seed: int,
    steps: Sequence[str],
    *,
    strict: bool,
    order_seed: int | None,
    silent: Sequence[Silence],
) -> None:
    from fedcausal_clients.app import app as client_app
    from fedcausal_server.app import app as server_app

    options = {"steps": ",".join(steps)}
    if engine == "ray":
        from fedcausal_simulations.ray import run_ray

        run_ray(server_app, client_app, workspace, out, seed, options=options)
        return
    from fedcausal_simulations.inprocess import run_inprocess

    run_inprocess(
        server_app,
        client_app,
        workspace,
        out,
        seed,
        options=options,
        strict=strict,
        order_seed=order_seed,
        silent=silent,
    )
