"""Discrete networks under an epsilon: the noisy one-hot Gram beside noisy contingency tables.

python benchmarks/privacy_parts/tables.py [--quick]

asia (8 variables of 2 levels) and child (20 of 2 to 6) from pgmpy's BIF files, as in
`discovery_parts/discrete.py`: n = 5000, 10 sites, 3 of which may collude, delta 1e-5. F1 of the
skeleton, as a share of the non-private search on tables (order-search, BDeu). Noise of a seed.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "discovery_parts"))

from discrete import load_network, search_tables, study_of

from fedcausal.data.table import Table
from fedcausal.discovery.algorithms import discover
from fedcausal.discovery.noisy_table_pc import NoisyTablePC
from fedcausal.graph import Graph
from fedcausal.private.noisy_totals import noisy_covariance
from fedcausal.statistics.derive import derive_spec, kind_of
from fedcausal.statistics.kind import PrivateKind, Request
from fedcausal.statistics.noisy_gram_kind import noisy_gram_release, noisy_gram_request
from fedcausal.statistics.scale_kind import scale_release, scale_request
from fedcausal.steps.graph import options_of
from fedcausal.study import Study
from fedcausal_privacy.disclosure.cell_rule import apply_cell_rule
from fedcausal_privacy.statistic_spec import Released

NUM_ROWS, NUM_SITES, FIRST_SEED = 5000, 10, 6000
EPSILONS = (1.0, 3.0, 8.0)
WAYS = ("gram", "gram, pc", "tables, pc")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="asia, 2 samples")
    table(parser.parse_args().quick)


def table(quick: bool) -> None:
    """Share of the non-private F1 by epsilon, for each way to learn."""
    count = 2 if quick else 3
    _say(f"discrete: {count} samples each, n = {NUM_ROWS}, {NUM_SITES} sites, seeds {FIRST_SEED}+")
    _say(f"{'network':>8}{'eps':>5} |{'F1 exact':>9} |" + "".join(f"{w:>12}" for w in WAYS))
    for name in ("asia",) if quick else ("asia", "child"):
        network = load_network(name)
        pairs = {frozenset((a, b)) for b, above in network.parents.items() for a in above}
        samples = [
            network.sample(NUM_ROWS, np.random.default_rng([FIRST_SEED, k])) for k in range(count)
        ]
        exact = float(np.mean([_f1(_exact(study_of(network), s), pairs) for s in samples]))
        for epsilon in EPSILONS:
            started = time.process_time()
            shares = [
                np.mean([_f1(_learnt(study_of(network), s, epsilon, w), pairs) for s in samples])
                / exact
                for w in WAYS
            ]
            seconds = (time.process_time() - started) / count
            _say(
                f"{name:>8}{epsilon:>5g} |{exact:>9.3f} |"
                + "".join(f"{share:>12.3f}" for share in shares)
                + f"   {seconds:.1f} CPU s a sample"
            )


def _exact(study: Study, sample: dict[str, "np.ndarray"]) -> Graph:  # type: ignore[type-arg]
    search, _ = search_tables(study, _sites(study, sample))
    return search.discovery().graph


def _learnt(study: Study, sample: dict[str, "np.ndarray"], epsilon: float, way: str) -> Graph:  # type: ignore[type-arg]
    content = study.to_json()
    content["privacy"] = {"graph": {"epsilon": epsilon}}
    content["discovery"] |= {
        "algorithm": "pc" if way.endswith("pc") else "order-search",
        "tests": "tables" if way.startswith("tables") else "gram",
    }
    private = Study.model_validate(content)
    sites, rng = _sites(private, sample), np.random.default_rng([FIRST_SEED, int(epsilon)])
    if way.startswith("tables"):
        search = NoisyTablePC.begin_private(private, NUM_SITES)
        while search.request is not None:
            search = search.take(_noisy(private, search.request, sites, rng))
        return search.discovery().graph
    first = scale_request()
    scales = scale_release(private, first, _noisy(private, first, sites, rng), NUM_SITES)
    second = noisy_gram_request(private, scales, NUM_SITES)
    released = _noisy(private, second, sites, rng)
    totals = noisy_gram_release(private, second, released, NUM_SITES)
    statistics, options = noisy_covariance(totals), options_of(private, 0)
    return discover(statistics, private.knowledge_base(), options).graph


def _noisy(
    study: Study, request: Request, sites: list[Table], rng: np.random.Generator
) -> Released:
    kind = kind_of(request)
    if not isinstance(kind, PrivateKind):
        raise TypeError(request.kind)
    vectors = [
        kind.compute_private(
            study,
            request,
            site,
            num_sites=NUM_SITES,
            noise=lambda s: np.rint(s * rng.standard_normal(s.size)).astype(np.int64),
        )
        for site in sites
    ]
    return apply_cell_rule(np.sum(vectors, axis=0), derive_spec(study, request, NUM_SITES))


def _sites(study: Study, sample: dict[str, "np.ndarray"]) -> list[Table]:  # type: ignore[type-arg]
    schema = study.schema()
    values = np.column_stack([sample[name] for name in schema.names]).astype(float)
    return [Table(schema, part) for part in np.array_split(values, NUM_SITES)]


def _f1(graph: Graph, pairs: set[frozenset[str]]) -> float:
    found = {frozenset((edge.source, edge.target)) for edge in graph.edges}
    return 2 * len(found & pairs) / max(len(found) + len(pairs), 1)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
