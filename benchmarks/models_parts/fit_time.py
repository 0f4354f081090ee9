"""CPU seconds of a fit, d = 10 and n = 20,000, one thread; with the errors of each model.

python benchmarks/models_parts/fit_time.py [--quick]

A random graph with sines of linear forms (see `latency`), seed 50. Imports are not counted. The
seconds of NodeFlow include those of the closed form that it starts from.
"""

import argparse
import os
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from latency import random_case
from ours import answer, closed_form, numeric_study, train_nodeflow
from peers import ask
from task import score, task_of, true_means

from fedcausal.data.table import Table

SIZE, ROWS, SEED, NUM_SITES = 10, 20_000, 50, 4
EPOCHS, FEW_EPOCHS = 40, 4
REACH_GRAM, REACH_FLOW = 1.0, 0.5


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="4 epochs")
    table(parser.parse_args().quick)


def table(quick: bool) -> bool:
    """Closed form; NodeFlow at the peers' epochs and at a tenth of them; causalflows."""
    epochs, few = (4, 1) if quick else (EPOCHS, FEW_EPOCHS)
    case = random_case(SIZE, np.random.default_rng(SEED))
    task = task_of(case, rows=ROWS, draws=20_000, epochs=epochs, seed=SEED)
    study, truth = numeric_study(task.rows), true_means(case, task, 200_000)
    edges = [(case.names[a], case.names[b]) for a, b in case.edges]
    sites = [Table(study.schema(), part) for part in np.array_split(task.rows, NUM_SITES)]
    gram = closed_form(study, edges, sites, ROWS)
    answers = {
        "gram": answer(gram, task),
        f"nodeflow, {few} epochs": answer(
            train_nodeflow(study, edges, task.rows, gram, few), task
        ),
        f"nodeflow, {epochs} epochs": answer(
            train_nodeflow(study, edges, task.rows, gram, epochs), task
        ),
    }
    peers = {
        f"causalflows-{k}, {epochs} epochs": ask(f"causalflows-{k}", task) for k in ("nsf", "maf")
    }
    scores = {n: score(case, task, truth, a) for n, a in {**answers, **peers}.items()}
    _say(f"fit: d = {SIZE}, n = {ROWS}, {len(edges)} edges, seed {SEED}, one thread")
    _say(f"{'model':<28}{'CPU s':>8}{'do':>9}{'cf':>9}")
    for name, found in scores.items():
        _say(f"{name:<28}{found.cpu:>8.2f}{found.do:>9.4f}{found.counterfactual:>9.4f}")
    best = min((scores[name] for name in peers), key=lambda s: s.counterfactual)
    flows = [scores[name] for name in answers if name.startswith("nodeflow")]
    good = [
        flow for flow in flows if flow.do <= best.do and flow.counterfactual <= best.counterfactual
    ]
    fast = any(flow.cpu <= REACH_FLOW * best.cpu for flow in good)
    holds = scores["gram"].cpu < REACH_GRAM
    _say(f"closed form < {REACH_GRAM:g} s: {'yes' if holds else 'NO'}")
    _say(
        f"NodeFlow <= {REACH_FLOW} x causalflows at equal or better errors: "
        f"{'yes' if fast else 'NO'}"
    )
    return holds and fast


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
