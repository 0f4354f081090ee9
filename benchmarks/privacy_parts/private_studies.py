"""Random linear studies whose statistics are summed in the clear: what the tables share.

Graphs are Erdos-Renyi of average degree 2, weights 0.5 to 1.2 with random signs, noise of standard
deviation 0.8 to 1.2. The declared bounds lie 4 to 10 standard deviations from the mean on either
side, drawn for each side of each variable: what a person writes without looking at the data.
Vectors, noise, scales and decoding are those of a run; only masks and encryption are left out,
which change no integer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcausal.data.table import Table
from fedcausal.discovery.algorithms import discover
from fedcausal.graph import Graph
from fedcausal.moments.covariance import BlockCovariance
from fedcausal.moments.gram_totals import block_covariance
from fedcausal.private.noisy_totals import NoisyTotals
from fedcausal.statistics.gram_kind import GramKind, gram_release, gram_request
from fedcausal.statistics.kind import PrivateKind, Request
from fedcausal.statistics.noisy_gram_kind import (
    NoisyGramKind,
    noisy_gram_release,
    noisy_gram_request,
)
from fedcausal.statistics.scale_kind import ScaleKind, scale_release, scale_request
from fedcausal.steps.graph import options_of
from fedcausal.study import Study
from fedcausal_privacy.disclosure.cell_rule import apply_cell_rule
from fedcausal_privacy.dp.integer_noise import discrete_gaussian
from fedcausal_privacy.statistic_spec import Released

Matrix = NDArray[np.float64]
DEGREE, NUM_SITES = 2, 10


@dataclass(frozen=True)
class Drawn:
    """A random study: the pairs of its skeleton, bounds, and the rows of each site."""

    skeleton: frozenset[frozenset[str]]
    bounds: Mapping[str, tuple[float, float]]
    sites: Sequence[Matrix]


def draw(size: int, num_rows: int, seed: int, num_sites: int = NUM_SITES) -> Drawn:
    """Draw a graph, its rows and public bounds."""
    rng = np.random.default_rng([seed, size, num_rows])
    present = np.triu(rng.random((size, size)) < DEGREE / (size - 1), 1)
    weights = present * rng.uniform(0.5, 1.2, (size, size)) * rng.choice([-1, 1], (size, size))
    order = rng.permutation(size)
    weights = weights[np.ix_(order, order)]
    noise = rng.standard_normal((num_rows, size)) * rng.uniform(0.8, 1.2, size)
    rows = noise @ np.linalg.inv(np.eye(size) - weights)
    spread, mean = rows.std(axis=0), rows.mean(axis=0)
    low = mean - spread * rng.uniform(4, 10, size)
    high = mean + spread * rng.uniform(4, 10, size)
    names = [f"v{i:02d}" for i in range(size)]
    return Drawn(
        skeleton=frozenset(
            frozenset((names[i], names[j])) for i, j in np.argwhere(weights).tolist()
        ),
        bounds={n: (float(a), float(b)) for n, a, b in zip(names, low, high, strict=True)},
        sites=np.array_split(np.clip(rows, low, high), num_sites),
    )


def study_of(drawn: Drawn, epsilon: float | None, **privacy: int) -> Study:
    """The study of a drawn case, all options at their defaults, votes and probabilities off."""
    graph = {} if epsilon is None else {"graph": {"epsilon": epsilon}}
    return Study.model_validate(
        {
            "variables": {
                name: {"kind": "continuous", "bounds": list(pair)}
                for name, pair in drawn.bounds.items()
            },
            "discovery": {"votes": False, "bootstrap": 0},
            "privacy": {"delta": 1e-5, **graph, **privacy},
        }
    )


def exact_covariance(drawn: Drawn, study: Study | None = None) -> BlockCovariance:
    """What the same study learns from without an epsilon."""
    study, kind, request = study or study_of(drawn, None), GramKind(), gram_request()
    rng = np.random.default_rng(0)
    vectors = [kind.compute(study, request, Table(study.schema(), s), rng) for s in drawn.sites]
    spec = kind.spec(study, request, len(vectors))
    total = apply_cell_rule(np.sum(vectors, axis=0), spec)
    return block_covariance(gram_release(study, request, total, len(vectors)))


def noisy_totals(drawn: Drawn, study: Study) -> NoisyTotals:
    """Both rounds of a private study: scales, then the Gram."""
    number, first = len(drawn.sites), scale_request()
    scales = scale_release(study, first, _noisy_sum(drawn, study, ScaleKind(), first), number)
    second = noisy_gram_request(study, scales, number)
    released = _noisy_sum(drawn, study, NoisyGramKind(), second)
    return noisy_gram_release(study, second, released, number)


def learnt(study: Study, statistics: BlockCovariance) -> Graph:
    """The graph that the study's own algorithm finds."""
    return discover(statistics, study.knowledge_base(), options_of(study, 0)).graph


def skeleton_f1(graph: Graph, drawn: Drawn) -> float:
    """F1 of the joined pairs."""
    found = {frozenset((edge.source, edge.target)) for edge in graph.edges}
    both = len(found) + len(drawn.skeleton)
    return 2 * len(found & drawn.skeleton) / both if both else 1.0


def _noisy_sum(drawn: Drawn, study: Study, kind: PrivateKind, request: Request) -> Released:
    number = len(drawn.sites)
    vectors = [
        kind.compute_private(
            study, request, Table(study.schema(), rows), num_sites=number, noise=discrete_gaussian
        )
        for rows in drawn.sites
    ]
    return apply_cell_rule(np.sum(vectors, axis=0), kind.spec(study, request, number))
