"""The block score: decomposition, equivalence, and the regression it stands for."""

from itertools import combinations

import numpy as np
import pytest

from fedcausal.covariance import BlockCovariance
from fedcausal.equivalence import cpdag_of
from fedcausal.errors import InputError
from fedcausal.graph import Graph
from fedcausal.scores.score import BlockScore

WIDTHS = (1, 2, 1, 3, 1)


def random_statistics(seed, widths=WIDTHS, *, num_rows=300, missing=False):
    rng = np.random.default_rng(seed)
    size = sum(widths)
    rows = rng.standard_normal((num_rows, size)) @ rng.standard_normal((size, size))
    starts = np.cumsum([0, *widths])
    names = tuple("abcdefgh"[: len(widths)])
    counts = np.full((len(widths), len(widths)), float(num_rows))
    if missing:
        observed = rng.random((num_rows, len(widths))) < rng.uniform(0.5, 1.0, len(widths))
        counts = (observed.T.astype(float)) @ observed
    blocks = {n: tuple(range(a, b)) for n, a, b in zip(names, starts, starts[1:], strict=False)}
    statistics = BlockCovariance(
        names=names, blocks=blocks, covariance=np.corrcoef(rows.T), num_records=counts
    )
    return statistics, rows


def random_dag(rng, names):
    order = rng.permutation(len(names))
    edges = [
        (names[order[i]], names[order[j]])
        for i, j in combinations(range(len(names)), 2)
        if rng.random() < 0.5
    ]
    return Graph.dag(names, edges)


def total(score, dag):
    place = score.names.index
    return sum(score.local(place(c), [place(p) for p in dag.parents(c)]) for c in dag.nodes)


@pytest.mark.parametrize("seed", range(5))
def test_equivalent_dags_have_equal_scores(seed):
    statistics, _ = random_statistics(seed)
    score = BlockScore.from_covariance(statistics, penalty=1.3)
    rng = np.random.default_rng(seed)
    totals = {}
    for _ in range(800):
        dag = random_dag(rng, statistics.names)
        totals.setdefault(cpdag_of(dag), []).append(total(score, dag))
    shared = [values for values in totals.values() if len(values) > 1]
    assert len(shared) > 5
    for values in shared:
        assert np.ptp(values) < 1e-7


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("widths", [WIDTHS, (1, 1, 1, 1, 1)])
def test_a_pass_over_families_equals_one_by_one(widths, missing):
    statistics, _ = random_statistics(1, widths, missing=missing)
    prior = np.random.default_rng(2).standard_normal((5, 5))
    score = BlockScore.from_covariance(statistics, edge_prior=prior)
    for parents in ([], [2], [3, 1], [4, 0, 3]):
        families = score.families(parents)
        for child in set(range(5)) - set(parents):
            assert families.here[child] == pytest.approx(score.local(child, parents), abs=1e-6)
            for other in set(range(5)) - set(parents) - {child}:
                expected = score.local(child, [*parents, other])
                assert families.with_one_more[child, other] == pytest.approx(expected, abs=1e-6)
        assert np.all(np.isneginf(families.with_one_more[:, parents]))
        assert np.all(np.isneginf(np.diagonal(families.with_one_more)))


def test_one_numeric_child_is_the_bic_of_its_regression():
    statistics, rows = random_statistics(4, (1, 1, 1))
    rows = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    _, residual, *_ = np.linalg.lstsq(rows[:, :2], rows[:, 2], rcond=None)
    n = len(rows)
    bic = -0.5 * n * np.log(residual[0] / n) - 0.5 * np.log(n) * 2
    score = BlockScore.from_covariance(statistics)
    # The ridge moves a correlation by a millionth: n / 2 times that, a few times over.
    assert score.local(2, [0, 1]) == pytest.approx(bic, abs=1e-2)


def test_names_permute_everything():
    statistics, _ = random_statistics(5, missing=True)
    prior = np.random.default_rng(6).standard_normal((5, 5))
    score = BlockScore.from_covariance(statistics, edge_prior=prior)
    turned = BlockScore.from_covariance(statistics, edge_prior=prior, names="edcba")
    assert turned.local(4, [3, 1]) == pytest.approx(score.local(0, [1, 3]))


def test_exact_dependence_stays_finite():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((100, 1))
    copy = BlockCovariance(
        names=("a", "b", "c"),
        blocks={"a": (0,), "b": (1,), "c": (2,)},
        covariance=np.corrcoef(np.hstack([x, 2 * x, rng.standard_normal((100, 1))]).T),
        num_records=np.full((3, 3), 99.0),
    )
    families = BlockScore.from_covariance(copy).families([0])
    assert np.all(np.isfinite(families.here[1:]))
    assert np.isfinite(families.with_one_more[2, 1])


def test_wrong_options_are_refused():
    statistics, _ = random_statistics(0)
    with pytest.raises(InputError, match=r"discovery\.penalty"):
        BlockScore.from_covariance(statistics, penalty=0.0)
    with pytest.raises(InputError, match="5 x 5"):
        BlockScore.from_covariance(statistics, edge_prior=np.zeros((3, 3)))
