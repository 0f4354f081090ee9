import math

import numpy as np
import pytest

from fedcausal.private.unclipping import MOST, unclipped


@pytest.mark.parametrize("ratio", [1.0, 1.5])
def test_what_clipping_bent_is_straightened(ratio):
    """40 000 normal rows of a chain: the error of a correlation falls to less than a third."""
    rng = np.random.default_rng(1)
    lags = np.abs(np.subtract.outer(np.arange(6), np.arange(6)))
    true = 0.8**lags
    rows = rng.standard_normal((40_000, 6)) @ np.linalg.cholesky(true).T
    radius = ratio * math.sqrt(6)
    short = rows * np.minimum(1, radius / np.linalg.norm(rows, axis=1))[:, None]
    found = unclipped(short.T @ short / len(short), radius)
    bent = np.abs(np.corrcoef(short.T) - true).mean()
    scale = np.sqrt(np.diag(found))
    assert np.abs(found / np.outer(scale, scale) - true).mean() < bent / 3
    assert np.allclose(np.diag(found), 1.0, atol=0.08)


def test_rows_that_no_ball_reached_are_left_alone():
    matrix = np.array([[1.0, 0.5], [0.5, 2.0]])
    assert np.allclose(unclipped(matrix, 60.0), matrix)


def test_nothing_is_stretched_without_limit():
    matrix = np.diag([1.0, 0.9, -0.1])
    found = np.linalg.eigvalsh(unclipped(matrix, 0.5))
    assert found.max() <= MOST + 1e-9
    assert found.min() > 0
