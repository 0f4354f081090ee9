"""`fedcausal demo` and `fedcausal simulate`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from fedcausal.console import Format, FormatOption, QuietOption, emit

__all__ = ["demo", "simulate"]

demo = typer.Typer(add_completion=False)
simulate = typer.Typer(add_completion=False)

OutOption = Annotated[
    Path | None, typer.Option(help="The run folder, new or empty; default runs/<study>-<n>.")
]
SeedOption = Annotated[int, typer.Option(min=0, help="Seed of resampling, not of keys or noise.")]
EngineOption = Annotated[str, typer.Option(help='"inprocess" or "ray".')]


@demo.command("demo")
def demo_command(
    out: OutOption = None,
    seed: SeedOption = 0,
    engine: EngineOption = "inprocess",
    output: FormatOption = Format.TEXT,
    quiet: QuietOption = False,
) -> None:
    """Four real hospitals learn one causal graph and one causal model, on this machine."""
    from fedcausal_simulations.demo import run_demo
    from fedcausal_simulations.progress import shown_rounds

    with shown_rounds(enabled=output is Format.TEXT and not quiet) as say:
        shown = run_demo(out=out, seed=seed, engine=engine, say=say)
    emit(shown.data, shown.lines(brief=quiet), output)


@simulate.command("simulate")
def simulate_command(
    study: Annotated[Path, typer.Argument(help="A study file (TOML).")],
    data: Annotated[Path, typer.Option(help="All sites' rows: CSV, Parquet, x.duckdb::table.")],
    site_column: Annotated[
        str | None, typer.Option(help="The column that names the site of a row.")
    ] = None,
    sites: Annotated[
        int | None, typer.Option(help="Spread the rows over this many sites at random instead.")
    ] = None,
    out: OutOption = None,
    seed: SeedOption = 0,
    engine: EngineOption = "inprocess",
    steps: Annotated[
        str, typer.Option(help='How far to go: "discovery", "model" or "effects".')
    ] = "effects",
    policy: Annotated[
        Path | None, typer.Option(help="A TOML file with the sites' [policy].")
    ] = None,
    prepare: Annotated[
        Path | None,
        typer.Option(help="Run nothing: write the sites' folders here, for `flwr run`."),
    ] = None,
    output: FormatOption = Format.TEXT,
    quiet: QuietOption = False,
) -> None:
    """Run a study over many simulated sites on this machine."""
    from fedcausal.results.summary import summary_lines
    from fedcausal.study import Study
    from fedcausal_simulations.progress import shown_rounds
    from fedcausal_simulations.simulation import check_sites, read_policy, simulate, tables_of
    from fedcausal_simulations.workspace import prepare_workspace, stewards_of

    found = Study.load(study)
    tables = tables_of(data, site_column=site_column, num_sites=sites, seed=seed)
    chosen = None if policy is None else read_policy(policy)
    if prepare is not None:
        comparison = check_sites(found, tables)
        comparison.raise_for_errors()
        prepare_workspace(found, tables, prepare, seed=seed, policy=chosen)
        stewards = stewards_of(found)
        line = f"prepared {len(tables)} sites and {' and '.join(stewards)} in {prepare}"
        emit({"workspace": str(prepare), "num_nodes": len(tables) + len(stewards)}, [line], output)
        return
    with shown_rounds(enabled=output is Format.TEXT and not quiet) as say:
        say(check_sites(found, tables).render())
        run = simulate(
            found,
            tables,
            seed=seed,
            engine=engine,
            steps=[name.strip() for name in steps.split(",")],
            policy=chosen,
            out=out,
        )
    result: dict[str, Any] = {"path": str(run.path), "result": run.result, "run": run.card}
    emit(result, summary_lines(run, brief=quiet), output)
