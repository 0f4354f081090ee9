"""The block score of a covariance with known noise: a family pays for the noise that it fits."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fedcausal.errors import InputError
from fedcausal.moments.covariance import BlockCovariance, GramNoise
from fedcausal.scores.score import BlockScore, Families

__all__ = ["NOISE_FACTOR", "NoisyBlockScore", "noisy_score"]

Matrix = NDArray[np.float64]
Vector = NDArray[np.float64]

NOISE_FACTOR = 2.0
"""What a family pays for fitted noise, in units of BIC's price for fitted sampling error.

On development graphs 1 lets some false edges in at small epsilon, 2 none to speak of, and true
edges are lost from 3 on (docs/decisions/0030-noisy-gram.md).
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoisyBlockScore(BlockScore):
    r"""`BlockScore` of a covariance :math:`\Sigma + E` whose noise E was drawn for privacy.

    BIC charges :math:`\log n / n` for a parameter because it fits sampling error of variance 1 / n
    per parameter. Privacy noise is not of that kind: it does not shrink with the residual
    variance, and collinear parents magnify it. What the regression of block c on the blocks P
    fits of E has, to first order, the expected share of the residual variance

    .. math::
        \operatorname{tr}\big(\Omega\, W^\top F W\big) \operatorname{tr}\big(A F_P\big)
        + \operatorname{tr}\big(\Omega\, (F_P B)^\top A\, F_P B\big)

    with :math:`A = \Sigma_{PP}^{-1}`, the coefficients B, :math:`W = (I, -B)` over c and P, the
    residual precision :math:`\Omega` and the noise variances: :math:`E_{ij}` has
    :math:`f_i f_j (1 + [i = j])`. It replaces the parameters over n in the penalty, times
    `NOISE_FACTOR`. Without noise this is `BlockScore`.

    Attributes
    ----------
    noise
        (d, m): f of each feature, zero where a block is padded.

    References
    ----------
    Takeuchi (1976), the trace term of his information criterion (Burnham and Anderson 2002,
    section 7.3); here with the covariance of known noise in the place of the sampling covariance.
    """

    noise: Matrix

    def local(self, child: int, parents: Sequence[int]) -> float:
        """The score of one family, by indices into `names`."""
        own = super(NoisyBlockScore, self).local(child, parents)
        return own - self._price() * self._fitted_noise(child, list(parents))

    def families(self, parents: Sequence[int]) -> Families:
        """Score every child given these parents, and given one more parent, in one pass."""
        plain = super(NoisyBlockScore, self).families(parents)
        given = list(parents)
        if self.padded.shape[1] == 1:
            here, more = self._fitted_noises(given)
        else:
            here, more = self._fitted_noises_of_blocks(given)
        price = self._price()
        with_one_more = np.where(
            np.isfinite(plain.with_one_more), plain.with_one_more - price * more, -np.inf
        )
        return Families(here=plain.here - price * here, with_one_more=with_one_more)

    def _price(self) -> float:
        records = float(self.num_records.max())
        return 0.5 * NOISE_FACTOR * self.penalty * records * float(np.log(records))

    def _fitted_noise(self, child: int, parents: list[int]) -> float:
        """The share of the residual variance of a block that its parents take from the noise."""
        if not parents:
            return 0.0
        width = self.padded.shape[1]
        joint, own = self._joint([*parents, child]), slice(len(parents) * width, None)
        noise = self.noise[[*parents, child]].ravel()
        inside = slice(0, len(parents) * width)
        inverse = np.linalg.inv(joint[inside, inside])
        slopes = inverse @ joint[inside, own]
        residual = joint[own, own] - joint[own, inside] @ slopes
        weighted = noise[inside, None] * slopes
        spread = np.diag(noise[own]) + slopes.T @ weighted
        trace = float(np.diag(inverse) @ noise[inside])
        precision = np.linalg.inv(residual)
        return float(
            np.vdot(precision, spread) * trace
            + np.vdot(precision, weighted.T @ inverse @ weighted)
        )

    def _fitted_noises_of_blocks(self, given: list[int]) -> tuple[Vector, Matrix]:
        size = len(self.names)
        here, more = np.zeros(size), np.zeros((size, size))
        for child in range(size):
            if child in given:
                continue
            here[child] = self._fitted_noise(child, given)
            for k in range(size):
                if k != child and k not in given:
                    more[child, k] = self._fitted_noise(child, [*given, k])
        return here, more

    def _fitted_noises(self, given: list[int]) -> tuple[Vector, Matrix]:
        """The same for blocks of one feature, from one inverse: (d,) here, (d, d) with k more.

        With k added, the inverse over P and k follows from A and the regression g_k of k on P.
        """
        sigma, f = self.padded[:, 0, :, 0], self.noise[:, 0]
        size = len(sigma)
        outside = np.setdiff1d(np.arange(size), given)
        inverse = np.linalg.inv(sigma[np.ix_(given, given)])
        slopes = inverse @ sigma[given]  # (|P|, d): regressions of everything on P
        rest = sigma - sigma[:, given] @ slopes
        weighted = f[given, None] * slopes
        spread = slopes.T @ weighted  # b_c' F b_k
        through = weighted.T @ inverse @ weighted  # b_c' F A F b_k
        trace = float(np.diag(inverse) @ f[given])
        own = np.diag(rest).copy()
        own[given] = 1.0
        here = (trace * (f + np.diag(spread)) + np.diag(through)) / own
        beta = rest / own[None, :]  # [c, k]: coefficient of c on k, given P
        left = np.maximum(own[:, None] - beta * rest, 1e-9)
        traces = trace + (f + np.diag(spread)) / own
        spreads = (
            f[:, None]
            + np.diag(spread)[:, None]
            - 2.0 * beta * spread
            + beta**2 * (np.diag(spread) + f)[None, :]
        )
        along = (
            np.diag(through)[:, None]
            - 2.0 * beta * through
            + beta**2 * np.diag(through)[None, :]
            + (spread - beta * (np.diag(spread) + f)[None, :]) ** 2 / own[None, :]
        )
        found = (spreads * traces[None, :] + along) / left
        more = np.zeros((size, size))
        more[np.ix_(outside, outside)] = found[np.ix_(outside, outside)]
        np.fill_diagonal(more, 0.0)
        here[given] = 0.0
        return here, more


def noisy_score(
    statistics: BlockCovariance, *, penalty: float, edge_prior: Matrix, names: Sequence[str]
) -> NoisyBlockScore:
    """The score of a noisy covariance; the records are the true ones, the noise is paid apart."""
    noise = statistics.noise
    if noise is None:
        raise InputError("a noisy score needs a covariance with noise")
    plain = replace(
        statistics, noise=None, num_records=np.full_like(statistics.num_records, noise.num_records)
    )
    base = BlockScore.from_covariance(plain, penalty=penalty, names=names)
    fields = {name: getattr(base, name) for name in BlockScore.__dataclass_fields__}
    return NoisyBlockScore(
        **{**fields, "edge_prior": edge_prior}, noise=_padded_noise(statistics, noise, names)
    )


def _padded_noise(statistics: BlockCovariance, noise: GramNoise, names: Sequence[str]) -> Matrix:
    width = max(len(statistics.blocks[name]) for name in names)
    padded = np.zeros((len(names), width))
    for i, name in enumerate(names):
        rows = list(statistics.blocks[name])
        padded[i, : len(rows)] = noise.deviations[rows]
    return padded
