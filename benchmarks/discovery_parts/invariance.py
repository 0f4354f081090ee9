"""What must not change a graph: units, the order of columns and of arrivals, who holds a row.

python benchmarks/discovery_parts/invariance.py [--quick]

Linear Gaussian mechanisms, d = 10, expected degree 3, 1000 rows over 10 sites, pool mode, linear
basis; the sums are the sites' integer vectors, added in the clear. Each cell counts the graphs,
marks and all, that stay the same:

    units      every column times its own factor (1e-3 to 1e3), its bounds as well
    columns    the variables of the covariance in another order
    arrival    the sites' vectors added in another order
    sites      the same rows over 3 and over 100 sites, dealt anew
    again      (control) nothing changes; `flop` draws random numbers that no seed reaches
    names      (no reach) variables renamed, which changes the order of ties and of random moves
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from fedcausal.data.table import Table
from fedcausal.discovery.algorithms import discover
from fedcausal.discovery.options import Algorithm, DiscoveryOptions
from fedcausal.graph import Graph
from fedcausal.moments.covariance import BlockCovariance
from fedcausal.moments.gram_totals import block_covariance
from fedcausal.statistics.derive import derive_spec
from fedcausal.statistics.gram_kind import GramKind, gram_release, gram_request
from fedcausal.study import Study
from fedcausal_privacy.secure_sum.oracle import plain_sum

Matrix = NDArray[np.float64]

SIZE, DEGREE, NUM_ROWS, NUM_SITES, FIRST_SEED = 10, 3, 1000, 10, 3000
CHANGES = ("again", "units", "columns", "arrival", "3 sites", "100 sites", "names")


@dataclass(frozen=True)
class Rows:
    """Pooled rows with their bounds; names are x0, x1, ... in column order."""

    values: Matrix
    bound: Matrix
    names: tuple[str, ...]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="3 graphs instead of 20")
    table(parser.parse_args().quick)


def table(quick: bool) -> bool:
    """One row per algorithm: how many graphs stay the same; whether all do under each change."""
    count = 3 if quick else 20
    _say(
        f"invariance: {count} graphs, d={SIZE}, degree {DEGREE}, n={NUM_ROWS}, pool mode, seeds "
        f"from {FIRST_SEED}; graphs that stay the "
        f"same (reach {count}/{count}; flop: as often as again; names: no reach)"
    )
    _say(
        f"{'algorithm':<14}"
        + "".join(f"{change:>11}" for change in CHANGES)
        + f"{'wall s':>9}  reached"
    )
    changed = [_changed(FIRST_SEED + k) for k in range(count)]
    holds = True
    for algorithm in get_args(Algorithm):
        started = time.perf_counter()
        same = dict.fromkeys(CHANGES, 0)
        for original, others in changed:
            graph = _graph(original, algorithm)
            for change in CHANGES:
                same[change] += _same(graph, others[change](algorithm))
        cells = "".join(f"{f'{same[change]}/{count}':>11}" for change in CHANGES)
        reached = all(same[change] == count for change in CHANGES if change != "names")
        reached = reached or algorithm == "flop"
        verdict = "random" if algorithm == "flop" else "yes" if reached else "MISSED"
        _say(f"{algorithm:<14}{cells}{time.perf_counter() - started:>9.1f}  {verdict}")
        holds = holds and reached
    return holds


def _changed(
    seed: int,
) -> tuple[BlockCovariance, dict[str, Callable[[Algorithm], Graph]]]:
    rng = np.random.default_rng(seed)
    rows = _rows(rng)
    original = _statistics(rows, _dealt(NUM_ROWS, NUM_SITES, rng))
    factor = 10.0 ** rng.uniform(-3, 3, SIZE)
    scaled = replace(rows, values=rows.values * factor, bound=rows.bound * factor)
    sites = _dealt(NUM_ROWS, NUM_SITES, rng)
    shuffled = [sites[i] for i in rng.permutation(NUM_SITES)]
    places = rng.permutation(SIZE).tolist()
    back = {f"x{places.index(k)}": f"x{k}" for k in range(SIZE)}
    renamed = replace(rows, names=tuple(f"x{places.index(k)}" for k in range(SIZE)))
    others = {
        "again": original,
        "units": _statistics(scaled, sites),
        "columns": _reordered(original, places),
        "arrival": _statistics(rows, shuffled),
        "3 sites": _statistics(rows, _dealt(NUM_ROWS, 3, rng)),
        "100 sites": _statistics(rows, _dealt(NUM_ROWS, 100, rng)),
    }
    learn: dict[str, Callable[[Algorithm], Graph]] = {
        change: lambda algorithm, found=found: _graph(found, algorithm)
        for change, found in others.items()
    }
    again = _statistics(renamed, sites)
    learn["names"] = lambda algorithm: _renamed(_graph(again, algorithm), back)
    return original, learn


def _graph(statistics: BlockCovariance, algorithm: Algorithm) -> Graph:
    knowledge = _study(_rows_like(statistics.names)).knowledge_base()
    return discover(statistics, knowledge, DiscoveryOptions(algorithm=algorithm)).graph


def _rows_like(names: Sequence[str]) -> Rows:
    return Rows(np.empty((0, len(names))), np.ones(len(names)), tuple(names))


def _same(first: Graph, second: Graph) -> bool:
    """Equal edges and marks, whatever the order of the nodes."""
    return set(_plain(first)) == set(_plain(second))


def _plain(graph: Graph) -> list[tuple[str, str, str]]:
    edges = [*graph.edges, *(edge.reversed() for edge in graph.edges)]
    return [(edge.source, edge.sign, edge.target) for edge in edges]


def _renamed(graph: Graph, names: dict[str, str]) -> Graph:
    edges = tuple(
        replace(edge, source=names[edge.source], target=names[edge.target]) for edge in graph.edges
    )
    return Graph(kind=graph.kind, nodes=tuple(names[n] for n in graph.nodes), edges=edges)


def _reordered(statistics: BlockCovariance, places: Sequence[int]) -> BlockCovariance:
    """The same covariance, its variables and its rows in another order."""
    names = tuple(statistics.names[i] for i in places)
    rows = [statistics.blocks[name][0] for name in names]
    return BlockCovariance(
        names=names,
        blocks={name: (k,) for k, name in enumerate(names)},
        covariance=statistics.covariance[np.ix_(rows, rows)],
        num_records=statistics.num_records[np.ix_(places, places)],
    )


def _rows(rng: np.random.Generator) -> Rows:
    present = np.triu(rng.random((SIZE, SIZE)) < DEGREE / (SIZE - 1), 1)
    weights = present * rng.uniform(0.4, 1.0, (SIZE, SIZE)) * rng.choice([-1, 1], (SIZE, SIZE))
    values = np.zeros((NUM_ROWS, SIZE))
    for j in range(SIZE):
        values[:, j] = values @ weights[:, j] + rng.standard_normal(NUM_ROWS)
    order = rng.permutation(SIZE)
    values = values[:, order]
    names = tuple(f"x{k}" for k in range(SIZE))
    return Rows(values, 1.1 * np.abs(values).max(axis=0), names)


def _dealt(num_rows: int, num_sites: int, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """Row numbers per site, of unequal sizes."""
    owner = np.concatenate([np.arange(num_sites), rng.integers(num_sites, size=num_rows)])
    owner = rng.permutation(owner[:num_rows])
    return [np.flatnonzero(owner == site) for site in range(num_sites)]


def _study(rows: Rows) -> Study:
    variables = {
        name: {"kind": "continuous", "bounds": [-float(b), float(b)]}
        for name, b in zip(rows.names, rows.bound, strict=True)
    }
    return Study.model_validate({"variables": variables, "discovery": {"site_effects": "pool"}})


def _statistics(rows: Rows, sites: Sequence[NDArray[np.int64]]) -> BlockCovariance:
    """The covariance of the sites' summed integer vectors."""
    study, request, kind = _study(rows), gram_request(), GramKind()
    columns = [rows.names.index(name) for name in study.schema().names]
    vectors = [
        kind.compute(
            study,
            request,
            Table(study.schema(), rows.values[np.ix_(chosen, columns)]),
            np.random.default_rng(0),
        )
        for chosen in sites
    ]
    released = plain_sum(vectors, derive_spec(study, request, len(sites)))
    return block_covariance(gram_release(study, request, released, len(sites)))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
