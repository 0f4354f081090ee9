"""The child score is an additive regression's BIC; one pass equals families one by one."""

import numpy as np
import pytest

from fedcausal.covariance import BlockCovariance
from fedcausal.errors import InputError
from fedcausal.scores.child_score import ChildScore
from fedcausal.scores.score import BlockScore

NAMES = ("a", "b", "c", "d")


def _rows(n=400, seed=0):
    rng = np.random.default_rng(seed)
    a = rng.standard_normal(n)
    b = a**2 + rng.standard_normal(n)
    c = 0.8 * b + rng.standard_normal(n)
    return np.column_stack([a, b, c, rng.standard_normal(n)])


def _statistics(rows, degree=3, **changes):
    columns = np.column_stack([x**k for x in rows.T for k in range(1, degree + 1)])
    size = rows.shape[1]
    blocks = {NAMES[i]: tuple(range(i * degree, (i + 1) * degree)) for i in range(size)}
    parts = {
        "names": NAMES[:size],
        "blocks": blocks,
        "covariance": np.corrcoef(columns.T),
        "num_records": np.full((size, size), len(rows) - 1.0),
        "responses": {name: block[:1] for name, block in blocks.items()},
    }
    return BlockCovariance(**{**parts, **changes})


@pytest.mark.parametrize("parents", [(), (0,), (2, 3)])
def test_a_local_score_is_the_bic_of_a_least_squares_fit(parents):
    rows = _rows()
    score = ChildScore.from_covariance(_statistics(rows), penalty=2.0)
    design = np.column_stack(
        [np.ones(len(rows)), *(rows[:, p] ** k for p in parents for k in (1, 2, 3))]
    )
    residual = rows[:, 1] - design @ np.linalg.lstsq(design, rows[:, 1], rcond=None)[0]
    n = len(rows) - 1.0
    fit = np.log(residual.var() / rows[:, 1].var())
    expected = -0.5 * n * fit - 0.5 * 2.0 * np.log(n) * 3 * len(parents)
    assert score.local(1, parents) == pytest.approx(expected, abs=0.5)


def test_with_one_feature_each_it_is_the_block_score():
    statistics = _statistics(_rows(), degree=1)
    child, block = (s.from_covariance(statistics) for s in (ChildScore, BlockScore))
    for parents in ([], [0], [0, 3]):
        assert child.local(2, parents) == pytest.approx(block.local(2, parents), abs=1e-6)


@pytest.mark.parametrize("with_levels", [False, True])
@pytest.mark.parametrize("missing", [False, True])
def test_one_pass_equals_family_by_family(with_levels, missing):
    statistics, size = _statistics(_rows()), len(NAMES)
    changes = {}
    if with_levels:
        changes["responses"] = {**statistics.responses, "b": statistics.blocks["b"]}
    if missing:
        counts = np.random.default_rng(1).integers(200, 400, (size, size)).astype(float)
        changes["num_records"] = np.minimum(counts, counts.T)
    statistics = _statistics(_rows(), **changes)
    prior = np.random.default_rng(2).normal(size=(size, size))
    score = ChildScore.from_covariance(statistics, edge_prior=prior, names=("d", "b", "a", "c"))
    for parents in ([], [1], [2, 0]):
        families = score.families(parents)
        for child in (c for c in range(size) if c not in parents):
            assert families.here[child] == pytest.approx(score.local(child, parents), abs=1e-5)
            for more in (k for k in range(size) if k != child and k not in parents):
                one = score.local(child, [*parents, more])
                assert families.with_one_more[child, more] == pytest.approx(one, abs=1e-5)
        assert np.isneginf(np.diag(families.with_one_more)).all()
        assert np.isneginf(families.with_one_more[:, parents]).all()


def test_lines_and_bends_are_told_apart():
    score = ChildScore.from_covariance(_statistics(_rows()))
    line, bend = score.line_and_bend(1, 0, ())
    assert line < 5.0 < bend
    line, bend = score.line_and_bend(2, 1, ())
    assert bend < 0.0 < line


def test_a_penalty_is_positive():
    with pytest.raises(InputError, match=r"discovery.penalty"):
        ChildScore.from_covariance(_statistics(_rows()), penalty=0.0)
