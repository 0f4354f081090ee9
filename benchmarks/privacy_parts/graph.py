"""Skeleton F1 of a private graph as a share of the non-private one.

python benchmarks/privacy_parts/graph.py [--quick]

See `private_studies` for the graphs. 10 sites, 3 of which may collude; the sites' means are
subtracted (private ones under an epsilon); scales are paid for out of the same epsilon. Noise is
drawn anew in every run. `plan` is what `fedcausal study plan` predicts for the error.
"""

import argparse
import sys
import time

import numpy as np
from private_studies import (
    NUM_SITES,
    draw,
    exact_covariance,
    learnt,
    noisy_totals,
    skeleton_f1,
    study_of,
)

from fedcausal.private.graph_planning import plan_graph
from fedcausal.private.noisy_totals import noisy_covariance

FIRST_SEED, DELTA = 8000, 1e-5
ROWS = (
    (10, 5000, 1.0, 0.85),
    (10, 5000, 3.0, 0.92),
    (10, 5000, 8.0, 0.97),
    (10, 50_000, 1.0, 0.97),
    (20, 50_000, 1.0, 0.97),
)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="3 graphs")
    table(parser.parse_args().quick)


def table(quick: bool) -> None:
    """Share of the non-private F1, error of a correlation, noise, and CPU seconds."""
    count = 3 if quick else 10
    _say(
        f"graph: {count} graphs each, {NUM_SITES} sites, delta {DELTA:g}, seeds from {FIRST_SEED}"
    )
    _say(
        f"{'d':>4}{'n':>8}{'eps':>6} |{'F1 exact':>9}{'F1':>7}{'share':>7}{'reach':>7} |"
        f"{'error':>8}{'plan':>8}{'noise':>8}{'n_eff':>8} |{'CPU s':>7}  reached"
    )
    for size, num_rows, epsilon, reach in ROWS:
        _row(size, num_rows, epsilon, reach, count)


def _row(size: int, num_rows: int, epsilon: float, reach: float, count: int) -> None:
    started = time.process_time()
    figures = np.array([_figures(size, num_rows, epsilon, FIRST_SEED + k) for k in range(count)])
    exact, private, error, plan, noise, records = figures.mean(axis=0).tolist()
    share = private / exact
    _say(
        f"{size:>4}{num_rows:>8}{epsilon:>6g} |{exact:>9.3f}{private:>7.3f}{share:>7.3f}"
        f"{reach:>7.2f} |{error:>8.4f}{plan:>8.4f}{noise:>8.4f}{records:>8.0f} |"
        f"{(time.process_time() - started) / count:>7.1f}  {'yes' if share >= reach else 'NO'}"
    )


def _figures(size: int, num_rows: int, epsilon: float, seed: int) -> list[float]:
    drawn = draw(size, num_rows, seed)
    plain, study = study_of(drawn, None), study_of(drawn, epsilon)
    exact = exact_covariance(drawn)
    noisy = noisy_covariance(noisy_totals(drawn, study))
    gap = np.abs(noisy.covariance - exact.covariance)[np.triu_indices(size, 1)]
    plan = plan_graph(study, num_records=num_rows, num_sites=NUM_SITES)
    size_of_noise = 0.0 if noisy.noise is None else noisy.noise.typical
    return [
        skeleton_f1(learnt(plain, exact), drawn),
        skeleton_f1(learnt(study, noisy), drawn),
        float(gap.mean()),
        plan.correlation_error,
        size_of_noise,
        float(noisy.num_records.min()),
    ]


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
