"""Counts that a discrete network expects in any table, by sampling from it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy

from fedcausal.graph import Graph
from fedcausal.scores.completed_tables import CompletedTables, Places
from fedcausal.scores.contingency import Counts, Mask

__all__ = ["ExpectedTables"]

NUM_SAMPLES = 100_000
"""Rows sampled: a cell of one in a thousand is met to a tenth."""

PRIOR_RECORDS = 0.5
"""Records of the child's own distribution that every combination of parents has beside its own."""

SPREAD_RECORDS = 5.0
"""Records spread evenly over every table: a model may not rule a cell out."""

RAKED_SAMPLES = 30_000
"""Rows that are weighted: a third of the time, and counts are completed, not compared, by them."""

RAKED_VARIABLES = 3
"""Tables of more variables are not raked to: few of their cells are released."""

RAKING_SWEEPS = 4
"""Times that all tables are raked to; the released cells need not be met exactly."""

FLOOR_RECORDS = 0.1
"""Records added to both sides of a ratio: an empty cell of either is a step, not an end."""

LARGEST_STEP, LARGEST_WEIGHT = 5.0, 50.0
"""Factor of one table, and weight over the mean: no few rows may stand for what is rare."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ExpectedTables:
    """Tables of rows sampled from a network, scaled to the number of records.

    Attributes
    ----------
    codes
        (d, samples) levels of the variables in schema order.
    weights
        (samples,) records that each of these rows stands for.
    sizes
        Levels of every variable in a table.
    num_records
        Records that a table holds, beside those spread over it.

    Assumptions: the families' distributions are read from completed tables; values are missing
    completely at random. Privacy: reads
    released totals only.
    """

    codes: NDArray[np.int64]
    weights: NDArray[np.float64]
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
        weights = np.full(NUM_SAMPLES, tables.num_records / NUM_SAMPLES)
        return cls(
            codes=codes, weights=weights, sizes=tables.sizes, num_records=tables.num_records
        )

    def __call__(self, places: Places) -> Counts:
        """(L_1, ..., L_k) positive counts of one set of variables."""
        counts = self._counted.get(places)
        if counts is None:
            counts = self._counted[places] = self._count(places)
        return counts

    def raked(self, tables: CompletedTables) -> "ExpectedTables":
        """Some of the rows, weighted until they agree with the released cells of all tables.

        A network misses dependence that released cells show. Beside what it expects in a withheld
        cell stands what the other tables say about the rows of that cell: proportional fitting of
        the rows' weights to one table after another, in which withheld cells are one cell, brings
        the two together, and stays as close to the network as the released cells allow.

        References
        ----------
        Deming and Stephan (1940), Annals of Mathematical Statistics 11. Csiszár (1975),
        I-divergence geometry of probability distributions, Annals of Probability 3.
        """
        codes = self.codes[:, :RAKED_SAMPLES]
        even = self.num_records / codes.shape[1]
        weights, shown = np.full(codes.shape[1], even), list(_shown(tables))
        for _ in range(RAKING_SWEEPS):
            for places, counts, kept in shown:
                flat = _cells_of(codes, places, self.sizes)
                weights = weights * _steps(counts, kept, flat, weights)[flat]
            weights = np.minimum(weights, LARGEST_WEIGHT * even)
            weights *= self.num_records / weights.sum()
        return replace(self, codes=codes, weights=weights)

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
        flat = _cells_of(self.codes, places, self.sizes)
        seen = np.bincount(flat, self.weights, minlength=num_cells).astype(np.float64)
        counts: Counts = seen + SPREAD_RECORDS / num_cells
        return counts.reshape(shape)


def _shown(tables: CompletedTables) -> Iterator[tuple[Places, Counts, Mask]]:
    """Flat cells of the tables to rake to, and which of them are released; by name."""
    names = tables.schema.names
    for places in sorted(tables.released, key=lambda s: (len(s), sorted(names[k] for k in s))):
        counts, gaps = tables.gaps.get(places, (tables.released[places], None))
        kept = np.ones(counts.size, dtype=bool) if gaps is None else ~gaps.ravel()
        if 2 <= len(places) <= RAKED_VARIABLES and kept.any():
            yield places, counts.ravel(), kept


def _cells_of(codes: NDArray[np.int64], places: Places, sizes: Places) -> NDArray[np.int64]:
    """The flat cell of each row in one table."""
    flat = np.zeros(codes.shape[1], dtype=np.int64)
    for k in places:
        flat = flat * sizes[k] + codes[k]
    return flat


def _steps(
    counts: Counts, kept: Mask, flat: NDArray[np.int64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The factor of each cell's rows: towards its count, or towards what the others leave."""
    have = np.bincount(flat, weights, minlength=len(counts))
    steps = np.where(kept, (counts + FLOOR_RECORDS) / (have + FLOOR_RECORDS), 1.0)
    hidden = have[~kept].sum()
    if hidden > 0:
        steps[~kept] = max(weights.sum() - counts[kept].sum(), FLOOR_RECORDS) / hidden
    return np.clip(steps, 1.0 / LARGEST_STEP, LARGEST_STEP)


def _parents_first(dag: Graph) -> Sequence[str]:
    ordered, waiting = list[str](), sorted(dag.nodes)
    while waiting:
        ready = next(n for n in waiting if set(dag.parents(n)) <= set(ordered))
        ordered.append(ready)
        waiting.remove(ready)
    return ordered
