"""Many variables, many sites: time and memory of the search and of the coordinator.

python benchmarks/discovery_parts/scale.py [--quick]

First table: linear Gaussian graphs of degree 3 as in the `linear` table (`hub`: Barabasi-Albert
hubs are causes), n = 2000, penalty 2, default restarts; one process per graph, kernels loaded from
their cache, its peak memory with all imports.

Second table: one round of the secure sum of a Gram of p numeric features (masks, BFV, signatures,
all roles in one process). The coordinator's part is what runs there: adding the ciphertexts and
opening the released totals; its search is the first table's. Vectors are uniform integers: neither
masks nor ciphers depend on the values, and their length does not depend on the rows of a site.
"""

import argparse
import multiprocessing
import resource
import sys
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np

from fedcausal.discovery.knowledge import Knowledge
from fedcausal.discovery.options import DiscoveryOptions
from fedcausal.discovery.order_search import order_search
from fedcausal.equivalence import cpdag_of
from fedcausal.evaluation.graph_distance import structural_hamming_distance
from fedcausal_privacy.secure_sum import aggregator
from fedcausal_privacy.secure_sum.in_process import SecureSum
from fedcausal_privacy.statistic_spec import StatisticSpec

SEED = 6000

# The search uses one core, so its CPU seconds say what its wall would be on a machine of its own.
REACH_SECONDS, REACH_MEGABYTES = 600.0, 2000.0

# Twice and four times the sites may cost each site's part of the coordinator so much more.
REACH_GROWTH = 1.5


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="d = 200; p = 100, up to 20 sites")
    table(parser.parse_args().quick)


def table(quick: bool) -> bool:
    """The search alone, then the coordinator of many sites; whether both hold."""
    _say(
        f"scale: one search, seed {SEED}; reach at d=500: under {REACH_SECONDS:g} s, under "
        f"{REACH_MEGABYTES / 1000:g} GB"
    )
    _say(
        f"{'kind':<5}{'d':>4} |{'wall s':>8}{'CPU s':>8}{'peak MB':>9}{'SHD':>5}"
        f"{'edges':>7}  reached"
    )
    holds = list[bool]()
    for size in (200,) if quick else (200, 500):
        for kind in ("er", "hub"):
            found = _alone(_search, kind, size)
            holds.append(found["cpu"] < REACH_SECONDS and found["peak"] < REACH_MEGABYTES)
            _say(
                f"{kind:<5}{size:>4} |{found['wall']:>8.1f}{found['cpu']:>8.1f}"
                f"{found['peak']:>9.0f}{found['shd']:>5.0f}{found['edges']:>7.0f}"
                f"  {'yes' if holds[-1] else 'MISSED'}"
            )
    features, plan = (100, (5, 10, 20)) if quick else (500, (25, 50, 100))
    _say(
        f"scale: secure sum of a Gram of p={features} features; reach: the coordinator's CPU "
        f"linear in sites (at most {REACH_GROWTH:g} x a site), none in rows"
    )
    _say(
        f"{'sites':>5} |{'all roles s':>12}{'coordinator s':>14}{'share':>7}{'per site ms':>12}"
        f"{'received MB':>12}{'peak MB':>9}  reached"
    )
    first = 0.0
    for num_sites in plan:
        found = _alone(_sum, num_sites, features)
        own = found["coordinator"]
        first = first or own / num_sites
        holds.append(own / num_sites <= REACH_GROWTH * first)
        _say(
            f"{num_sites:>5} |{found['all']:>12.1f}{own:>14.2f}{own / found['all']:>7.1%}"
            f"{1e3 * own / num_sites:>12.1f}{found['received']:>12.1f}{found['peak']:>9.0f}"
            f"  {'yes' if holds[-1] else 'MISSED'}"
        )
    return all(holds)


def _alone(work: Callable[..., dict[str, float]], *arguments: object) -> dict[str, float]:
    """Run in a fresh process, so that its peak memory is its own."""
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=fresh) as pool:
        return pool.submit(work, *arguments).result()


def _search(kind: str, size: int) -> dict[str, float]:
    sys.path.insert(0, str(Path(__file__).parent))
    from linear import case

    drawn = case(kind, size, SEED)
    started, cpu = time.perf_counter(), time.process_time()
    found = order_search(
        drawn.statistics, Knowledge(nodes=drawn.dag.nodes), DiscoveryOptions(penalty=2.0)
    )
    return {
        "wall": time.perf_counter() - started,
        "cpu": time.process_time() - cpu,
        "peak": _peak_megabytes(),
        "shd": structural_hamming_distance(found.graph, cpdag_of(drawn.dag)),
        "edges": len(found.graph.edges),
    }


def _sum(num_sites: int, features: int) -> dict[str, float]:
    rng = np.random.default_rng(SEED)
    length = features * (features + 1) // 2 + features + 1
    spec = StatisticSpec(name="gram", length=length, bound=2**40)
    names = [f"site{i:03d}" for i in range(num_sites)]
    vectors = {name: rng.integers(-(2**40), 2**40, length) for name in names}
    started = time.process_time()
    pool = SecureSum.open(names)
    contributions = {name: {"gram": (spec, vectors[name])} for name in names}
    state, posts = aggregator.ask(pool.aggregator, specs=[spec])
    pool, queue, received, own = replace(pool, aggregator=state), deque(posts), 0, 0.0
    while queue:
        post = queue.popleft()
        pool, reply = pool.deliver(post, contributions)
        if post.recipient in vectors:
            received += sum(len(blob) for blob in reply.blobs.values())
        began = time.process_time()
        state, more = aggregator.receive(pool.aggregator, post.recipient, reply)
        own += time.process_time() - began
        pool = replace(pool, aggregator=state)
        queue.extend(more)
    released = pool.aggregator.totals
    if not np.array_equal(released["gram"].totals, sum(vectors.values())):
        raise RuntimeError("the secure sum differs from the sum in the clear")
    return {
        "all": time.process_time() - started,
        "coordinator": own,
        "received": received / 1e6,
        "peak": _peak_megabytes(),
    }


def _peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
