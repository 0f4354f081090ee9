"""Whole studies in-process with lying sites: the defence off, on, and nobody lying.

Ten sites of 150 to 400 rows, six variables whose order is known, noise levels that differ between
sites by exp(-0.2) to exp(0.2). Off: the two-lock sums. On: `[federation] robust = 3`. Errors are
root mean squares of one effect; SHD is to the true graph (its CPDAG is the graph itself, since the
order is known). Seeds 401 to 403.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from lines import Lines

from fedcausal.errors import FedCausalError
from fedcausal.study import Study
from fedcausal_simulations.liars import lying
from fedcausal_simulations.simulation import simulate

SEEDS = (401, 402, 403)
NAMES = tuple(f"x{i}" for i in range(6))
SLOPES = {
    (0, 1): 0.8,
    (1, 3): 0.7,
    (2, 3): -0.6,
    (2, 4): 0.5,
    (1, 5): 0.6,
    (3, 5): 0.5,
    (4, 5): 0.4,
}
TRUTH = 0.8 * (0.6 + 0.7 * 0.5)
LIES = ("scaled", "swollen", "flipped", "negated", "fewer", "poisoned")


def table(quick: bool) -> bool:
    """Print the table."""
    lines, seeds = Lines(), SEEDS[:1] if quick else SEEDS
    honest = [_run(seed, "", 0, robust=0) for seed in seeds]
    robust = [_run(seed, "", 0, robust=3) for seed in seeds]
    clean, distance = _root(honest), np.mean([one[1] for one in honest])
    lines.row("nobody lies, off", f"error {clean:.4f}, SHD {distance:.1f}")
    lines.row("nobody lies, on", f"{_root(robust) / clean:.2f}, {_aside(robust)} set aside")
    for lie in LIES:
        for most in (1, 2, 3):
            off = [_run(seed, lie, most, robust=0) for seed in seeds]
            on = [_run(seed, lie, most, robust=3) for seed in seeds]
            shd = np.mean([one[1] for one in on])
            figure = f"off {_words(off, clean)}  on {_words(on, clean)} SHD {shd:.1f} {_aside(on)}"
            holds = _root(on) < 2 * clean and shd <= distance + 2
            lines.row(f"{lie}, f = {most}", figure, "on < 2, SHD <= clean + 2", holds)
    return lines.holds


def _run(seed: int, lie: str, most: int, *, robust: int) -> tuple[float, float, int, int]:
    """Error of the effect, SHD, liars named, and sites set aside; NaN when the study refused."""
    liars = [f"s{k}" for k in range(most)]
    tables = _tables(seed, liars if lie == "poisoned" else [])
    told = dict.fromkeys(liars, lie) if lie not in ("", "poisoned") else {}
    with TemporaryDirectory() as folder, lying(told):
        try:
            run = simulate(
                _study(robust),
                tables,
                seed=0,
                policy={"release_alone": True},
                out=Path(folder) / "run",
            )
            found = float(run.effects[0]["estimate"]) - TRUTH
        except FedCausalError:
            return np.nan, np.nan, 0, 0
        aside = {one["site"] for one in run.card["set_aside"]}
        edges = {(e["source"], e["target"]) for e in run.graph.to_json()["edges"]}
    true = {(f"x{a}", f"x{b}") for a, b in SLOPES}
    return found, float(len(edges ^ true)), len(aside & set(liars)), len(aside)


def _study(robust: int) -> Study:
    return Study.model_validate(
        {
            "study": {"name": "lies"},
            "variables": {n: {"kind": "continuous", "bounds": [-20, 20]} for n in NAMES},
            "knowledge": {"tiers": [[name] for name in NAMES]},
            "discovery": {"votes": False, "bootstrap": 0},
            "privacy": {"incomplete": "drop"},
            "model": {"knots": 0, "degree": 1},
            "federation": {"robust": robust},
            "effects": {
                "queries": [{"treatment": "x0", "outcome": "x5", "values": [0.0, 1.0]}],
                "draws": 20,
            },
        }
    )


def _tables(seed: int, poisoned: list[str]) -> dict[str, pd.DataFrame]:
    rng, tables = np.random.default_rng(seed), {}
    for k in range(10):
        number = int(rng.integers(150, 400))
        rows = rng.normal(size=(number, 6)) * np.exp(rng.uniform(-0.2, 0.2, 6))
        rows += rng.normal(size=6)
        sign = -1 if f"s{k}" in poisoned else 1
        for child in range(6):
            for (a, b), slope in SLOPES.items():
                if b == child:
                    rows[:, child] += sign * slope * rows[:, a]
        tables[f"s{k}"] = pd.DataFrame(rows, columns=NAMES)
    return tables


def _root(found: list[tuple[float, float, int, int]]) -> float:
    return float(np.sqrt(np.mean(np.square([one[0] for one in found]))))


def _words(found: list[tuple[float, float, int, int]], clean: float) -> str:
    value = _root(found)
    return "refused" if np.isnan(value) else f"{value / clean:.2f}"


def _aside(found: list[tuple[float, float, int, int]]) -> str:
    return f"{np.mean([f[2] for f in found]):.1f}/{np.mean([f[3] for f in found]):.1f}"
