"""CPU seconds of a fit, d = 10 and n = 20,000, one thread; with the errors of each model.

python benchmarks/models_parts/fit_time.py [--quick] [--seeds 60,61,62]

Random graphs with sines of linear forms (see `latency`); NodeFlow's ways were chosen on seed 50,
which is not among the seeds here. Flows: AdamW, 3e-3 at most on a one-cycle schedule, batches of
512. Imports are not counted. The seconds of NodeFlow include those of the closed form.
"""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from latency import random_case
from ours import answer, closed_form, numeric_study, train_nodeflow
from peers import ask
from task import Score, score, task_of, true_means

from fedcausal.data.table import Table

SIZE, ROWS, NUM_SITES, DRAWS, TRUTH_DRAWS = 10, 20_000, 4, 20_000, 200_000
SEEDS = (60, 61, 62)
EPOCHS = 40
REACH_GRAM, REACH_FLOW = 1.0, 0.5


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="4 epochs, one seed")
    parser.add_argument("--seeds", type=lambda text: [int(s) for s in text.split(",")])
    options = parser.parse_args()
    _table(*((4, SEEDS[:1]) if options.quick else (EPOCHS, options.seeds or SEEDS)))


def table(quick: bool) -> bool:
    """Closed form; NodeFlow at the peers' epochs and at half of them; causalflows."""
    return _table(*((4, SEEDS[:1]) if quick else (EPOCHS, SEEDS)))


def _table(epochs: int, seeds: Sequence[int]) -> bool:
    _say(f"fit: d = {SIZE}, n = {ROWS}, seeds {', '.join(map(str, seeds))}, one thread")
    _say(f"{'seed':<6}{'model':<28}{'CPU s':>8}{'do':>9}{'cf':>9}")
    found: dict[str, list[Score]] = {}
    for seed in seeds:
        for name, one in _scores(epochs, seed).items():
            found.setdefault(name, []).append(one)
            _print(str(seed), name, one)
    means = {
        name: Score(*(float(np.mean([getattr(s, f.name) for s in scores])) for f in fields(Score)))
        for name, scores in found.items()
    }
    for name, mean in means.items():
        _print("mean", name, mean)
    return _verdict(means, max(s.cpu for s in found["gram"]))


def _scores(epochs: int, seed: int) -> dict[str, Score]:
    """Every model's errors and seconds on one random graph."""
    case = random_case(SIZE, np.random.default_rng(seed))
    task = task_of(case, rows=ROWS, draws=DRAWS, epochs=epochs, seed=seed)
    study, truth = numeric_study(task.rows), true_means(case, task, TRUTH_DRAWS)
    edges = [(case.names[a], case.names[b]) for a, b in case.edges]
    sites = [Table(study.schema(), part) for part in np.array_split(task.rows, NUM_SITES)]
    gram = closed_form(study, edges, sites, ROWS)
    answers = {"gram": answer(gram, task)}
    for count in (epochs // 2, epochs):
        flow = train_nodeflow(study, edges, task.rows, gram, count)
        answers[f"nodeflow, {count} epochs"] = answer(flow, task)
    for kind in ("nsf", "maf"):
        answers[f"causalflows-{kind}, {epochs} epochs"] = ask(f"causalflows-{kind}", task)
    return {name: score(case, task, truth, found) for name, found in answers.items()}


def _verdict(means: Mapping[str, Score], slowest_gram: float) -> bool:
    """Whether the closed form takes no second, and a NodeFlow half of the best peer's."""
    peers = {n: s for n, s in means.items() if n.startswith("causalflows")}
    best = min(peers, key=lambda n: peers[n].counterfactual)
    fast = False
    for name, mine in means.items():
        if not name.startswith("nodeflow"):
            continue
        for peer, other in peers.items():
            ratios = [getattr(mine, f.name) / getattr(other, f.name) for f in fields(Score)]
            do, counterfactual, cpu = ratios
            _say(f"{name} / {peer}: CPU {cpu:.2f}, do {do:.2f}, cf {counterfactual:.2f}")
            fast |= peer == best and max(do, counterfactual) <= 1 and cpu <= REACH_FLOW
    holds = slowest_gram < REACH_GRAM
    _say(f"closed form < {REACH_GRAM:g} s ({slowest_gram:.2f}): {'yes' if holds else 'NO'}")
    _say(f"NodeFlow <= {REACH_FLOW} x {best} at equal or better errors: {'yes' if fast else 'NO'}")
    return holds and fast


def _print(seed: str, name: str, one: Score) -> None:
    _say(f"{seed:<6}{name:<28}{one.cpu:>8.2f}{one.do:>9.4f}{one.counterfactual:>9.4f}")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
