"""The demo: four real hospitals, and the analyst with all rows beside them."""

import shutil
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedcausal.console import table
from fedcausal.results.run import Run
from fedcausal.results.summary import summary_lines
from fedcausal_privacy.canonical import fingerprint
from fedcausal_simulations.heart import load_hospitals, load_study
from fedcausal_simulations.reference import analyst_graph, same_edges
from fedcausal_simulations.simulation import check_sites, simulate

__all__ = ["DemoResult", "run_demo"]

WIDTH = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoResult:
    """A finished demo: the run, and whether an analyst with all rows finds the same graph."""

    run: Run
    equals_pooled_analyst: bool

    @property
    def data(self) -> dict[str, Any]:
        """The answer for programs."""
        return {
            "path": str(self.run.path),
            "equals_pooled_analyst": self.equals_pooled_analyst,
            "graph": self.run.graph.to_json(),
            "effects": self.run.effects,
            "num_records": self.run.findings["num_records"],
            "sites": self.run.card["sites"],
        }

    def lines(self, *, brief: bool) -> list[str]:
        """The answer for people."""
        verdict = "the same" if self.equals_pooled_analyst else "NOT the same"
        compared = (
            "The federated graph and the graph that one analyst with all rows and the same site "
            f"labels gets are {verdict}."
        )
        lines = ["", *summary_lines(self.run, brief=brief), "", *textwrap.wrap(compared, WIDTH)]
        if not brief:
            lines += ["", "next", *(f"  {command}" for command in self._commands())]
        return lines

    def _commands(self) -> list[str]:
        path, program = self.run.path, _program()
        return [
            f"{program} model effect {path} \\",
            "    --treatment exang --outcome disease --values False --values True",
            f"{program} model sample {path} --rows 5 --do exang=True",
            f"{program} run show {path}",
        ]


def _program() -> str:
    """What to type for this program: its name where the shell finds it, else its path."""
    if shutil.which("fedcausal"):
        return "fedcausal"
    called = Path(sys.argv[0])
    here = Path.cwd()
    return str(called.relative_to(here) if called.is_relative_to(here) else called)


def run_demo(
    *, out: Path | None, seed: int, engine: str, say: Callable[[str], None]
) -> DemoResult:
    """Run the heart study over its four hospitals and compare with the pooled analyst."""
    study, hospitals = load_study(), load_hospitals()
    digest = fingerprint(study.hash())
    say(f"study {study.study.name}: {study.study.title}")
    say(f"hash  {digest}, approved by {len(hospitals)} sites")
    rows = [(name, str(len(frame))) for name, frame in hospitals.items()]
    for line in table(("hospital", "rows (shown in this demo only)"), rows):
        say(line)
    say("")
    say(check_sites(study, hospitals).render())
    say("")
    run = simulate(study, hospitals, seed=seed, engine=engine, out=out)
    say("        the analyst with all rows, for comparison")
    analyst = analyst_graph(study, hospitals, seed=seed)
    return DemoResult(run=run, equals_pooled_analyst=same_edges(run.graph, analyst.graph))
