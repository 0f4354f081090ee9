"""Discrete networks: search on secure tables against causal-learn's PC on pooled rows.

The networks are the BIF files of the PyPI package pgmpy 1.1.2, read from an installed copy or
from a wheel (`pip download pgmpy==1.1.2 --no-deps -d DIR`, then PGMPY=DIR). Rows are sampled from
a stated seed, n = 5000, spread over 10 sites at random.
"""

import gzip
import importlib.util
import os
import re
import sys
import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedcausal.data.table import Table
from fedcausal.discovery.algorithms import discover
from fedcausal.discovery.discrete_pc import DiscretePC
from fedcausal.discovery.options import DiscoveryOptions
from fedcausal.discovery.table_search import TableSearch
from fedcausal.gram_totals import block_covariance
from fedcausal.graph import Graph
from fedcausal.statistics.derive import derive_spec, kind_of
from fedcausal.statistics.gram_kind import gram_release, gram_request
from fedcausal.study import Study
from fedcausal_privacy.secure_sum.oracle import plain_sum

NUM_ROWS, NUM_SITES, ALPHA = 5000, 10, 0.01
FRESH_SEEDS = (100, 101, 102)
MODELS = "pgmpy/utils/example_models"
_VARIABLE = re.compile(r"variable\s+(\S+)\s*\{[^{]*\{([^}]*)\}")
_TABLE = re.compile(r"probability\s*\(\s*([^|)\s]+)\s*(?:\|([^)]*))?\)\s*\{([^}]*)\}")
_ROW = re.compile(r"(?:\(([^)]*)\)|table)([^;]*);")


@dataclass(frozen=True)
class Network:
    """Levels, parents and probabilities (one axis per parent, the last for the child)."""

    levels: Mapping[str, tuple[str, ...]]
    parents: Mapping[str, tuple[str, ...]]
    tables: Mapping[str, NDArray[np.float64]]

    def sample(self, num_rows: int, rng: np.random.Generator) -> dict[str, NDArray[np.int64]]:
        """Codes of every variable, by forward sampling."""
        codes: dict[str, NDArray[np.int64]] = {}
        while len(codes) < len(self.levels):
            for name in self.levels:
                if name not in codes and all(p in codes for p in self.parents[name]):
                    rows = self.tables[name][tuple(codes[p] for p in self.parents[name])]
                    rows = np.broadcast_to(rows, (num_rows, len(self.levels[name])))
                    ends = rows.cumsum(axis=1)
                    draws = rng.random((num_rows, 1)) * ends[:, -1:]
                    codes[name] = (draws > ends).sum(axis=1)
        return codes


def read_network(text: str) -> Network:
    """A discrete network from the text of a BIF file."""
    levels = {n: tuple(v.strip() for v in ls.split(",")) for n, ls in _VARIABLE.findall(text)}
    parents, tables = {}, {}
    for child, given, body in _TABLE.findall(text):
        above = tuple(p.strip() for p in given.split(",")) if given else ()
        table = np.zeros([len(levels[p]) for p in above] + [len(levels[child])])
        for values, numbers in _ROW.findall(body):
            chosen = [v.strip() for v in values.split(",")] if values else []
            place = tuple(levels[p].index(v) for p, v in zip(above, chosen, strict=False))
            table[place] = [float(x) for x in numbers.split(",")]
        parents[child], tables[child] = above, table
    return Network(levels, parents, tables)


def load_network(name: str) -> Network:
    """One of pgmpy's example networks."""
    path, folder = f"{MODELS}/{name}.bif.gz", os.environ.get("PGMPY")
    if folder:
        wheel = next(Path(folder).glob("pgmpy-*.whl"))
        with zipfile.ZipFile(wheel) as archive:
            return read_network(gzip.decompress(archive.read(path)).decode())
    found = importlib.util.find_spec("pgmpy")
    if found is None or not found.submodule_search_locations:
        sys.exit(
            "benchmarks.discovery_parts.discrete reads the BIF files of pgmpy: "
            "pip download pgmpy==1.1.2 --no-deps -d /tmp/pgmpy, then set PGMPY=/tmp/pgmpy"
        )
    root = Path(next(iter(found.submodule_search_locations))).parent
    return read_network(gzip.decompress((root / path).read_bytes()).decode())


def study_of(network: Network, *, min_cell: int = 5, **discovery: object) -> Study:
    """A study of a network's variables."""
    return Study.model_validate(
        {
            "variables": {
                name: {"kind": "categorical", "categories": list(levels)}
                for name, levels in network.levels.items()
            },
            "privacy": {"min_cell": min_cell},
            "discovery": {"votes": False, "bootstrap": 0, "alpha": ALPHA, **discovery},
        }
    )


def search_tables(study: Study, sites: list[Table]) -> tuple[DiscretePC | TableSearch, list[int]]:
    """The study's search on tables; its end and the cells of each round."""
    is_pc = study.discovery.algorithm == "pc"
    search: DiscretePC | TableSearch = (DiscretePC if is_pc else TableSearch).begin(study)
    cells = list[int]()
    while search.request is not None:
        request, kind = search.request, kind_of(search.request)
        spec = derive_spec(study, request, max(len(sites), study.privacy.min_sites))
        rng = np.random.default_rng(0)
        vectors = [kind.compute(study, request, site, rng) for site in sites]
        cells.append(spec.length)
        search = search.take(plain_sum(vectors, spec))
    return search, cells


def search_gram(study: Study, sites: list[Table]) -> Graph:
    """The one-round alternative: order search on the Gram of all levels."""
    request = gram_request()
    kind, spec = kind_of(request), derive_spec(study, request, len(sites))
    vectors = [kind.compute(study, request, site, np.random.default_rng(0)) for site in sites]
    totals = gram_release(study, request, plain_sum(vectors, spec), len(sites))
    return discover(
        block_covariance(totals), study.knowledge_base(), DiscoveryOptions(bootstrap=0)
    ).graph


def search_pooled(values: NDArray[np.float64]) -> set[frozenset[int]]:
    """The skeleton of causal-learn's PC with its chi-squared test on pooled rows."""
    from causallearn.search.ConstraintBased.PC import pc

    found = pc(values, ALPHA, "chisq", show_progress=False).G.graph
    return {frozenset(pair) for pair in np.argwhere(found != 0).tolist()}


def f1(found: set[frozenset[int]], true: set[frozenset[int]]) -> float:
    """Harmonic mean of precision and recall."""
    return 2 * len(found & true) / max(len(found) + len(true), 1)


def pairs_of(graph: Graph) -> set[frozenset[int]]:
    """The skeleton as pairs of positions."""
    return {frozenset(map(graph.index, (e.source, e.target))) for e in graph.edges}


def compare(name: str, seed: int, *, quick: bool = False) -> None:
    """Print one line of the table; a quick one leaves BIC and PC on tables out."""
    network = load_network(name)
    study = study_of(network, tests="tables")
    rng = np.random.default_rng(seed)
    codes, schema = network.sample(NUM_ROWS, rng), study.schema()
    whole = Table(schema, np.column_stack([codes[n] for n in schema.names]).astype(float))
    owner = rng.integers(0, NUM_SITES, NUM_ROWS)
    sites = [whole.take(owner == k) for k in range(NUM_SITES)]
    true = {
        frozenset((schema.index(p), schema.index(c)))
        for c, parents in network.parents.items()
        for p in parents
    }
    start = time.process_time()
    search, cells = search_tables(study, sites)
    found = search.discovery()
    seconds = time.process_time() - start
    one = search_tables(study, [whole])[0].discovery()
    is_same = (one.graph, one.score) == (found.graph, found.score)
    start = time.process_time()
    theirs, peer_seconds = search_pooled(whole.values), time.process_time() - start
    variants = (
        None if quick else study_of(network, tests="tables", score="bic"),
        None if quick else study_of(network, tests="tables", algorithm="pc"),
        study_of(network, tests="tables", min_cell=1),
    )
    others = [
        v and f1(pairs_of(search_tables(v, [whole])[0].discovery().graph), true) for v in variants
    ]
    ours, peer = f1(pairs_of(found.graph), true), f1(theirs, true)
    gram = f1(pairs_of(search_gram(study_of(network), sites)), true)
    verdict = "reached" if ours >= peer else "short"
    bic, pc, unrestricted = ("-" if score is None else f"{score:.3f}" for score in others)
    print(
        f"{name:10s} {seed:4d} {ours:7.3f} {peer:12.3f} {verdict:>8s}"
        f" {bic:>6s} {pc:>6s} {unrestricted:>10s} {gram:8.3f}"
        f" {'yes' if is_same else 'NO':>7s} {len(cells):7d} {max(cells):9d}"
        f" {seconds:7.1f} {peer_seconds:7.1f}",
        flush=True,
    )


def table(quick: bool) -> None:
    """Skeleton F1 by network; reach: tables >= causal-learn, and split = one site."""
    print(
        f"Discrete networks: skeleton F1, n = {NUM_ROWS}, {NUM_SITES} sites, alpha = {ALPHA}, "
        "min_cell = 5"
    )
    print("reach: BDeu >= causal-learn (PC, chi2, pooled rows); 10 sites = 1 site, bit for bit")
    print("min_cell 1: BDeu with nothing withheld, to show what the cell rule costs")
    print(
        "candidates and penalty were chosen on insurance and alarm, seed 0, "
        "completion on insurance, seeds 0-2 (decision 0010); "
        f"seeds {FRESH_SEEDS[0]}-{FRESH_SEEDS[-1]} chose nothing"
    )
    print(
        f"{'network':10s} seed    BDeu causal-learn  verdict    BIC     PC min_cell 1  one-hot"
        " 10 = 1?  rounds max cells   CPU s  peer s"
    )
    for name in ("asia", "child", "insurance", "alarm"):
        for seed in FRESH_SEEDS[: 1 if quick else None]:
            compare(name, seed, quick=quick)


def main() -> None:
    """Print the table; `--quick` takes one seed of each network."""
    table("--quick" in sys.argv)


if __name__ == "__main__":
    main()
