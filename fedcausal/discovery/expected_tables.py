"""Counts that a discrete network expects in any table, by sampling from it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy

from fedcausal.graph import Graph
from fedcausal.scores.completed_tables import CompletedTables, Places
from fedcausal.scores.contingency import Counts

__all__ = ["ExpectedTables"]

NUM_SAMPLES = 100_000
"""Rows sampled: a cell of one in a thousand is met to a tenth."""

PRIOR_RECORDS = 0.5
"""Records of the child's own distribution that every combination of parents has beside its own."""

SPREAD_RECORDS = 5.0
"""Records spread evenly over every table: a model may not rule a cell out."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ExpectedTables:
    """Tables of rows sampled from a network, scaled to the number of records.

    Attributes
    ----------
    codes
        (d, samples) levels of the variables in schema order.
    sizes
        Levels of every variable in a table.
    num_records
        Records that a table holds, beside those spread over it.

    Assumptions: the families' distributions are read from completed tables; values are missing
    completely at random. Privacy: reads
    released totals only.
    """

    codes: NDArray[np.int64]
    sizes: Places
    num_records: int

    @classmethod
    def sampled(cls, tables: CompletedTables, dag: Graph) -> "ExpectedTables":
        """Sample a network; neither the order of the columns nor that of the edges matters."""
        schema, rng = tables.schema, np.random.default_rng(0)
        codes = np.zeros((len(schema), NUM_SAMPLES), dtype=np.int64)
        for name in _parents_first(dag):
            place = schema.index(name)
            above = [schema.index(parent) for parent in sorted(dag.parents(name))]
            counts = np.moveaxis(tables.table((place, *above)), 0, -1)
            alone = counts.reshape(-1, counts.shape[-1]).sum(axis=0)
            weights = counts + PRIOR_RECORDS * alone / max(alone.sum(), 1.0)
            ends = weights.cumsum(axis=-1)[tuple(codes[above])]
            ends = np.broadcast_to(ends, (NUM_SAMPLES, len(alone)))
            draws = rng.random((NUM_SAMPLES, 1)) * ends[:, -1:]
            codes[place] = (draws > ends[:, :-1]).sum(axis=1)
        for name in sorted(schema.names):
            place = schema.index(name)
            if place in tables.missing:
                counts = tables.released[(place,)]
                share = counts[-1] / max(counts.sum(), 1.0)
                codes[place, rng.random(NUM_SAMPLES) < share] = tables.levels[place]
        return cls(codes=codes, sizes=tables.sizes, num_records=tables.num_records)

    def __call__(self, places: Places) -> Counts:
        """(L_1, ..., L_k) positive counts of one set of variables."""
        counts = self._counted.get(places)
        if counts is None:
            counts = self._counted[places] = self._count(places)
        return counts

    def misfit(self, tables: CompletedTables) -> float:
        """The deviance of all released cells from what the network expects.

        A score sees one family at a time, and its completed cells are the network's own: it does
        not see whether the families together give the dependence of variables far apart. The
        tables of those do, and no completed cell enters.
        """
        total = 0.0
        for places in sorted(tables.released):
            shown, gaps = tables.gaps.get(places, (tables.released[places], None))
            kept = np.ones(shown.shape, dtype=bool) if gaps is None else ~gaps
            counts, expected = shown[kept], self(places)[kept]
            total += float((xlogy(counts, counts / expected) - counts + expected).sum())
        return 2.0 * total

    @cached_property
    def _counted(self) -> dict[Places, Counts]:
        return {}

    def _count(self, places: Places) -> Counts:
        shape = [self.sizes[k] for k in places]
        num_cells = int(np.prod(shape))
        flat = np.zeros(NUM_SAMPLES, dtype=np.int64)
        for k in places:
            flat = flat * self.sizes[k] + self.codes[k]
        seen = np.bincount(flat, minlength=num_cells).astype(np.float64)
        counts: Counts = seen * (self.num_records / NUM_SAMPLES) + SPREAD_RECORDS / num_cells
        return counts.reshape(shape)


def _parents_first(dag: Graph) -> Sequence[str]:
    ordered, waiting = list[str](), sorted(dag.nodes)
    while waiting:
        ready = next(n for n in waiting if set(dag.parents(n)) <= set(ordered))
        ordered.append(ready)
        waiting.remove(ready)
    return ordered
