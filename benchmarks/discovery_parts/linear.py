"""The order search against flopsearch and causal-learn on linear Gaussian graphs.

python benchmarks/discovery_parts/linear.py [--quick] [--graphs N] [--kinds er,sf] [--sizes 50,100]

Random DAGs of average degree 3, n = 2000, weights 0.3 to 1 with random signs, unit noise,
variables in random order. `er`: each pair joined with equal probability. `sf`: Barabasi-Albert,
directed along a random causal order. `hub`: the same, directed from the earlier node to the later
one: hubs are causes; it is harder, and an extra that no reach is set for. Everyone searches with
penalty 2, which the authors of flopsearch recommend, and gets the same covariance; causal-learn
gets the rows. flopsearch draws random numbers that no seed reaches: its figures are means of
several runs on each graph. `difference` is ours less flopsearch's, graph by graph, with its
standard error; ten graphs cannot tell an edge more from an edge less. `tiers` is the order search
that knows four true tiers; its errors are counted against the class that the tiers leave. CPU
seconds are of one search alone, kernels loaded before; `over flop` and `over truth` are by how
much our graph's BIC exceeds that of flopsearch's graphs and of the true one.
"""

import argparse
import contextlib
import io
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import TypeVar

import flopsearch
import numpy as np
from numpy.typing import NDArray

from fedcausal.discovery.flop import surrogate_rows
from fedcausal.discovery.knowledge import Knowledge
from fedcausal.discovery.options import DiscoveryOptions
from fedcausal.discovery.order_search import order_search
from fedcausal.equivalence import cpdag_of, extension
from fedcausal.evaluation.graph_distance import structural_hamming_distance
from fedcausal.graph import Graph
from fedcausal.moments.covariance import BlockCovariance
from fedcausal.scores.score import BlockScore

Matrix = NDArray[np.float64]
T = TypeVar("T")

DEGREE, NUM_ROWS, FIRST_SEED, PENALTY, RESTARTS = 3, 2000, 5000, 2.0, 20
GRAPHS = {20: 40, 50: 40, 100: 30, 200: 10}
FLOP_RUNS = 3
OPTIONS = DiscoveryOptions(penalty=PENALTY, restarts=RESTARTS)
DEFAULTS = DiscoveryOptions(penalty=PENALTY)


@dataclass(frozen=True)
class Case:
    """Rows of a random DAG, their covariance, the DAG, and four true tiers."""

    dag: Graph
    rows: Matrix
    statistics: BlockCovariance
    tiers: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Figures:
    """What one graph gave: errors, CPU seconds, scores over those of the peer and of the truth."""

    flop: float
    ours: int
    tiers: int
    flop_cpu: float
    ours_cpu: float
    tiers_cpu: float
    over_flop: float
    over_truth: float


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="3 graphs, d = 20 and 50")
    parser.add_argument("--graphs", type=int, help=f"of each row; without: {GRAPHS}")
    parser.add_argument("--kinds", type=lambda text: text.split(","), default=["er", "sf"])
    parser.add_argument("--sizes", type=lambda text: [int(part) for part in text.split(",")])
    given = parser.parse_args()
    if given.graphs is None and given.sizes is None:
        sys.exit(0 if table(given.quick) else 1)
    plan = {size: given.graphs or GRAPHS[size] for size in given.sizes or GRAPHS}
    _head()
    holds = [_row(kind, size, n) for kind in given.kinds for size, n in plan.items()]
    sys.exit(0 if all(holds) else 1)


def table(quick: bool) -> bool:
    """Errors and CPU seconds per kind and size, with the ratio to each peer; whether all hold."""
    plan = {20: 3, 50: 3} if quick else GRAPHS
    _head()
    holds = [_row(kind, size, count) for kind in ("er", "sf") for size, count in plan.items()]
    for size in (20, 50) if quick else (20, 50, 100):
        _row("hub", size, min(10, plan[size]))
    return all([*holds, _causal_learn(quick)])


def _head() -> None:
    _say(
        f"linear: degree {DEGREE}, n={NUM_ROWS}, penalty {PENALTY:g}, {RESTARTS} restarts, seeds "
        f"from {FIRST_SEED}, flopsearch {FLOP_RUNS} times each\n"
        f"reach: SHD to the CPDAG <= 1.05 x flop, CPU <= 5 x flop (d = 100), tiers: SHD no worse "
        f"and CPU no more than without"
    )
    _say(
        f"{'kind':<5}{'d':>4}{'graphs':>7} |{'SHD flop':>9}{'ours':>7}{'difference':>15}"
        f"{'tiers':>7} |{'CPU flop':>9}{'ours':>8}{'tiers':>8}{'ours/flop':>10}"
        f"{'tiers/ours':>11} |{'over flop':>10}{'truth':>7}  reached"
    )
    order_search(case("er", 20, 0).statistics, _nothing(20), OPTIONS)


def case(kind: str, size: int, seed: int) -> Case:
    """Draw a DAG, its weights and its rows."""
    rng = np.random.default_rng([seed, size, ("er", "sf", "hub").index(kind)])
    present = _erdos_renyi(size, rng) if kind == "er" else _barabasi_albert(size, rng)
    if kind == "sf":
        turned = rng.permutation(size)
        present = np.triu((present | present.T)[np.ix_(turned, turned)], 1)
    weights = present * rng.uniform(0.3, 1.0, (size, size)) * rng.choice([-1, 1], (size, size))
    rows = rng.standard_normal((NUM_ROWS, size))
    for j in range(size):
        rows[:, j] += rows @ weights[:, j]
    labels = [f"v{i:03d}" for i in rng.permutation(size)]
    names = tuple(sorted(labels))
    columns = np.argsort(labels)
    statistics = BlockCovariance(
        names=names,
        blocks={name: (i,) for i, name in enumerate(names)},
        covariance=np.corrcoef(rows[:, columns].T),
        num_records=np.full((size, size), NUM_ROWS - 1.0),
    )
    edges = [(labels[i], labels[j]) for i, j in np.argwhere(present)]
    cuts = np.linspace(0, size, 5).astype(int)
    tiers = tuple(tuple(labels[a:b]) for a, b in pairwise(cuts))
    return Case(
        dag=Graph.dag(names, edges), rows=rows[:, columns], statistics=statistics, tiers=tiers
    )


def _row(kind: str, size: int, count: int) -> bool:
    found = [_figures(case(kind, size, FIRST_SEED + k)) for k in range(count)]
    mean = {
        f.name: float(np.mean([getattr(one, f.name) for one in found])) for f in fields(Figures)
    }
    differences = np.array([one.ours - one.flop for one in found])
    error = differences.std(ddof=1) / np.sqrt(count)
    reached = {
        "shd": mean["ours"] <= 1.05 * mean["flop"] + 1e-9,
        "cpu": mean["ours_cpu"] <= 5 * mean["flop_cpu"],
        "tiers-shd": mean["tiers"] <= mean["ours"] + 1e-9,
        "tiers-cpu": mean["tiers_cpu"] <= mean["ours_cpu"],
    }
    verdict = "extra " * (kind == "hub") + " ".join(
        f"{name}:{'yes' if fine else 'MISSED'}" for name, fine in reached.items()
    )
    _say(
        f"{kind:<5}{size:>4}{count:>7} |{mean['flop']:>9.2f}{mean['ours']:>7.2f}"
        f"{f'{differences.mean():+.2f} +- {error:.2f}':>15}{mean['tiers']:>7.2f} |"
        f"{mean['flop_cpu']:>9.3f}{mean['ours_cpu']:>8.3f}{mean['tiers_cpu']:>8.3f}"
        f"{mean['ours_cpu'] / mean['flop_cpu']:>10.2f}"
        f"{mean['tiers_cpu'] / mean['ours_cpu']:>11.2f} |"
        f"{mean['over_flop']:>10.2f}{mean['over_truth']:>7.2f}  {verdict}"
    )
    return all(reached.values())


def _figures(drawn: Case) -> Figures:
    truth, names = cpdag_of(drawn.dag), drawn.dag.nodes
    score = BlockScore.from_covariance(drawn.statistics, penalty=PENALTY)
    found, ours_cpu = _timed(lambda: order_search(drawn.statistics, _nothing(len(names)), OPTIONS))
    known = Knowledge(nodes=names, tiers=drawn.tiers)
    tiered, tiers_cpu = _timed(lambda: order_search(drawn.statistics, known, OPTIONS))
    flops = [_flop(drawn) for _ in range(FLOP_RUNS)]
    return Figures(
        flop=float(np.mean([structural_hamming_distance(graph, truth) for graph, _ in flops])),
        ours=structural_hamming_distance(found.graph, truth),
        tiers=structural_hamming_distance(tiered.graph, cpdag_of(drawn.dag, known)),
        flop_cpu=float(np.mean([cpu for _, cpu in flops])),
        ours_cpu=ours_cpu,
        tiers_cpu=tiers_cpu,
        over_flop=found.score
        - float(np.mean([score.total(extension(graph)) for graph, _ in flops])),
        over_truth=found.score - score.total(drawn.dag),
    )


def _flop(drawn: Case) -> tuple[Graph, float]:
    """The graph of one run of flopsearch, and its CPU seconds."""
    rows = surrogate_rows(drawn.statistics)
    size, records = len(rows), NUM_ROWS - 1.0
    penalty = float(PENALTY * np.log(records) / records * size / np.log(size))
    marks, cpu = _timed(lambda: flopsearch.flop(rows, penalty, restarts=RESTARTS))
    return _graph(drawn.dag.nodes, np.asarray(marks)), cpu


def _causal_learn(quick: bool) -> bool:
    """CPU of causal-learn on the pooled rows against ours, both on Erdos-Renyi graphs."""
    holds = True
    _say(
        f"reach: CPU of causal-learn's PC and GES (its default alpha and score) >= 10 x ours "
        f"(penalty {PENALTY:g}, the default {DEFAULTS.restarts} restarts)"
    )
    _say(
        f"{'d':>4} {'peer':<5}{'graphs':>7}{'CPU peer':>10}{'ours':>8}{'peer/ours':>10}"
        f"{'SHD peer':>9}{'ours':>7}  reached"
    )
    plan = [(20, "pc", 3), (20, "ges", 3), (50, "pc", 2), (50, "ges", 1), (100, "pc", 1)]
    for size, peer, count in plan[:2] if quick else plan:
        figures = []
        for k in range(count):
            drawn = case("er", size, FIRST_SEED + k)
            nothing, truth = _nothing(size), cpdag_of(drawn.dag)
            run = _peer(peer, drawn)
            marks, peer_cpu = _timed(run)
            ours, ours_cpu = _timed(
                lambda drawn=drawn, nothing=nothing: order_search(
                    drawn.statistics, nothing, DEFAULTS
                )
            )
            figures.append(
                [
                    peer_cpu,
                    ours_cpu,
                    _distance(marks, truth),
                    structural_hamming_distance(ours.graph, truth),
                ]
            )
        theirs, own, peer_shd, own_shd = np.mean(figures, axis=0).tolist()
        _say(
            f"{size:>4} {peer:<5}{count:>7}{theirs:>10.2f}{own:>8.3f}{theirs / own:>10.1f}"
            f"{peer_shd:>9.1f}{own_shd:>7.1f}  {'yes' if theirs >= 10 * own else 'MISSED'}"
        )
        holds = holds and theirs >= 10 * own
    return holds


def _peer(peer: str, drawn: Case) -> Callable[[], NDArray[np.int64]]:
    from causallearn.search.ConstraintBased.PC import pc
    from causallearn.search.ScoreBased.GES import ges

    def run() -> NDArray[np.int64]:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            if peer == "pc":
                ends = pc(drawn.rows, show_progress=False).G.graph
            else:
                ends = ges(drawn.rows)["G"].graph
        # causal-learn: entry [j, i] = 1 and [i, j] = -1 is i -> j; -1 twice is i -- j.
        marks = np.where((ends == -1) & (ends.T == 1), 1, np.where((ends == -1), 2, 0))
        marks[(ends == 1) & (ends.T == 1)] = 2
        return marks

    return run


def _distance(marks: NDArray[np.int64], truth: Graph) -> int:
    """Pairs whose marks differ; PC's marks may form a cycle, which no graph value can hold."""
    expected = np.zeros_like(marks)
    place = {name: i for i, name in enumerate(truth.nodes)}
    for parent, child in truth.directed_edges:
        expected[place[parent], place[child]] = 1
    for first, second in truth.undirected_edges:
        expected[place[first], place[second]] = expected[place[second], place[first]] = 2
    differs = (marks != expected) | (marks != expected).T
    return int(np.triu(differs, 1).sum())


def _graph(names: tuple[str, ...], marks: NDArray[np.int64]) -> Graph:
    """From entries 1 (row -> column) and 2 (undirected)."""
    return Graph.cpdag(
        names,
        [(names[i], names[j]) for i, j in np.argwhere(marks == 1).tolist()],
        [(names[i], names[j]) for i, j in np.argwhere(marks == 2).tolist() if i < j],
    )


def _nothing(size: int) -> Knowledge:
    return Knowledge(nodes=tuple(f"v{i:03d}" for i in range(size)))


def _erdos_renyi(size: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    return np.triu(rng.random((size, size)) < DEGREE / (size - 1), 1)


def _barabasi_albert(size: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Each new node joins one or two earlier ones (half of the degree on average)."""
    present, degrees = np.zeros((size, size), dtype=np.bool_), np.ones(size)
    for j in range(1, size):
        number = min(j, DEGREE // 2 + int(rng.random() < DEGREE % 2 / 2))
        chosen = rng.choice(j, size=number, replace=False, p=degrees[:j] / degrees[:j].sum())
        present[chosen, j] = True
        degrees[chosen] += 1
        degrees[j] += number
    return present


def _timed(run: Callable[[], T]) -> tuple[T, float]:
    started = time.process_time()
    result = run()
    return result, time.process_time() - started


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
