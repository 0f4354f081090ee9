"""Decomposable scores of discrete families from their contingency tables: BDeu and BIC."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import log
from typing import Literal

import numpy as np
from scipy.special import gammaln, xlogy

from fedcausal.errors import InputError
from fedcausal.graph import Graph
from fedcausal.scores.completed_tables import CompletedTables, Places
from fedcausal.scores.contingency import Counts
from fedcausal.scores.score import Families
from fedcausal.statistics.tables_kind import MAX_TABLE_CELLS

__all__ = ["EQUIVALENT_SAMPLE_SIZE", "TableScore", "bdeu", "bic"]

EQUIVALENT_SAMPLE_SIZE = 1.0
"""Records that the prior of BDeu is worth: the usual choice, and the sparsest graphs."""


def bdeu(table: Counts, *, sample_size: float = EQUIVALENT_SAMPLE_SIZE) -> float:
    r"""Log marginal likelihood of a child given its parents under a uniform Dirichlet prior.

    .. math::
        \sum_j \log\frac{\Gamma(s/q)}{\Gamma(s/q + n_j)}
            + \sum_{jk} \log\frac{\Gamma(s/(qr) + n_{jk})}{\Gamma(s/(qr))}

    Parameters
    ----------
    table
        (r, ...) records: the child's levels, then those of the parents, q of them together.

    References
    ----------
    Heckerman, Geiger and Chickering (1995), Learning Bayesian networks, Machine Learning 20.
    """
    cells = table.reshape(len(table), -1)
    per_parents = sample_size / cells.shape[1]
    per_cell = per_parents / len(cells)
    known = gammaln(per_parents) - gammaln(per_parents + cells.sum(axis=0))
    return float(known.sum() + (gammaln(per_cell + cells) - gammaln(per_cell)).sum())


def bic(table: Counts, *, num_records: float, penalty: float = 1.0) -> float:
    """Maximum log-likelihood of a child given its parents, less half a log n per parameter.

    Parameters
    ----------
    table
        (r, ...) records: the child's levels, then those of the parents.

    References
    ----------
    Schwarz (1978), Estimating the dimension of a model, Annals of Statistics 6.
    """
    cells = table.reshape(len(table), -1)
    likelihood = xlogy(cells, cells).sum() - xlogy(cells.sum(axis=0), cells.sum(axis=0)).sum()
    freedom = (len(cells) - 1) * cells.shape[1]
    return float(likelihood - penalty * freedom * np.log(max(num_records, 2.0)) / 2)


@dataclass(frozen=True, kw_only=True, eq=False)
class TableScore:
    """A score of families over `names`, from the tables that were released.

    BDeu is added to a log prior of -`penalty` log(d) for each of the edges, without which it
    prefers too many among many variables; `penalty` of BIC is the factor of its penalty. Both are
    decomposable and score-equivalent where all tables are complete. Where values are missing, a
    family is scored on its complete records, scaled to the number of all.

    Attributes
    ----------
    names
        The variables in the order of the search's positions.
    kind
        `bdeu` or `bic`.
    """

    tables: CompletedTables
    names: tuple[str, ...]
    kind: Literal["bdeu", "bic"] = "bdeu"
    penalty: float = 1.0

    def local(self, child: int, parents: Sequence[int]) -> float:
        """The score of one family; from lower margins where its table was not asked for."""
        places = tuple(self._places[k] for k in (child, *parents))
        self._check_size(child, places)
        table = self.tables.table(places)
        total = float(table.sum())
        scaled = table * (self.tables.num_records / total) if total > 0 else table
        if self.kind == "bic":
            return bic(scaled, num_records=total, penalty=self.penalty)
        return bdeu(scaled) - self.penalty * log(len(self.names)) * len(parents)

    def families(self, parents: Sequence[int]) -> Families:
        """Scores around one parent set: -inf where the larger table was not asked for.

        `here` is NaN for children whose table was not: few are wanted, and each takes a fit.
        """
        size, base = len(self.names), sum(1 << k for k in parents)
        here = np.full(size, np.nan)
        here[list(parents)] = -np.inf
        more = np.full((size, size), -np.inf)
        for i, j in self._further.get(base, ()):
            more[i, j] = self.local(i, sorted((*parents, j)))
            more[j, i] = self.local(j, sorted((*parents, i)))
            for child in (i, j):
                if np.isnan(here[child]):
                    here[child] = self.local(child, parents)
        return Families(here=here, with_one_more=more)

    def total(self, dag: Graph) -> float:
        """The score of a graph."""
        return sum(
            self.local(child, sorted(self.names.index(p) for p in dag.parents(name)))
            for child, name in enumerate(self.names)
        )

    @cached_property
    def _places(self) -> list[int]:
        return [self.tables.schema.index(name) for name in self.names]

    @cached_property
    def _further(self) -> dict[int, list[tuple[int, int]]]:
        """The pairs that a released table has besides a mask of parents."""
        back = {place: k for k, place in enumerate(self._places)}
        found: dict[int, list[tuple[int, int]]] = {}
        for places in self.tables.released:
            members = sorted(back[p] for p in places)
            whole = sum(1 << k for k in members)
            for at, i in enumerate(members):
                for j in members[at + 1 :]:
                    found.setdefault(whole & ~(1 << i) & ~(1 << j), []).append((i, j))
        return found

    def _check_size(self, child: int, places: Places) -> None:
        cells = int(np.prod([self.tables.sizes[k] for k in places], dtype=float))
        if cells > MAX_TABLE_CELLS:
            raise InputError(
                f"{self.names[child]!r} and its required parents have {cells} combinations of "
                f"levels, at most {MAX_TABLE_CELLS} are allowed; require fewer parents, or write "
                'discovery.tests = "gram"'
            )
