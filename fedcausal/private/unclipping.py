"""Undo, on average, what shortening long rows did to a covariance."""

import numpy as np

from fedcausal.data.table import Matrix

__all__ = ["unclipped"]

NUM_DRAWS = 4000
SEED = 31
ROUNDS = 30
MOST = 4.0
"""Most that one direction is stretched: beyond it there was little left to see."""


def unclipped(covariance: Matrix, radius: float) -> Matrix:
    r"""The covariance whose normal rows, shortened to `radius`, have the one given.

    For a normal law :math:`E[x x^\top \min(1, R^2 / |x|^2)]` has the eigenvectors of the
    covariance (the law is symmetric along each), and smaller eigenvalues; those are solved for by
    fixed point iteration over one fixed sample.

    Assumptions: rows close to normal (elliptical); for others it corrects in part. Privacy:
    post-processing of what was released; nothing else is read.
    """
    values, vectors = np.linalg.eigh(covariance)
    wanted = np.maximum(values, 1e-6)
    squares = np.random.default_rng(SEED).standard_normal((NUM_DRAWS, len(wanted))) ** 2
    squares /= squares.mean(axis=0)
    found = wanted.copy()
    for _ in range(ROUNDS):
        lengths = squares @ found
        kept = np.minimum(1.0, radius**2 / lengths)
        shown = (kept @ squares) / NUM_DRAWS * found
        found = np.minimum(found * wanted / shown, MOST * wanted)
    stretched: Matrix = (vectors * found) @ vectors.T
    return stretched
