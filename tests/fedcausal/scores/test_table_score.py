"""BDeu and BIC of tables: against their definitions, decomposable, equal in a class."""

from dataclasses import replace
from itertools import permutations
from math import lgamma, log

import numpy as np
import pytest

from fedcausal.equivalence import cpdag_of
from fedcausal.errors import InputError
from fedcausal.graph import Graph
from fedcausal.schema import Kind, Schema, Variable
from fedcausal.scores.completed_tables import CompletedTables
from fedcausal.scores.table_score import TableScore, bdeu, bic

NAMES, LEVELS = ("a", "b", "c", "d"), (2, 3, 2, 2)


def schema_of(levels=LEVELS):
    return Schema(
        tuple(
            Variable(name=n, kind=Kind.CATEGORICAL, categories=tuple(f"l{k}" for k in range(size)))
            for n, size in zip("abcdefghijklmnop", levels, strict=False)
        )
    )


def score_of(kind, seed=0, *, num_records=300):
    """A score from complete tables of dependent codes."""
    rng = np.random.default_rng(seed)
    codes = [rng.integers(0, 2, num_records)]
    for size in LEVELS[1:]:
        codes.append((codes[-1] * (rng.random(num_records) < 0.7) + rng.integers(0, size)) % size)
    whole = np.zeros(LEVELS)
    np.add.at(whole, tuple(codes), 1)
    tables = CompletedTables(
        schema=schema_of(),
        missing=frozenset(),
        num_records=num_records,
        released={
            tuple(k for k in range(4) if mask >> k & 1): whole.sum(
                axis=tuple(k for k in range(4) if not mask >> k & 1)
            )
            for mask in range(16)
        },
    )
    return TableScore(tables=tables, names=NAMES, kind=kind)


def bdeu_by_records(codes, child, parents, levels):
    """The product of predictive probabilities of Polya urns, one record after another."""
    combinations = int(np.prod([levels[p] for p in parents]))
    seen, total = {}, 0.0
    for record in codes:
        urn = seen.setdefault(tuple(record[list(parents)]), np.zeros(levels[child]))
        prior = 1.0 / combinations
        share = (urn[record[child]] + prior / levels[child]) / (urn.sum() + prior)
        urn[record[child]] += 1
        total += log(share)
    return total


def test_bdeu_is_the_probability_of_the_records_in_turn():
    rng = np.random.default_rng(1)
    codes = np.column_stack([rng.integers(0, size, 60) for size in LEVELS])
    table = np.zeros((2, 3, 2))
    np.add.at(table, (codes[:, 2], codes[:, 1], codes[:, 0]), 1)
    assert bdeu(table) == pytest.approx(bdeu_by_records(codes, 2, (1, 0), LEVELS))
    alone = np.array([3.0, 4.0])
    gammas = lgamma(1) - lgamma(8) + sum(lgamma(0.5 + n) - lgamma(0.5) for n in alone)
    assert bdeu(alone) == pytest.approx(gammas)


def test_bic_is_the_likelihood_less_its_parameters():
    table = np.array([[10.0, 0.0], [30.0, 20.0]])
    likelihood = 10 * log(0.25) + 30 * log(0.75)
    expected = likelihood - 0.5 * 2 * log(60)
    assert bic(table, num_records=60, penalty=1.0) == pytest.approx(expected)


@pytest.mark.parametrize("kind", ["bdeu", "bic"])
def test_equivalent_graphs_have_one_score_and_it_is_a_sum_over_families(kind):
    score, classes = score_of(kind), {}
    for order in permutations(NAMES):
        for mask in range(8):
            edges = [(order[k], order[k + 1]) for k in range(3) if mask >> k & 1]
            edges += [(order[0], order[2])] if mask & 1 else []
            dag = Graph.dag(NAMES, edges)
            classes.setdefault(cpdag_of(dag), []).append(score.total(dag))
            families = [
                score.local(i, sorted(NAMES.index(p) for p in dag.parents(n)))
                for i, n in enumerate(NAMES)
            ]
            assert score.total(dag) == pytest.approx(sum(families))
    assert max(len(scores) for scores in classes.values()) > 2
    for scores in classes.values():
        np.testing.assert_allclose(scores, scores[0])


@pytest.mark.parametrize("kind", ["bdeu", "bic"])
def test_families_are_local_scores_of_released_sets(kind):
    score = score_of(kind)
    families = score.families([1])
    assert families.here[0] == pytest.approx(score.local(0, [1]))
    assert families.here[1] == families.with_one_more[0, 1] == -np.inf
    assert families.with_one_more[0, 2] == pytest.approx(score.local(0, [1, 2]))
    kept = {p: t for p, t in score.tables.released.items() if p != (0, 1, 2)}
    fewer = replace(score, tables=replace(score.tables, released=kept))
    assert fewer.families([1]).with_one_more[0, 2] == -np.inf
    assert np.isfinite(fewer.local(0, [1, 2]))
    pairs = {p: t for p, t in score.tables.released.items() if len(p) < 3}
    alone = replace(score, tables=replace(score.tables, released=pairs))
    assert np.isnan(alone.families([1, 2]).here[0])


def test_a_penalty_makes_edges_dearer():
    for kind in ("bdeu", "bic"):
        score = score_of(kind)
        dearer = replace(score, penalty=2.0)
        assert dearer.local(1, [0]) < score.local(1, [0])


def test_too_many_required_parents_are_refused():
    tables = CompletedTables(schema=schema_of((5,) * 8), missing=frozenset(), num_records=9)
    score = TableScore(tables=tables, names=tuple("abcdefgh"))
    with pytest.raises(InputError, match="'a' and its required parents have 390625"):
        score.local(0, list(range(1, 8)))
