"""The same marks as causal-learn on pooled rows: PC, FCI and GES, from sums of ten sites.

python benchmarks/discovery_parts/pooled_marks.py [--quick]

Linear Gaussian mechanisms, expected degree 3, 1000 rows over 10 sites, pool mode; every fourth
variable is hidden from FCI. Ours reads the sites' integer vectors, added in the clear; causal-
learn reads the rows. A PC graph whose tests contradict each other is repaired and noted by ours,
not by causal-learn: such graphs are counted apart, by their skeletons. Times are of the searches,
in CPU seconds of one process, imports left out.
"""

import argparse
import contextlib
import io
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcausal.data.table import Table
from fedcausal.discovery.algorithms import discover
from fedcausal.discovery.knowledge import Knowledge
from fedcausal.discovery.options import Algorithm, DiscoveryOptions
from fedcausal.moments.covariance import BlockCovariance
from fedcausal.moments.gram_totals import block_covariance
from fedcausal.statistics.derive import derive_spec
from fedcausal.statistics.gram_kind import GramKind, gram_release, gram_request
from fedcausal.study import Study
from fedcausal_privacy.secure_sum.oracle import plain_sum

Matrix = NDArray[np.float64]
Marks = NDArray[np.int64]

SIZES, DEGREE, NUM_ROWS, NUM_SITES, FIRST_SEED, ALPHA = (6, 8, 10), 3, 1000, 10, 4000, 0.01


@dataclass
class Tally:
    """Graphs compared so far."""

    graphs: int = 0
    marks: int = 0
    contradictory: int = 0
    skeletons: int = 0
    ours: float = 0.0
    theirs: float = 0.0


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="3 graphs instead of 20")
    table(parser.parse_args().quick)


def table(quick: bool) -> bool:
    """One row per algorithm: graphs with identical marks, and the time; whether all are."""
    count = 3 if quick else 20
    _say(
        f"pooled marks: {count} graphs, d={SIZES}, degree {DEGREE}, n={NUM_ROWS}, {NUM_SITES} "
        f"sites, alpha {ALPHA}, seeds from {FIRST_SEED} (reach: identical marks, all graphs)"
    )
    _say(
        f"{'algorithm':<10}{'identical':>11}{'contradictory':>15}{'(skeleton)':>12}"
        f"{'ours s':>9}{'theirs s':>10}{'ratio':>7}  reached"
    )
    holds = True
    for algorithm, on_rows in PEERS.items():
        _compare(algorithm, on_rows, FIRST_SEED, Tally())  # imports
        tally = Tally()
        for k in range(count):
            _compare(algorithm, on_rows, FIRST_SEED + k, tally)
        clear = tally.graphs - tally.contradictory
        reached = tally.marks == clear and tally.skeletons == tally.contradictory
        _say(
            f"{algorithm:<10}{f'{tally.marks}/{clear}':>11}{tally.contradictory:>15}"
            f"{f'{tally.skeletons}/{tally.contradictory}':>12}{tally.ours:>9.2f}"
            f"{tally.theirs:>10.2f}{tally.ours / tally.theirs:>7.2f}"
            f"  {'yes' if reached else 'MISSED'}"
        )
        holds = holds and reached
    return holds


def _compare(
    algorithm: Algorithm, on_rows: Callable[[Matrix], Marks], seed: int, tally: Tally
) -> None:
    rng = np.random.default_rng(seed)
    size = SIZES[seed % len(SIZES)]
    values = _rows(size, rng)
    if algorithm == "fci":
        values = values[:, [i for i in range(size) if i % 4]]
    statistics = _statistics(values, rng)
    options = DiscoveryOptions(algorithm=algorithm, alpha=ALPHA)
    started = time.process_time()
    found = discover(statistics, Knowledge(nodes=statistics.names), options)
    between = time.process_time()
    expected = on_rows(values)
    tally.ours += between - started
    tally.theirs += time.process_time() - between
    tally.graphs += 1
    marks = found.graph.marks()
    if algorithm == "pc" and found.notes:
        tally.contradictory += 1
        tally.skeletons += bool(np.array_equal(marks > 0, expected > 0))
    else:
        tally.marks += bool(np.array_equal(marks, expected))


def _pc(values: Matrix) -> Marks:
    from causallearn.search.ConstraintBased.PC import pc

    return _codes(pc(values, ALPHA, "fisherz", show_progress=False).G.graph)


def _fci(values: Matrix) -> Marks:
    from causallearn.search.ConstraintBased.FCI import fci

    with contextlib.redirect_stdout(io.StringIO()):
        graph, _ = fci(values, "fisherz", ALPHA, show_progress=False)
    return _codes(graph.graph)


def _ges(values: Matrix) -> Marks:
    from causallearn.search.ScoreBased.GES import ges

    return _codes(ges(values)["G"].graph)


PEERS: dict[Algorithm, Callable[[Matrix], Marks]] = {"pc": _pc, "fci": _fci, "ges": _ges}


def _codes(graph: Marks) -> Marks:
    """causal-learn's entry [i, j] is the mark at i: -1 tail, 1 arrow, 2 circle."""
    at_column = graph.T
    return np.select([at_column == -1, at_column == 1, at_column == 2], [1, 2, 3])


def _rows(size: int, rng: np.random.Generator) -> Matrix:
    present = np.triu(rng.random((size, size)) < DEGREE / (size - 1), 1)
    weights = present * rng.uniform(0.4, 1.0, (size, size)) * rng.choice([-1, 1], (size, size))
    values = np.zeros((NUM_ROWS, size))
    for j in range(size):
        values[:, j] = values @ weights[:, j] + rng.standard_normal(NUM_ROWS)
    return values[:, rng.permutation(size)]


def _statistics(values: Matrix, rng: np.random.Generator) -> BlockCovariance:
    bounds = 1.1 * np.abs(values).max(axis=0)
    names = [f"x{k:02d}" for k in range(values.shape[1])]
    study = Study.model_validate(
        {
            "variables": {
                name: {"kind": "continuous", "bounds": [-float(b), float(b)]}
                for name, b in zip(names, bounds, strict=True)
            },
            "discovery": {"site_effects": "pool"},
        }
    )
    owner: Sequence[int] = rng.permutation(np.arange(len(values)) % NUM_SITES).tolist()
    request, kind = gram_request(), GramKind()
    vectors = [
        kind.compute(study, request, Table(study.schema(), values[np.array(owner) == site]), rng)
        for site in range(NUM_SITES)
    ]
    released = plain_sum(vectors, derive_spec(study, request, NUM_SITES))
    return block_covariance(gram_release(study, request, released, NUM_SITES))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
