"""Gumbel-max noise of a categorical mechanism: abduction, exact counterfactual probabilities."""

__all__ = ["counterfactual_probabilities", "posterior_noise"]

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


def posterior_noise(
    probabilities: FloatArray, levels: NDArray[np.int64], rng: np.random.Generator
) -> FloatArray:
    """Draw Gumbel noise (num_records, num_levels) under which `levels` are the arg max.

    Top-down: the maximum of all perturbed logits is Gumbel(0) whatever its place; the others
    are Gumbels truncated at it.

    References
    ----------
    Maddison, Tarlow and Minka (2014), "A* sampling", section 3.
    """
    rows = np.arange(len(levels))
    top = -np.log(rng.exponential(size=len(levels)))
    arrival = np.exp(-top)[:, None] + rng.exponential(size=probabilities.shape) / probabilities
    perturbed = -np.log(arrival)
    perturbed[rows, levels] = top
    noise: FloatArray = perturbed - np.log(probabilities)
    return noise


def counterfactual_probabilities(
    factual: FloatArray, changed: FloatArray, levels: NDArray[np.int64]
) -> FloatArray:
    r"""Law (num_records, num_levels) of the level under `changed`, given that under `factual`.

    With the noise written as a race of exponential clocks, level j wins after the change with

    .. math:: P_j = q_j \int_{p_j/q_j}^{p_k/q_k} \frac{ds}{\{1+\sum_{i\ne k}(q_i s-p_i)_+\}^2}

    for :math:`j \ne k` (0 when the interval is empty), where p and q are the probabilities
    before and after, and k is the observed level. The denominator is piecewise linear in s, so
    the integral is a finite sum. Nothing is drawn.

    Assumptions: Gumbel-max noise. Counterfactuals of levels are not identified without it,
    beyond monotone binary mechanisms.

    Privacy: computed from a released model; nothing leaves a site.

    References
    ----------
    Oberst and Sontag (2019), arXiv:1905.05824 (the Gumbel-max structural causal model).
    """
    num_records, num_levels = factual.shape
    rows = np.arange(num_records)
    ratio = factual / changed
    end = ratio[rows, levels]
    cuts = np.minimum(np.sort(ratio, axis=1), end[:, None])
    others = np.ones_like(factual, dtype=bool)
    others[rows, levels] = False
    denominator = _denominators(factual, changed, others, cuts)
    pieces = np.diff(cuts, axis=1) / (denominator[:, :-1] * denominator[:, 1:])
    result = np.zeros_like(factual)
    for j in range(num_levels):
        inside = cuts[:, :-1] >= ratio[:, j, None]
        result[:, j] = changed[:, j] * np.sum(pieces * inside, axis=1)
    result[rows, levels] = 0.0
    result[rows, levels] = np.maximum(1.0 - result.sum(axis=1), 0.0)
    return np.asarray(result / result.sum(axis=1, keepdims=True))


def _denominators(
    factual: FloatArray, changed: FloatArray, others: NDArray[np.bool_], cuts: FloatArray
) -> FloatArray:
    """1 + sum over unobserved levels of (q s - p)_+ at every cut s, (num_records, num_cuts)."""
    excess = np.maximum(changed[:, None, :] * cuts[:, :, None] - factual[:, None, :], 0.0)
    return np.asarray(1.0 + np.sum(excess * others[:, None, :], axis=2))
