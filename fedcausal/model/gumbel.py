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
    # Levels first: what is added up over them are then whole rows, several times faster.
    before, after = np.ascontiguousarray(factual.T), np.ascontiguousarray(changed.T)
    records = np.arange(len(levels))
    ratio = before / after
    cuts = np.minimum(np.sort(ratio, axis=0), ratio[levels, records])
    others = np.ones_like(before)
    others[levels, records] = 0.0
    denominator = _denominators(before, after, others, cuts)
    pieces = np.diff(cuts, axis=0) / (denominator[:-1] * denominator[1:])
    inside = cuts[None, :-1] >= ratio[:, None]
    result = after * np.add.reduce(pieces * inside, axis=1)
    result[levels, records] = 0.0
    result[levels, records] = np.maximum(1.0 - np.add.reduce(result, axis=0), 0.0)
    result /= np.add.reduce(result, axis=0)
    return np.ascontiguousarray(result.T)


def _denominators(
    before: FloatArray, after: FloatArray, others: FloatArray, cuts: FloatArray
) -> FloatArray:
    """1 + sum over unobserved levels of (q s - p)_+ at every cut s, (num_cuts, num_records)."""
    excess = np.maximum(after * cuts[:, None] - before, 0.0)
    return np.asarray(1.0 + np.add.reduce(excess * others, axis=1))
