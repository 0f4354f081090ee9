"""What must hold exactly: several do() at once, untouched columns, composition, the round trip.

python benchmarks/models_parts/laws.py [--quick]

A random graph of ten nodes (see `latency`), 20,000 rows to fit, 2,000 to imagine, seed 50.
"""

import argparse
import os
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
from latency import SEED, fit, random_case
from mechanisms import Case
from ours import numeric_study, train_nodeflow

from fedcausal.model.scm import StructuralCausalModel

SIZE, ROWS, EPOCHS = 10, 2000, 2


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="the closed form alone")
    table(parser.parse_args().quick)


def table(quick: bool) -> bool:
    """Largest gaps of each law, for both families of models."""
    case = random_case(SIZE, np.random.default_rng(SEED))
    fitted = fit(case)
    models = {"gram": fitted.model}
    if not quick:
        rows = case.draw(20_000, np.random.default_rng(SEED))
        edges = [(case.names[a], case.names[b]) for a, b in case.edges]
        models["nodeflow"] = train_nodeflow(numeric_study(rows), edges, rows, fitted, EPOCHS).model
    _say(f"{'model':<10}{'two do':>10}{'untouched':>11}{'composition':>13}{'round trip':>12}")
    _say(f"{'reach':<10}{'1e-6':>10}{'identical':>11}{'exact':>13}{'1e-5':>12}")
    held = [_row(case, name, model) for name, model in models.items()]
    return all(held)


def _row(case: Case, name: str, model: StructuralCausalModel) -> bool:
    facts = model.sample(ROWS, seed=3)
    names = list(model.graph.nodes)
    first, second = sorted(range(SIZE), key=lambda j: -len(case.below(j)))[:2]
    do = {names[first]: 0.4, names[second]: -0.3}
    worlds = [model.sample(ROWS, do=do, seed=4), model.counterfactual(facts, do=do)]
    clamped = max(float((w[n] - v).abs().max()) for w in worlds for n, v in do.items())
    below = {first, second, *case.below(first), *case.below(second)}
    kept = [names[j] for j in range(SIZE) if j not in below]
    untouched = worlds[1][kept].equals(facts[kept])
    composition = all(
        model.counterfactual(
            facts.iloc[[k]], do={names[first]: facts[names[first]].iloc[k]}
        ).equals(facts.iloc[[k]])
        for k in range(20)
    )
    trip = _round_trip(model, facts, names[first])
    _say(
        f"{name:<10}{clamped:>10.1e}{'yes' if untouched else 'NO':>11}"
        f"{'yes' if composition else 'NO':>13}{trip:>12.1e}"
    )
    return clamped <= 1e-6 and untouched and composition and trip <= 1e-5


def _round_trip(model: StructuralCausalModel, facts: pd.DataFrame, node: str) -> float:
    """Each record to another value and back: the largest gap to what it was."""
    gaps = []
    for k in range(20):
        record = facts.iloc[[k]]
        there = model.counterfactual(record, do={node: 0.4})
        back = model.counterfactual(there, do={node: record[node].iloc[0]})
        gaps.append(float((back - record).abs().to_numpy().max()))
    return max(gaps)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
