"""Noise whose spread depends on the parents: constant noise, a fitted spread, and the truth.

    python benchmarks/models_parts/spreads.py [--seeds 5] [--first 100] [--rows 20000]

Per law: log density of new records (per record, less the truth's), error of counterfactuals (in
standard deviations of y; constant noise cannot be better than its own ratio), and how many nodes
with constant noise were given a spread. Four sites, sums added in the clear. Seeds 0 to 99 were
looked at while it was built; the default is fresh ones.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from ours import NUM_SITES, numeric_study

from fedcausal.data.table import Table
from fedcausal.model.families import Families, families_request
from fedcausal.model.family_gram import decode_families
from fedcausal.model.gram_fit import fit_mechanisms
from fedcausal.model.margins import Margins, choose_knots, margins_request
from fedcausal.model.residuals import (
    Residuals,
    decode_residuals,
    residuals_request,
    with_residual_laws,
)
from fedcausal.model.spreads import Spreads, decode_spreads, spreads_request, with_spreads
from fedcausal.statistics.kind import Request, StatisticKind
from fedcausal_privacy.disclosure.cell_rule import apply_cell_rule
from fedcausal_privacy.statistic_spec import Released

Array = NDArray[np.float64]
Law = Callable[[Array, Array], Array]

MEANS: dict[str, Law] = {
    "waves": lambda a, b: np.sin(1.5 * a) + 0.5 * b,
    "line": lambda a, b: a - 0.5 * b,
}
SPREADS: dict[str, Law] = {
    "constant": lambda a, b: np.full_like(a, 0.5),
    "exponential": lambda a, b: 0.4 * np.exp(0.5 * a),
    "both parents": lambda a, b: 0.3 * np.exp(0.4 * a - 0.1 * b**2),
    "line of |a|": lambda a, b: 0.2 + 0.4 * np.abs(a),
}
EDGES = [("x001", "x003"), ("x002", "x003")]


def main() -> None:
    """Print one line per law of the spread."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=100)
    parser.add_argument("--rows", type=int, default=20_000)
    asked = parser.parse_args()
    print(
        f"{asked.rows} rows, {NUM_SITES} sites, seeds {asked.first} to "
        f"{asked.first + asked.seeds - 1}"
    )
    print(
        "mean, spread | log density below truth: constant, fitted | "
        "counterfactual error: constant, fitted, ratio | given a spread | CPU s"
    )
    for mean in MEANS:
        for spread in SPREADS:
            found = [
                one(MEANS[mean], SPREADS[spread], asked.rows, asked.first + k)
                for k in range(asked.seeds)
            ]
            a, b, c, d, chosen, cpu = np.mean(found, axis=0)
            print(
                f"{mean}, {spread} | {a:.4f}, {b:.4f} | {c:.4f}, {d:.4f}, {d / c:.2f} | "
                f"{chosen:.1f} | {cpu:.3f}",
                flush=True,
            )


def one(mean: Law, spread: Law, num_rows: int, seed: int) -> tuple[float, ...]:
    """Losses of constant and fitted noise, errors of both, whether chosen, CPU seconds."""
    rng = np.random.default_rng(seed)
    rows, new = (_rows(mean, spread, n, rng) for n in (num_rows, 4000))
    study = numeric_study(np.vstack([rows[0], new[0]]))
    sites = [Table(study.schema(), part) for part in np.array_split(rows[0], NUM_SITES)]

    def total(kind: StatisticKind, request: Request) -> Released:
        vector = sum(kind.compute(study, request, site, rng) for site in sites)
        return apply_cell_rule(vector, kind.spec(study, request, NUM_SITES))

    margins = margins_request(study, EDGES, {}, num_records=num_rows, num_sites=NUM_SITES)
    knots = (
        {}
        if margins is None
        else choose_knots(study, margins, total(Margins(), margins), NUM_SITES)
    )
    request = families_request(EDGES, study.schema().names, {}, knots)
    grams = decode_families(study, request, total(Families(), request), NUM_SITES)
    counted = {name: gram.num_records for name, gram in grams.items()}
    plain, started = fit_mechanisms(grams), time.process_time()
    asked = spreads_request(request, plain)
    assert asked is not None
    spreads = decode_spreads(study, asked, total(Spreads(), asked), NUM_SITES)
    cpu, found = time.process_time() - started, []
    for own in (plain, with_spreads(plain, spreads)):
        bins = residuals_request(request, own)
        assert bins is not None
        laws = decode_residuals(study, bins, total(Residuals(), bins), counted)
        found.append(with_residual_laws(own, laws)["x003"])
    values, noise = new
    facts = {f"x{k + 1:03d}": values[:, k] for k in range(3)}
    a, b = facts["x001"], facts["x002"]
    world = {**facts, "x001": a - 1.0}
    truth = mean(a - 1.0, b) + spread(a - 1.0, b) * noise
    density = -0.5 * noise**2 - np.log(spread(a, b)) - 0.5 * np.log(2 * np.pi)
    losses, errors = [], []
    for mechanism in found:
        told = mechanism.predict(mechanism.abduct(facts["x003"], facts, rng), world)
        errors.append(float(np.sqrt(np.mean((told - truth) ** 2)) / facts["x003"].std()))
        losses.append(float(np.mean(density - mechanism.log_prob(facts["x003"], facts))))
    return *losses, *errors, float(len(spreads)), cpu


def _rows(mean: Law, spread: Law, size: int, rng: np.random.Generator) -> tuple[Array, Array]:
    a, b, noise = (rng.standard_normal(size) for _ in range(3))
    return np.column_stack([a, b, mean(a, b) + spread(a, b) * noise]), noise


if __name__ == "__main__":
    main()
