"""How long one record and ten thousand records take: sample, and counterfactual.

python benchmarks/models_parts/latency.py [--quick]

Closed-form models of random graphs (two parents each on average, three at most; sines of linear
forms, noise 0.5), fitted to 20,000 rows, seed 50.
Splines where the release allows them, polynomials else. A question goes through the public
interface with its data frames; the counterfactual sets the node with the most descendants. CPU
milliseconds of one thread: what a core needs, whatever else the machine does. The last table is
of graphs in which every other node has three levels (probabilities by the same linear forms); a
counterfactual below a changed level is the mean of 100 worlds.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from mechanisms import Case, Node
from ours import Fitted, closed_form, numeric_study

from fedcausal.data.table import Table
from fedcausal.model.scm import StructuralCausalModel
from fedcausal.study import Study

SEED, ROWS = 50, 20_000
REACH_RECORD, REACH_MANY = 20.0, 500.0
LEVELS = 3


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="d = 10 and 50, fewer calls")
    table(parser.parse_args().quick)


def table(quick: bool) -> bool:
    """Median and 99th percentile of single records; 10,000 counterfactuals at d = 50."""
    calls, holds = (200 if quick else 500), True
    _say(f"latency: {calls} calls, CPU ms; reach p99 < {REACH_RECORD:g} on one record")
    _say(
        f"{'d':>4}{'below':>7} |{'draw p50':>12}{'p99':>8} |{'imagine p50':>12}{'p99':>8} reached"
    )
    for size in (10, 50) if quick else (10, 50, 200):
        case = random_case(size, np.random.default_rng(SEED))
        fitted = fit(case)
        action = max(range(size), key=lambda node: len(case.below(node)))
        record = fitted.model.sample(1, seed=1)
        do = {case.names[action]: 0.1}
        drawn = _times(lambda k, m=fitted.model: m.sample(1, seed=k), calls)
        imagined = _times(
            lambda _, m=fitted.model, r=record, d=do: m.counterfactual(r, do=d), calls
        )
        fine = bool(max(drawn[1], imagined[1]) < REACH_RECORD)
        holds &= fine
        _say(
            f"{size:>4}{len(case.below(action)):>7} |{drawn[0]:>12.2f}{drawn[1]:>8.2f} |"
            f"{imagined[0]:>12.2f}{imagined[1]:>8.2f}  {'yes' if fine else 'NO'}"
        )
        if size == 50:
            rows = fitted.model.sample(10_000, seed=2)
            many = _times(lambda _, m=fitted.model, r=rows, d=do: m.counterfactual(r, do=d), 5)[0]
            holds &= many < REACH_MANY
            verdict = "yes" if many < REACH_MANY else "NO"
            _say(f"  10,000 counterfactuals, d = 50: {many:.0f} ms (< {REACH_MANY:g})  {verdict}")
    return mixed_table((10, 50) if quick else (10, 50, 200), calls) and holds


def mixed_table(sizes: tuple[int, ...], calls: int) -> bool:
    """The same where every other node has levels; the action is on a number, and on a level."""
    holds = True
    _say(f"every other node of {LEVELS} levels; the action is on a number | on a level")
    for size in sizes:
        model, below = mixed_model(size)
        record = model.sample(1, seed=1)
        numbers = max(range(0, size, 2), key=lambda node: len(below[node]))
        levels = max(range(1, size, 2), key=lambda node: len(below[node]))
        drawn = _times(lambda k, m=model: m.sample(1, seed=k), calls)
        found = [
            _times(lambda _, m=model, r=record, d=do: m.counterfactual(r, do=d), calls)
            for do in ({_name(numbers): 0.1}, {_name(levels): "l0"})
        ]
        fine = bool(max(own[1] for own in (drawn, *found)) < REACH_RECORD)
        holds &= fine
        told = " |".join(f"{own[0]:>12.2f}{own[1]:>8.2f}" for own in (drawn, *found))
        reached = "yes" if fine else "NO"
        _say(f"{size:>4}{len(below[numbers]):>4}{len(below[levels]):>4} |{told}  {reached}")
    return holds


def mixed_model(size: int) -> tuple[StructuralCausalModel, list[set[int]]]:
    """A fitted model of numbers and levels in turn, and the descendants of every node."""
    shape, chance = np.random.default_rng(SEED), np.random.default_rng(SEED + 1)
    rows, below = np.zeros((ROWS, size)), [set[int]() for _ in range(size)]
    edges, variables = [], {}
    for j in range(size):
        count = min(j, int(shape.integers(1, 4)))
        parents = sorted(shape.choice(j, count, replace=False).tolist()) if count else []
        weights = shape.uniform(0.5, 1.5, len(parents)) * shape.choice([-1.0, 1.0], len(parents))
        form = sum((w * (rows[:, p] - p % 2) for w, p in zip(weights, parents, strict=True)), 0.0)
        form = np.zeros(ROWS) + form
        if j % 2:
            scores = 0.7 * np.outer(form, np.arange(LEVELS) - 1.0)
            rows[:, j] = np.argmax(scores + chance.gumbel(size=(ROWS, LEVELS)), axis=1)
            words = [f"l{k}" for k in range(LEVELS)]
            variables[_name(j)] = {"kind": "categorical", "categories": words}
        else:
            rows[:, j] = np.sin(form) + 0.3 * form + 0.5 * chance.standard_normal(ROWS)
            low, high = rows[:, j].min(), rows[:, j].max()
            margin = 0.05 * (high - low)
            bounds = [float(low - margin), float(high + margin)]
            variables[_name(j)] = {"kind": "continuous", "bounds": bounds}
        edges += [(_name(p), _name(j)) for p in parents]
        for p in range(j):
            below[p] |= {j} if p in parents or below[p] & set(parents) else set()
    content = {"variables": variables, "discovery": {"site_effects": "pool"}}
    study = Study.model_validate(content)
    sites = [Table(study.schema(), part) for part in np.array_split(rows, 4)]
    return closed_form(study, edges, sites, ROWS).model, below


def _name(node: int) -> str:
    return f"x{node + 1:03d}"


def random_case(size: int, rng: np.random.Generator) -> Case:
    """Sines of linear forms over a random DAG."""
    nodes = []
    for j in range(size):
        count = min(j, int(rng.integers(1, 4)))
        parents = sorted(rng.choice(j, count, replace=False).tolist()) if count else []
        weights = rng.uniform(0.5, 1.5, len(parents)) * rng.choice([-1.0, 1.0], len(parents))
        nodes.append(Node(tuple(parents), _sine(weights)))
    return Case(f"random-{size}", tuple(nodes))


def fit(case: Case, num_rows: int = ROWS, num_sites: int = 4) -> Fitted:
    """The closed form of a case's own draws."""
    rows = case.draw(num_rows, np.random.default_rng(SEED))
    study = numeric_study(rows)
    edges = [(case.names[a], case.names[b]) for a, b in case.edges]
    sites = [Table(study.schema(), part) for part in np.array_split(rows, num_sites)]
    return closed_form(study, edges, sites, num_rows)


def _sine(weights: np.ndarray) -> Callable[..., np.ndarray]:
    def value(*given: np.ndarray) -> np.ndarray:
        *parents, noise = given
        form = sum((w * p for w, p in zip(weights, parents, strict=True)), np.zeros_like(noise))
        return np.sin(form) + 0.3 * form + 0.5 * noise

    return value


def _times(call: Callable[[int], object], count: int) -> tuple[float, float]:
    """Median and 99th percentile of CPU milliseconds, after three calls to warm up."""
    for k in range(3):
        call(k)
    taken = []
    for k in range(count):
        started = time.process_time()
        call(k)
        taken.append(1000.0 * (time.process_time() - started))
    return float(np.median(taken)), float(np.quantile(taken, 0.99))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
