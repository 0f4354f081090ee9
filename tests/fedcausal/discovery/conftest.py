"""Random linear studies with a known graph."""

import numpy as np
import pytest

from fedcausal.discovery.knowledge import Knowledge
from fedcausal.graph import Graph
from fedcausal.moments.covariance import BlockCovariance


class Simulated:
    """Rows, their block covariance (as if pooled), and the DAG behind them."""

    def __init__(self, size, *, seed, num_rows=500, degree=2.0, widths=None):
        rng = np.random.default_rng(seed)
        names = tuple(f"x{i:02d}" for i in range(size))
        present = np.triu(rng.random((size, size)) < degree / (size - 1), 1)
        weights = present * rng.uniform(0.4, 1.0, (size, size))
        weights *= rng.choice([-1.0, 1.0], (size, size))
        rows = np.zeros((num_rows, size))
        for j in range(size):
            rows[:, j] = rows @ weights[:, j] + rng.standard_normal(num_rows)
        self.rows = rows
        self.dag = Graph.dag(names, [(names[i], names[j]) for i, j in np.argwhere(present)])
        self.statistics = block_covariance(names, rows, widths or [1] * size)
        self.rng = rng


def block_covariance(names, rows, widths):
    columns, blocks = [], {}
    for name, values, width in zip(names, rows.T, widths, strict=True):
        blocks[name] = tuple(range(len(columns), len(columns) + width))
        if width == 1:
            columns.append(values)
        else:
            cuts = np.quantile(values, np.arange(1, width + 1) / (width + 1))
            level = np.digitize(values, cuts)
            columns += [(level == k).astype(float) for k in range(1, width + 1)]
    return BlockCovariance(
        names=tuple(names),
        blocks=blocks,
        covariance=np.corrcoef(np.array(columns)),
        num_records=np.full((len(names), len(names)), len(rows) - 1.0),
    )


def knowledge_of(dag, rng):
    """Random knowledge that contradicts itself nowhere (and may contradict the data)."""
    nodes = dag.nodes
    order = [nodes[i] for i in rng.permutation(len(nodes))]
    cut = sorted(rng.integers(0, len(nodes) + 1, size=2))
    tiers = (tuple(order[: cut[0]]), tuple(order[cut[0] : cut[1]]), tuple(order[cut[1] :]))
    tiered = set(nodes) if rng.random() < 0.5 else {n for n in nodes if rng.random() < 0.6}
    tiers = tuple(tuple(name for name in tier if name in tiered) for tier in tiers)
    pairs = [(a, b) for i, a in enumerate(order) for b in order[i + 1 :]]
    required = tuple(pair for pair in pairs if rng.random() < 0.08)
    both = [pair for pair in pairs if pair not in required]
    forbidden = [pair for pair in both if rng.random() < 0.2]
    forbidden += [(b, a) for a, b in both if rng.random() < 0.2]
    return Knowledge(
        nodes=nodes,
        tiers=tiers if rng.random() < 0.6 else (),
        required=required,
        forbidden=tuple(forbidden),
    )


@pytest.fixture
def simulate():
    return Simulated


@pytest.fixture
def random_knowledge():
    return knowledge_of


@pytest.fixture
def covariance_of():
    return block_covariance
