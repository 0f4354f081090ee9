"""The Gaussian block score of a family, from covariances alone."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fedcausal.errors import InputError
from fedcausal.graph import Graph
from fedcausal.moments.covariance import BlockCovariance

__all__ = ["RIDGE", "BlockScore", "Families"]

Matrix = NDArray[np.float64]
Vector = NDArray[np.float64]

# Added to the diagonal of the correlation-like covariance: keeps exact dependences finite, moves
# correlations by a millionth, and leaves the score equivalence exact (it is equal everywhere).
RIDGE = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Families:
    """Scores of all families around one parent set P.

    `here[c]` is the score of child c given P; `with_one_more[c, k]` that given P and k, with
    -inf where k is c or in P.
    """

    here: Vector
    with_one_more: Matrix


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockScore:
    r"""BIC of a child block given parent blocks, under a Gaussian model of all features.

    .. math::
        s(c \mid P) = N \Big( -\tfrac12 \log\frac{|\Sigma_{rP}|}{|\Sigma_P|}
            - \tfrac{\lambda}{2} \frac{\log n}{n} |r| |P| \Big) + \sum_{p \in P} \pi_{pc}

    with r the features of c that are scored, widths \|r\|, \|P\|, N the largest and n the family's
    smallest effective pair count, and an optional prior :math:`\pi` on edges. Without missing
    values n = N and this is the ordinary BIC; with them it is the node-average likelihood, whose
    families stay comparable although they rest on different numbers of records. The score is
    decomposable. Indicator blocks make it the degenerate Gaussian score.

    Two readings. The block reading (`from_covariance`) scores the child's whole block: it is
    score-equivalent when n = N and the prior is symmetric. The additive reading (`of_responses`)
    scores the child's own number (or its levels) given all features of its parents, and says
    nothing about its polynomials, as an additive mechanism does: where that is nonlinear, one
    direction fits better. `discovery.nonlinearity` tells what may be read from that.

    Assumptions: dependence shows in the covariance of the features; values missing completely at
    random; in the additive reading, additive mechanisms in the span of the basis. Privacy: reads
    released totals only.

    Attributes
    ----------
    names
        Variables in the order of all indices here.
    padded
        (d, m, d, m): covariance of the blocks, each padded to m columns with unit noise.
    widths
        (d,): true block widths.
    scored
        (d,): how many leading columns of a child's block are scored.
    num_records
        (d, d): effective pair counts.
    penalty
        The factor lambda; 1 is BIC.
    edge_prior
        (d, d): [parent, child] added to the score of a family that has the edge.

    References
    ----------
    Andrews, Ramsey and Cooper (2019), Learning high-dimensional directed acyclic graphs with mixed
    data-types, PMLR 104. Bodewes and Scutari (2021), Learning Bayesian networks from incomplete
    data with the node-average likelihood, IJAR 138. Bühlmann, Peters and Ernest (2014), CAM:
    causal additive models, Annals of Statistics 42.
    """

    names: tuple[str, ...]
    padded: Matrix
    widths: NDArray[np.int64]
    scored: NDArray[np.int64]
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
    ) -> "BlockScore":
        """Prepare the block reading; `names` may order the variables otherwise.

        Parameters
        ----------
        statistics
            Released block covariances.
        penalty
            Factor of the BIC penalty, above zero.
        edge_prior
            (d, d) in the order of `statistics.names`, [parent, child], in units of log-likelihood.
        names
            A permutation of `statistics.names`.
        """
        if not penalty > 0.0:
            raise InputError(f"discovery.penalty: expected a number above 0, got {penalty}")
        names = statistics.names if names is None else tuple(names)
        order = [statistics.names.index(name) for name in names]
        num_variables = len(names)
        prior = np.zeros((num_variables, num_variables)) if edge_prior is None else edge_prior
        if prior.shape != (num_variables, num_variables):
            raise InputError(
                f"an edge prior has one row and column per variable: expected "
                f"{num_variables} x {num_variables}, got {prior.shape}"
            )
        blocks = [statistics.blocks[name] for name in names]
        widths = np.array([len(block) for block in blocks], dtype=np.int64)
        if statistics.noise is not None:
            from fedcausal.scores.noisy_score import noisy_score

            return noisy_score(
                statistics, penalty=penalty, edge_prior=prior[np.ix_(order, order)], names=names
            )
        return cls(
            names=tuple(names),
            padded=_pad(statistics.covariance, blocks),
            widths=widths,
            scored=widths,
            num_records=np.maximum(statistics.num_records[np.ix_(order, order)], 2.0),
            penalty=penalty,
            edge_prior=prior[np.ix_(order, order)],
        )

    @classmethod
    def of_responses(
        cls,
        statistics: BlockCovariance,
        *,
        penalty: float = 1.0,
        edge_prior: Matrix | None = None,
        names: Sequence[str] | None = None,
    ) -> "BlockScore":
        """Prepare the additive reading; parameters as in `from_covariance`.

        It does not account for privacy noise.
        """
        responses = statistics.responses
        leading = {
            name: (*responses[name], *(row for row in block if row not in responses[name]))
            for name, block in statistics.blocks.items()
        }
        whole = cls.from_covariance(
            replace(statistics, blocks=leading, noise=None),
            penalty=penalty,
            edge_prior=edge_prior,
            names=names,
        )
        scored = [len(responses[name]) for name in whole.names]
        return replace(whole, scored=np.array(scored, dtype=np.int64))

    def local(self, child: int, parents: Sequence[int]) -> float:
        """The score of one family, by indices into `names`."""
        log_det = self._log_det(child, self._columns(parents))
        family = [child, *parents]
        n = self.num_records[np.ix_(family, family)].min()
        width = float(self.scored[child] * self.widths[list(parents)].sum())
        return float(
            -0.5 * self.num_records.max() * (log_det + self.penalty * np.log(n) / n * width)
            + self.edge_prior[list(parents), child].sum()
        )

    def total(self, dag: Graph) -> float:
        """The score of a DAG over `names`: the sum over its families."""
        place = {name: i for i, name in enumerate(self.names)}
        parents: list[list[int]] = [[] for _ in self.names]
        for parent, child in dag.directed_edges:
            parents[place[child]].append(place[parent])
        return sum(self.local(child, sorted(given)) for child, given in enumerate(parents))

    def line_and_bend(self, child: int, parent: int, others: Sequence[int]) -> tuple[float, float]:
        """What a parent's line, and then its polynomials, add to a child's score given others.

        Both are net of their penalty; 0 for a bend where the parent has no polynomials.
        """
        given, block = self._columns(others), self._columns([parent])
        line = len(block) - int(self.widths[parent] - self.scored[parent])
        steps = [given, given + block[:line], given + block]
        none, straight, full = (self._log_det(child, columns) for columns in steps)
        n = self.num_records.max()
        cost = self.penalty * np.log(n) / n * self.scored[child]
        return (
            0.5 * float(n * (none - straight - cost * line)),
            0.5 * float(n * (straight - full - cost * (len(block) - line))),
        )

    def families(self, parents: Sequence[int]) -> Families:
        """Score every child given these parents, and given one more parent, in one pass."""
        given = list(parents)
        conditional = self._conditional(given)
        log_det, log_ratio = _block_determinants(conditional, given, self.widths, self.scored)
        weight = self.widths[given].sum()
        cost_here, cost_more = self._costs(given)
        here = log_det + cost_here * self.scored * weight
        more = (
            log_det[:, None]
            + log_ratio
            + cost_more * self.scored[:, None] * (weight + self.widths[None, :])
        )
        prior = self.edge_prior[given].sum(axis=0)
        scale = -0.5 * self.num_records.max()
        with_one_more = scale * more + prior[:, None] + self.edge_prior.T
        with_one_more[:, given] = -np.inf
        np.fill_diagonal(with_one_more, -np.inf)
        return Families(here=scale * here + prior, with_one_more=with_one_more)

    def _columns(self, variables: Sequence[int]) -> list[int]:
        """The columns of some variables in the flattened matrix, without padding."""
        width = self.padded.shape[1]
        return [v * width + k for v in variables for k in range(self.widths[v])]

    def _log_det(self, child: int, given: list[int]) -> float:
        """Log determinant of what is scored of a child, given some columns."""
        matrix = self.padded.reshape(len(self.names) * self.padded.shape[1], -1)
        rows = given + self._columns([child])[: self.scored[child]]
        joint = matrix[np.ix_(rows, rows)]
        inside = joint[: len(given), : len(given)]
        return float(np.linalg.slogdet(joint)[1] - np.linalg.slogdet(inside)[1])

    def _joint(self, variables: Sequence[int]) -> Matrix:
        width = len(variables) * self.padded.shape[1]
        index = list(variables)
        return self.padded[index][:, :, index].reshape(width, width)

    def _conditional(self, given: list[int]) -> Matrix:
        """Covariance of all blocks given some, (d, m, d, m)."""
        if not given:
            return self.padded
        cross = self.padded[given].reshape(len(given) * self.padded.shape[1], -1)
        explained = cross.T @ np.linalg.solve(self._joint(given), cross)
        return self.padded - explained.reshape(self.padded.shape)

    def _costs(self, given: list[int]) -> tuple[Vector | float, Matrix | float]:
        """Penalty per parameter: (d,) at these parents and (d, d) with one more."""
        counts = self.num_records
        largest = counts.max()
        if counts.min() == largest:
            cost = float(self.penalty * np.log(largest) / largest)
            return cost, cost
        n_here = np.diagonal(counts)
        if given:
            inside = counts[np.ix_(given, given)].min()
            n_here = np.minimum(np.minimum(n_here, counts[given].min(axis=0)), inside)
        n_more = np.minimum(np.minimum(n_here[:, None], n_here[None, :]), counts)
        return self.penalty * np.log(n_here) / n_here, self.penalty * np.log(n_more) / n_more


def _pad(covariance: Matrix, blocks: Sequence[Sequence[int]]) -> Matrix:
    width = max(len(block) for block in blocks)
    if width == 1:
        order = [block[0] for block in blocks]
        padded = covariance[np.ix_(order, order)] + RIDGE * np.eye(len(blocks))
        padded.setflags(write=False)
        return padded.reshape(len(blocks), 1, len(blocks), 1)
    padded = np.zeros((len(blocks), width, len(blocks), width))
    for i, rows in enumerate(blocks):
        padded[i, range(width), i, range(width)] = 1.0
        for j, columns in enumerate(blocks):
            padded[i, : len(rows), j, : len(columns)] = covariance[np.ix_(rows, columns)]
    for i, rows in enumerate(blocks):
        padded[i, range(len(rows)), i, range(len(rows))] += RIDGE
    padded.setflags(write=False)
    return padded


def _block_determinants(
    conditional: Matrix,
    given: list[int],
    widths: NDArray[np.int64],
    scored: NDArray[np.int64],
) -> tuple[Vector, Matrix]:
    """Log determinants of what is scored (d,), and what each other block takes off them (d, d)."""
    num_variables, width = conditional.shape[:2]
    everyone = np.arange(num_variables)
    own = conditional[everyone, :, everyone, :].copy()
    own[given] = np.eye(width)
    if width == 1:
        variance = own.ravel()
        squared = conditional[:, 0, :, 0] ** 2 / np.outer(variance, variance)
        return np.log(variance), np.log1p(-np.minimum(squared, 1.0 - RIDGE**2))
    # What is scored leads its block, so it leads the factor and the inverse of that, too.
    is_scored = np.arange(width) < scored[:, None]
    factor = np.linalg.cholesky(own)
    log_det = 2.0 * (np.log(np.diagonal(factor, axis1=1, axis2=2)) * is_scored).sum(axis=1)
    inverse = np.linalg.inv(factor)
    half = (inverse @ conditional.reshape(num_variables, width, -1)).reshape(conditional.shape)
    turned = half.transpose(2, 3, 0, 1).reshape(num_variables, width, -1)
    canonical = (inverse @ turned).reshape(conditional.shape)
    canonical = canonical.transpose(2, 3, 0, 1) * is_scored[:, :, None, None]
    squared = (canonical**2).sum(axis=(1, 3))
    log_ratio = np.log1p(-np.minimum(squared, 1.0 - RIDGE**2))
    first, second = np.nonzero(
        np.outer(scored > 1, widths > 1) & ~np.eye(num_variables, dtype=bool)
    )
    if len(first):
        pairs = canonical[first, :, second, :]
        shared = np.eye(width) - pairs @ pairs.transpose(0, 2, 1)
        sign, logs = np.linalg.slogdet(shared)
        log_ratio[first, second] = np.where(sign > 0, logs, 2.0 * np.log(RIDGE))
    return log_det, log_ratio
