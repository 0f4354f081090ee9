"""The score of a child's own number given its parents' whole bases, from covariances alone."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcausal.covariance import BlockCovariance
from fedcausal.errors import InputError
from fedcausal.scores.score import RIDGE, Families

__all__ = ["ChildScore"]

Matrix = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildScore:
    r"""BIC of a child's response given its parents' blocks: additive regression, no more.

    .. math::
        s(c \mid P) = -\tfrac{N}{2} \Big( \log|\Sigma_{r_c r_c \cdot P}|
            + \lambda \frac{\log n}{n} |r_c| |P| \Big) + \sum_{p \in P} \pi_{pc}

    with :math:`r_c` the response features of c (its number, or the indicators of its levels) and P
    every feature of the parents. Polynomials of the child are left alone: nothing is modelled that
    an additive mechanism does not say. With one feature per number this is `BlockScore`.

    The score is not the same for Markov-equivalent graphs: where a mechanism is nonlinear, one
    direction fits better. See `discovery.nonlinearity` for what may be read from that.

    Assumptions: additive mechanisms in the span of the basis; values missing completely at random.
    Privacy: reads released totals only.

    References
    ----------
    Bühlmann, Peters and Ernest (2014), CAM: causal additive models, Annals of Statistics 42.
    """

    names: tuple[str, ...]
    covariance: Matrix
    blocks: tuple[tuple[int, ...], ...]
    responses: tuple[tuple[int, ...], ...]
    num_records: Matrix
    penalty: float
    edge_prior: Matrix

    @classmethod
    def from_covariance(
        cls,
        statistics: BlockCovariance,
        *,
        penalty: float = 1.0,
        edge_prior: Matrix | None = None,
        names: Sequence[str] | None = None,
    ) -> "ChildScore":
        """Prepare the score; parameters as in `BlockScore.from_covariance`."""
        if not penalty > 0.0:
            raise InputError(f"discovery.penalty: expected a number above 0, got {penalty}")
        names = statistics.names if names is None else tuple(names)
        order = [statistics.names.index(name) for name in names]
        prior = np.zeros((len(names), len(names))) if edge_prior is None else edge_prior
        return cls(
            names=names,
            covariance=statistics.covariance + RIDGE * np.eye(len(statistics.covariance)),
            blocks=tuple(statistics.blocks[name] for name in names),
            responses=tuple(statistics.responses[name] for name in names),
            num_records=np.maximum(statistics.num_records[np.ix_(order, order)], 2.0),
            penalty=penalty,
            edge_prior=prior[np.ix_(order, order)],
        )

    @property
    def widths(self) -> Indices:
        """(d,) features of each variable as a parent."""
        return np.array([len(block) for block in self.blocks], dtype=np.int64)

    def local(self, child: int, parents: Sequence[int]) -> float:
        """The score of one family, by indices into `names`."""
        given = [row for parent in parents for row in self.blocks[parent]]
        family = [child, *parents]
        n = self.num_records[np.ix_(family, family)].min()
        cost = self.penalty * np.log(n) / n * len(self.responses[child]) * len(given)
        return float(
            -0.5 * self.num_records.max() * (self._log_variance(child, given) + cost)
            + self.edge_prior[list(parents), child].sum()
        )

    def line_and_bend(self, child: int, parent: int, others: Sequence[int]) -> tuple[float, float]:
        """What a parent's line, and then its polynomials, add to a child's score given others.

        Both are net of their penalty; 0 for a bend where the parent has no polynomials.
        """
        given = [row for other in others for row in self.blocks[other]]
        straight = list(self.responses[parent])
        steps = [given, given + straight, given + list(self.blocks[parent])]
        none, line, full = (self._log_variance(child, rows) for rows in steps)
        n, size = self.num_records.max(), len(self.responses[child])
        cost = self.penalty * np.log(n) / n * size
        bends = len(self.blocks[parent]) - len(straight)
        return (
            0.5 * float(n * (none - line - cost * len(straight))),
            0.5 * float(n * (line - full - cost * bends)),
        )

    def families(self, parents: Sequence[int]) -> Families:
        """Score every child given these parents, and given one more parent, in one pass."""
        given = list(parents)
        rows = [row for parent in given for row in self.blocks[parent]]
        conditional = self.covariance
        if rows:
            cross = self.covariance[rows]
            weights = np.linalg.solve(self.covariance[np.ix_(rows, rows)], cross)
            conditional = conditional - cross.T @ weights
        here, more = self._log_variances(conditional, set(given))
        num_given = len(rows)
        sizes = np.array([len(response) for response in self.responses], dtype=np.float64)
        cost_here, cost_more = self._costs(given)
        here = here + cost_here * sizes * num_given
        more = more + cost_more * sizes[:, None] * (num_given + self.widths[None, :])
        prior = self.edge_prior[given].sum(axis=0)
        scale = -0.5 * self.num_records.max()
        with_one_more = scale * more + prior[:, None] + self.edge_prior.T
        with_one_more[:, given] = -np.inf
        np.fill_diagonal(with_one_more, -np.inf)
        return Families(here=scale * here + prior, with_one_more=with_one_more)

    def _log_variance(self, child: int, given: list[int]) -> float:
        """Log determinant of a response given some features."""
        rows = list(self.responses[child])
        own = self.covariance[np.ix_(rows, rows)]
        if given:
            cross = self.covariance[np.ix_(given, rows)]
            own = own - cross.T @ np.linalg.solve(self.covariance[np.ix_(given, given)], cross)
        sign, value = np.linalg.slogdet(own)
        return float(value) if sign > 0 else 2.0 * float(np.log(RIDGE))

    def _log_variances(self, conditional: Matrix, given: set[int]) -> tuple[Matrix, Matrix]:
        """Log determinants of all responses (d,), and given one more variable (d, d)."""
        size = len(self.names)
        here, more = np.zeros(size), np.zeros((size, size))
        single = np.array([len(r) == 1 for r in self.responses])
        first = np.array([r[0] for r in self.responses])
        wide = [c for c in np.flatnonzero(~single).tolist() if c not in given]
        variance = np.maximum(conditional[first, first], RIDGE**2)
        here[single] = np.log(variance[single])
        own = {c: conditional[np.ix_(self.responses[c], self.responses[c])] for c in wide}
        for c in wide:
            here[c] = np.linalg.slogdet(own[c])[1]
        for k in range(size):
            if k in given:
                continue
            block = list(self.blocks[k])
            half = np.linalg.solve(
                np.linalg.cholesky(conditional[np.ix_(block, block)]), conditional[block]
            )
            left = variance - (half[:, first] ** 2).sum(axis=0)
            more[single, k] = np.log(np.maximum(left, RIDGE**2))[single]
            for c in wide:
                part = half[:, list(self.responses[c])]
                sign, value = np.linalg.slogdet(own[c] - part.T @ part)
                more[c, k] = value if sign > 0 else 2.0 * np.log(RIDGE)
        return here, more

    def _costs(self, given: list[int]) -> tuple[Matrix, Matrix]:
        """Penalty per parameter: (d,) at these parents and (d, d) with one more."""
        counts = self.num_records
        n_here = np.diagonal(counts)
        if given:
            inside = counts[np.ix_(given, given)].min()
            n_here = np.minimum(np.minimum(n_here, counts[given].min(axis=0)), inside)
        n_more = np.minimum(np.minimum(n_here[:, None], n_here[None, :]), counts)
        return self.penalty * np.log(n_here) / n_here, self.penalty * np.log(n_more) / n_more
