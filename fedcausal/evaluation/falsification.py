"""Whether held-out records speak against a graph: its implied independences, tested."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fedcausal.data.table import Matrix, Vector
from fedcausal.errors import GraphError
from fedcausal.graph import Graph
from fedcausal.moments.covariance import BlockCovariance
from fedcausal.moments.gram_totals import nearest_correlation
from fedcausal.schema import Schema
from fedcausal.scores.independence import BlockTest
from fedcausal_privacy.canonical import JsonValue

__all__ = ["Falsification", "falsify", "held_out_covariance"]

MAX_TESTS = 2000
"""Most independences that are tested per graph: a random part of them where there are more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Falsification:
    """How many implied independences the records reject, and how many of other graphs.

    Attributes
    ----------
    num_tests, num_rejected
        Local Markov conditions of the graph, and those rejected at `alpha`.
    alpha
        The share that a correct graph has rejected.
    permuted
        Shares rejected of graphs of the same shape with the variables exchanged at random.
    """

    num_tests: int
    num_rejected: int
    alpha: float
    permuted: tuple[float, ...]

    @property
    def rejected(self) -> float:
        """Share of the graph's conditions that are rejected."""
        return self.num_rejected / self.num_tests if self.num_tests else 0.0

    @property
    def p_value(self) -> float:
        """Share of random graphs that do as well: small means that the graph knows something."""
        as_good = sum(share <= self.rejected for share in self.permuted)
        return (1 + as_good) / (1 + len(self.permuted))

    def to_json(self) -> dict[str, JsonValue]:
        """The counts as a JSON object."""
        return {
            "num_tests": self.num_tests,
            "num_rejected": self.num_rejected,
            "rejected": self.rejected,
            "alpha": self.alpha,
            "permuted_median": float(np.median(self.permuted)) if self.permuted else None,
            "p_value": self.p_value,
        }


def falsify(
    graph: Graph,
    statistics: BlockCovariance,
    *,
    alpha: float = 0.05,
    permutations: int = 100,
    rng: np.random.Generator,
) -> Falsification:
    """Test that each variable is independent of its non-descendants given its parents.

    A share of rejections near `alpha` is what a correct graph gives, up to what the tests cannot
    see (linear dependence, and that of levels). The shares of the same graph with exchanged
    variables say what a graph of this shape gives by chance.

    Parameters
    ----------
    graph
        A DAG; conditions on variables that `statistics` lacks are left out.

    Raises
    ------
    GraphError
        The graph is no DAG.

    References
    ----------
    Eulig, Mastakouri, Blöbaum, Hardt and Janzing (2023), Toward falsifying causal graphs using a
    permutation-based test, arXiv:2305.09565.
    """
    if graph.kind != "dag":
        raise GraphError(f"falsification needs a dag, got a {graph.kind}")
    test = BlockTest.from_covariance(statistics)
    conditions = _conditions(graph, statistics.names, rng)
    p_values: dict[tuple[int, int, tuple[int, ...]], float] = {}

    def num_rejected(order: Sequence[int]) -> int:
        rejected = 0
        for child, other, parents in conditions:
            first, second = sorted((order[child], order[other]))
            given = tuple(sorted(order[k] for k in parents))
            key = (first, second, given)
            if key not in p_values:
                p_values[key] = test.p_value(*key)
            rejected += p_values[key] <= alpha
        return rejected

    size = len(statistics.names)
    found = num_rejected(range(size))
    chance = [num_rejected(rng.permutation(size).tolist()) for _ in range(permutations)]
    return Falsification(
        num_tests=len(conditions),
        num_rejected=found,
        alpha=alpha,
        permuted=tuple(n / max(len(conditions), 1) for n in chance),
    )


def held_out_covariance(
    schema: Schema, columns: Mapping[str, Vector], groups: Vector | None = None
) -> BlockCovariance:
    """Correlations of held-out records, centred within groups of records (sites) where given.

    Variables that are missing or constant everywhere are left out. Assumptions: values missing
    completely at random.
    """
    blocks, features = dict[str, tuple[int, ...]](), list[Matrix]()
    groups = np.zeros(len(next(iter(columns.values())))) if groups is None else groups
    for name, column in columns.items():
        block = _features(column, schema[name].num_levels, groups)
        if block.shape[1]:
            start = sum(f.shape[1] for f in features)
            blocks[name] = tuple(range(start, start + block.shape[1]))
            features.append(block)
    if not blocks:
        raise GraphError("no variable of the held-out records varies")
    values = np.column_stack(features)
    seen = (~np.isnan(values)).astype(np.float64)
    values = np.nan_to_num(values)
    squares = (values**2).T @ seen
    norms = np.sqrt(squares * squares.T)
    correlation = np.divide(values.T @ values, norms, out=np.eye(len(norms)), where=norms > 0)
    np.fill_diagonal(correlation, 1.0)
    firsts = [rows[0] for rows in blocks.values()]
    pairs = seen[:, firsts].T @ seen[:, firsts] - len(np.unique(groups))
    return BlockCovariance(
        names=tuple(blocks),
        blocks=blocks,
        covariance=nearest_correlation(correlation),
        num_records=np.maximum(pairs, 0.0),
    )


def _conditions(
    graph: Graph, names: Sequence[str], rng: np.random.Generator
) -> list[tuple[int, int, tuple[int, ...]]]:
    """(variable, non-descendant that is no parent, parents) by position, each triple once."""
    place = {name: i for i, name in enumerate(names) if name in graph.nodes}
    found = {}
    for child in place:
        parents = graph.parents(child)
        if not set(parents) <= set(place):
            continue
        given = tuple(sorted(place[p] for p in parents))
        below = {child, *graph.descendants(child), *parents}
        for other in (n for n in place if n not in below):
            pair = frozenset((place[child], place[other]))
            found[pair, given] = (place[child], place[other], given)
    conditions = list(found.values())
    if len(conditions) > MAX_TESTS:
        chosen = rng.choice(len(conditions), MAX_TESTS, replace=False)
        conditions = [conditions[i] for i in sorted(chosen)]
    return conditions


def _features(column: Vector, num_levels: int, groups: Vector) -> Matrix:
    """(n, k) centred numbers or indicators that vary; NaN where missing."""
    codes = range(1, num_levels)
    raw = [column] if not num_levels else [np.where(column == c, 1.0, 0.0) for c in codes]
    features = np.column_stack(raw)
    features[np.isnan(column)] = np.nan
    for group in np.unique(groups):
        rows = groups == group
        if not np.isnan(column[rows]).all():
            features[rows] -= np.nanmean(features[rows], axis=0)
    return features[:, np.nansum(features**2, axis=0) > 0]
