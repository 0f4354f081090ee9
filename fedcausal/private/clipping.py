"""What shortening long rows does to correlations, in models like those that are looked for."""

from functools import lru_cache

import numpy as np

from fedcausal.data.table import Matrix

__all__ = ["RESIDUAL", "clipping_effect"]

RESIDUAL = 0.3
"""Share of the bending that is left after `unclipping` (0.1 to 0.3 on development graphs)."""

NUM_MODELS = 8
NUM_ROWS = 4000
SEED = 30
DEGREE = 2.0


@lru_cache(maxsize=256)
def clipping_effect(num_features: int, radius: float) -> tuple[float, float]:
    """What a ball of this radius does: error of a correlation, share of the variance kept.

    Mean absolute error and mean share over random linear Gaussian models of average degree 2 with
    coefficients of 0.5 to 1.2, standardised, simulated from a fixed seed. No data are read.

    >>> clipping_effect(5, 60.0)[1]
    1.0
    """
    if num_features < 2:
        return 0.0, 1.0
    rng = np.random.default_rng([SEED, num_features])
    errors, kept = [], []
    for _ in range(NUM_MODELS):
        rows = _rows(num_features, rng)
        norms = np.linalg.norm(rows, axis=1)
        short = rows * np.minimum(1.0, radius / norms)[:, None]
        gap = np.corrcoef(short.T) - np.corrcoef(rows.T)
        errors.append(float(np.abs(gap[np.triu_indices(num_features, 1)]).mean()))
        kept.append(float(short.var(axis=0).mean()))
    return float(np.mean(errors)), round(float(np.mean(kept)), 12)


def _rows(size: int, rng: np.random.Generator) -> Matrix:
    """Standardised rows of one random model."""
    present = np.triu(rng.random((size, size)) < DEGREE / max(size - 1.0, DEGREE), 1)
    weights = present * rng.uniform(0.5, 1.2, (size, size)) * rng.choice([-1, 1], (size, size))
    rows = rng.standard_normal((NUM_ROWS, size)) @ np.linalg.inv(np.eye(size) - weights)
    scaled: Matrix = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    return scaled
