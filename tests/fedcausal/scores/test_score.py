"""The block score: decomposition, equivalence, and the regressions its two readings stand for."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from fedcausal.equivalence import cpdag_of
from fedcausal.errors import InputError
from fedcausal.graph import Graph
from fedcausal.moments.covariance import BlockCovariance
from fedcausal.scores.score import BlockScore

WIDTHS = (1, 2, 1, 3, 1)
BENT = ("a", "b", "c", "d")


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


def bent_rows(n=400, seed=0):
    rng = np.random.default_rng(seed)
    a = rng.standard_normal(n)
    b = a**2 + rng.standard_normal(n)
    c = 0.8 * b + rng.standard_normal(n)
    return np.column_stack([a, b, c, rng.standard_normal(n)])


def bent_statistics(rows, degree=3, **changes):
    columns = np.column_stack([x**k for x in rows.T for k in range(1, degree + 1)])
    size = rows.shape[1]
    blocks = {BENT[i]: tuple(range(i * degree, (i + 1) * degree)) for i in range(size)}
    parts = {
        "names": BENT[:size],
        "blocks": blocks,
        "covariance": np.corrcoef(columns.T),
        "num_records": np.full((size, size), len(rows) - 1.0),
        "responses": {name: block[:1] for name, block in blocks.items()},
    }
    return BlockCovariance(**{**parts, **changes})


@pytest.mark.parametrize("parents", [(), (0,), (2, 3)])
def test_an_additive_score_is_the_bic_of_a_least_squares_fit(parents):
    rows = bent_rows()
    score = BlockScore.of_responses(bent_statistics(rows), penalty=2.0)
    design = np.column_stack(
        [np.ones(len(rows)), *(rows[:, p] ** k for p in parents for k in (1, 2, 3))]
    )
    residual = rows[:, 1] - design @ np.linalg.lstsq(design, rows[:, 1], rcond=None)[0]
    n = len(rows) - 1.0
    fit = np.log(residual.var() / rows[:, 1].var())
    expected = -0.5 * n * fit - 0.5 * 2.0 * np.log(n) * 3 * len(parents)
    assert score.local(1, parents) == pytest.approx(expected, abs=0.5)


def test_with_one_feature_each_both_readings_are_one():
    statistics = bent_statistics(bent_rows(), degree=1)
    child = BlockScore.of_responses(statistics)
    block = BlockScore.from_covariance(statistics)
    for parents in ([], [0], [0, 3]):
        assert child.local(2, parents) == pytest.approx(block.local(2, parents), abs=1e-6)


@pytest.mark.parametrize("with_levels", [False, True])
@pytest.mark.parametrize("missing", [False, True])
def test_one_additive_pass_equals_family_by_family(with_levels, missing):
    statistics, size = bent_statistics(bent_rows()), len(BENT)
    changes = {}
    if with_levels:
        changes["responses"] = {**statistics.responses, "b": statistics.blocks["b"]}
    if missing:
        counts = np.random.default_rng(1).integers(200, 400, (size, size)).astype(float)
        changes["num_records"] = np.minimum(counts, counts.T)
    statistics = bent_statistics(bent_rows(), **changes)
    prior = np.random.default_rng(2).normal(size=(size, size))
    score = BlockScore.of_responses(statistics, edge_prior=prior, names=("d", "b", "a", "c"))
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
    score = BlockScore.of_responses(bent_statistics(bent_rows()))
    line, bend = score.line_and_bend(1, 0, ())
    assert line < 5.0 < bend
    line, bend = score.line_and_bend(2, 1, ())
    assert bend < 0.0 < line


def test_a_response_need_not_lead_its_block():
    statistics = bent_statistics(bent_rows())
    turned = {name: block[::-1] for name, block in statistics.blocks.items()}
    first = BlockScore.of_responses(statistics)
    second = BlockScore.of_responses(replace(statistics, blocks=turned))
    assert second.local(1, [0, 3]) == pytest.approx(first.local(1, [0, 3]), abs=1e-8)
    assert second.line_and_bend(1, 0, [2]) == pytest.approx(first.line_and_bend(1, 0, [2]))
