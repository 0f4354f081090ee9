"""Skeleton F1 of a private graph on nonlinear data, by basis, against the run without noise.

python benchmarks/privacy_parts/nonlinear_graph.py [--quick]

Erdos-Renyi graphs of average degree 2 over 8 numbers and 2 variables of 3 levels; a number is the
sum over its parents of a line, a square or a sine (drawn for each edge; levels shift it) plus
noise, a level is cut from such a number. 20,000 records at 10 sites, bounds as in
`private_studies`. `linear` has a line for each number, `legendre-2` its square too; levels are
one-hot contrasts in both. The features lie in a ball, of which the sensitivity is exact. No reach
is set for this table: the share is of the same basis without an epsilon.
"""

import argparse
import sys
import time

import numpy as np
from private_studies import (
    DEGREE,
    NUM_SITES,
    Drawn,
    exact_covariance,
    learnt,
    noisy_totals,
    skeleton_f1,
)

from fedcausal.private.noisy_totals import noisy_covariance
from fedcausal.study import Study

FIRST_SEED, NUM_RECORDS, NUMBERS, LEVELS = 8500, 20_000, 8, 3
SIZE = NUMBERS + 2
EPSILONS = (1.0, 3.0, 8.0)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="3 graphs")
    table(parser.parse_args().quick)


def table(quick: bool) -> None:
    """F1 without noise, and at each epsilon with its share."""
    count = 3 if quick else 10
    _say(f"nonlinear graph: {count} graphs, {NUM_RECORDS} records, seeds from {FIRST_SEED}")
    _say("basis       exact F1 | eps 1: F1, share | eps 3: F1, share | eps 8: F1, share | CPU s")
    for basis in ("linear", "legendre-2"):
        begin = time.process_time()
        found = np.mean([_figures(FIRST_SEED + k, basis) for k in range(count)], axis=0)
        parts = [f"{f1:.3f} {f1 / found[0]:10.3f}" for f1 in found[1:]]
        seconds = (time.process_time() - begin) / count
        _say(f"{basis:12}{found[0]:8.3f} | {' | '.join(parts)} | {seconds:.1f}")


def draw(seed: int) -> Drawn:
    """A random nonlinear study."""
    rng = np.random.default_rng([seed, SIZE])
    names = [f"v{i:02d}" for i in range(SIZE)]
    present = np.triu(rng.random((SIZE, SIZE)) < DEGREE / (SIZE - 1), 1)
    has_levels = np.isin(np.arange(SIZE), rng.choice(SIZE, size=SIZE - NUMBERS, replace=False))
    rows = np.zeros((NUM_RECORDS, SIZE))
    for child in range(SIZE):
        total = rng.normal(size=NUM_RECORDS)
        for parent in np.flatnonzero(present[:, child]):
            total += _effect(rows[:, parent], bool(has_levels[parent]), rng)
        total = (total - total.mean()) / total.std()
        rows[:, child] = np.digitize(total, [-0.5, 0.5]) if has_levels[child] else total
    bounds = {
        name: (-float(rng.uniform(4, 10)), float(rng.uniform(4, 10)))
        for name, levels in zip(names, has_levels, strict=True)
        if not levels
    }
    for index, name in enumerate(names):
        if name in bounds:
            rows[:, index] = np.clip(rows[:, index], *bounds[name])
    joined = np.argwhere(present).tolist()
    return Drawn(
        skeleton=frozenset(frozenset((names[i], names[j])) for i, j in joined),
        bounds=bounds,
        sites=np.array_split(rows, NUM_SITES),
    )


def _effect(parent: np.ndarray, has_levels: bool, rng: np.random.Generator) -> np.ndarray:
    weight = rng.uniform(0.6, 1.2) * rng.choice([-1, 1])
    if has_levels:
        found: np.ndarray = weight * rng.permutation([-1.2, 0.0, 1.2])[parent.astype(int)]
        return found
    shape = rng.integers(3)
    bent = (parent, (parent**2 - 1.0) / 1.4, np.sin(2.0 * parent))[shape]
    return np.asarray(weight * bent)


def _study(drawn: Drawn, basis: str, epsilon: float | None) -> Study:
    variables = {
        name: {"kind": "continuous", "bounds": list(drawn.bounds[name]), "basis": basis}
        if name in drawn.bounds
        else {"kind": "categorical", "categories": ["r", "s", "t"]}
        for name in (f"v{i:02d}" for i in range(SIZE))
    }
    privacy = {} if epsilon is None else {"graph": {"epsilon": epsilon}}
    return Study.model_validate(
        {
            "variables": variables,
            "discovery": {"votes": False, "bootstrap": 0},
            "privacy": {"delta": 1e-5, **privacy},
        }
    )


def _figures(seed: int, basis: str) -> list[float]:
    drawn = draw(seed)
    plain = _study(drawn, basis, None)
    found = [skeleton_f1(learnt(plain, exact_covariance(drawn, plain)), drawn)]
    for epsilon in EPSILONS:
        study = _study(drawn, basis, epsilon)
        noisy = noisy_covariance(noisy_totals(drawn, study))
        found.append(skeleton_f1(learnt(study, noisy), drawn))
    return found


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
