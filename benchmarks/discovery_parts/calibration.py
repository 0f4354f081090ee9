"""Edge probabilities: are they right as often as they say? Wishart draws against replicates.

Random graphs over 8 variables, 10 sites x 300 rows, every edge weight weak enough to be missed;
40 resamples, or as many as the release cap allows. The truth is whether a pair is joined.
"""

import sys
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fedcausal.data.table import Table
from fedcausal.discovery.options import DiscoveryOptions
from fedcausal.discovery.stability import edge_probabilities
from fedcausal.moments.gram_totals import block_covariance
from fedcausal.statistics.derive import derive_spec, kind_of
from fedcausal.statistics.gram_kind import gram_release, gram_request
from fedcausal.statistics.kind import Request
from fedcausal.statistics.replicates_kind import (
    most_replicates,
    replicates_release,
    replicates_request,
)
from fedcausal.study import Study
from fedcausal_privacy.secure_sum.oracle import plain_sum
from fedcausal_privacy.statistic_spec import Released

NUM_VARIABLES, NUM_SITES, ROWS, RESAMPLES = 8, 10, 300, 40
BOUND = 40.0
Vector = NDArray[np.float64]


def study_of(kind: str) -> Study:
    """A study of continuous, heavy-tailed or binary variables."""
    variable = {"kind": "binary"} if kind == "binary" else {"kind": "continuous"}
    bounds = {} if kind == "binary" else {"bounds": [-BOUND, BOUND]}
    return Study.model_validate(
        {"variables": {f"x{i}": {**variable, **bounds} for i in range(NUM_VARIABLES)}}
    )


def sites_of(study: Study, kind: str, seed: int) -> tuple[list[Table], NDArray[np.bool_]]:
    """Rows of a random linear (binary: logistic) network, and which pairs are joined."""
    rng = np.random.default_rng(seed)
    present = np.triu(rng.random((NUM_VARIABLES, NUM_VARIABLES)) < 0.35, 1)
    weights = present * rng.uniform(0.03, 0.2, present.shape) * rng.choice([-1, 1], present.shape)
    size = NUM_SITES * ROWS
    values = np.zeros((size, NUM_VARIABLES))
    for j in range(NUM_VARIABLES):
        mean = values @ weights[:, j]
        if kind == "binary":
            values[:, j] = rng.random(size) < 1 / (1 + np.exp(-4 * (mean - 0.3)))
        elif kind == "heavy tails":
            values[:, j] = mean + np.clip(rng.standard_t(3, size), -15, 15)
        else:
            values[:, j] = mean + rng.standard_normal(size)
    owner = rng.integers(0, NUM_SITES, size)
    schema = study.schema()
    return [Table(schema, values[owner == k]) for k in range(NUM_SITES)], present | present.T


def released(study: Study, request: Request, sites: list[Table], seed: int) -> Released:
    """The total of a request, with the cell rule."""
    kind = kind_of(request)
    rngs = np.random.default_rng([seed, 9]).spawn(len(sites))
    vectors = [
        kind.compute(study, request, site, rng) for site, rng in zip(sites, rngs, strict=True)
    ]
    return plain_sum(vectors, derive_spec(study, request, len(sites)))


def probabilities(kind: str, seed: int) -> tuple[Vector, Vector, Vector, int]:
    """Truth, Wishart shares and replicate shares of all pairs, and the number of replicates."""
    study = study_of(kind)
    sites, joined = sites_of(study, kind, seed)
    request, num_sites = gram_request(), len(sites)
    totals = gram_release(study, request, released(study, request, sites, seed), num_sites)
    statistics, knowledge = block_covariance(totals), study.knowledge_base()
    options = DiscoveryOptions(bootstrap=RESAMPLES, seed=seed)
    draws = edge_probabilities(statistics, knowledge, options)
    most = most_replicates(study, request, totals.num_rows, num_sites)
    asked = replicates_request(request, min(RESAMPLES, most), totals.num_rows)
    replicates = [
        block_covariance(r)
        for r in replicates_release(study, asked, released(study, asked, sites, seed), num_sites)
    ]
    rows = edge_probabilities(
        statistics, knowledge, replace(options, bootstrap=0), replicates=replicates
    )
    upper = np.triu_indices(NUM_VARIABLES, 1)
    return (
        joined[upper].astype(float),
        draws.adjacent[upper],
        rows.adjacent[upper],
        len(replicates),
    )


def reliability(truth: Vector, shares: Vector) -> str:
    """Observed frequency of an edge in five bins of its probability, with the pairs in each."""
    bins = np.minimum((shares * 5).astype(int), 4)
    cells = []
    for k in range(5):
        inside = bins == k
        cells.append(f"{truth[inside].mean():.2f} ({inside.sum():3d})" if inside.any() else "-")
    return "  ".join(f"{cell:>10s}" for cell in cells)


def table(quick: bool) -> None:
    """Brier scores and reliability curves."""
    num_graphs = 5 if quick else 20
    print(
        f"Edge probabilities: {num_graphs} graphs (seeds 0..), {NUM_VARIABLES} variables, "
        f"{NUM_SITES} sites x {ROWS} rows, {RESAMPLES} resamples"
    )
    print("reach: none stated; observed frequency of edges by stated probability, pairs in ()")
    bins = "  ".join(f"{text:>10s}" for text in ("0-.2", ".2-.4", ".4-.6", ".6-.8", ".8-1"))
    print(f"{'rows':12s} {'resampling':14s}  Brier  {bins}")
    for kind in ("gaussian", "heavy tails", "binary"):
        found = [probabilities(kind, seed) for seed in range(num_graphs)]
        truth, draws, rows = (np.concatenate([f[k] for f in found]) for k in range(3))
        name = f"poisson x {min(f[3] for f in found)}"
        for label, shares in (("wishart", draws), (name, rows)):
            brier = np.mean((shares - truth) ** 2)
            print(f"{kind:12s} {label:14s} {brier:.4f}  {reliability(truth, shares)}", flush=True)


def main() -> None:
    """Print the table; `--quick` takes fewer graphs."""
    table("--quick" in sys.argv)


if __name__ == "__main__":
    main()
