"""What the scores of an attacker prove: how well they tell two worlds apart."""

import math

import numpy as np
from scipy.stats import beta


def auc(absent, present):
    """Probability that a score with the record is above one without it; ties count a half."""
    gaps = present[:, None] - absent[None, :]
    return float(np.mean(gaps > 0) + 0.5 * np.mean(gaps == 0))


def most_auc(epsilon, delta):
    """The largest AUC that (epsilon, delta) allows any attacker, by its trade-off curve."""
    false = np.linspace(0.0, 1.0, 100_001)
    hits = np.minimum(
        math.exp(epsilon) * false + delta, 1.0 - math.exp(-epsilon) * (1.0 - delta - false)
    )
    return float(np.trapezoid(np.clip(hits, 0.0, 1.0), false))


def measured_epsilon(absent, present, delta, confidence=0.99):
    """A lower bound on epsilon; the threshold is chosen on the first half, proved on the second.

    References: Jagielski, Ullman and Oprea (2020), arXiv:2006.07709 (Clopper-Pearson bounds).
    """
    half = len(absent) // 2
    both = np.concatenate([absent[:half], present[:half]])

    def bound(cut, out, inside):
        hits, false, trials = int((inside > cut).sum()), int((out > cut).sum()), len(out)
        low = beta.ppf((1 - confidence) / 2, hits, trials - hits + 1) if hits else 0.0
        full = false == trials
        high = 1.0 if full else beta.ppf(1 - (1 - confidence) / 2, false + 1, trials - false)
        return math.log(max(low - delta, 1e-12) / high)

    cuts = np.quantile(both, np.linspace(0.05, 0.95, 37))
    best = max(cuts, key=lambda cut: bound(cut, absent[:half], present[:half]))
    return bound(best, absent[half:], present[half:])
