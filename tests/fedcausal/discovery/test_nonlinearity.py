"""Nonlinearity directs an edge only when the reverse is clearly worse and no simpler."""

import numpy as np
import pytest

from fedcausal.discovery import nonlinearity
from fedcausal.discovery.knowledge import Knowledge
from fedcausal.discovery.nonlinearity import direct_by_nonlinearity
from fedcausal.graph import Graph
from fedcausal.moments.covariance import BlockCovariance
from fedcausal.scores.score import BlockScore

AB = Graph.dag("ab", [("b", "a")])
FREE = Knowledge(nodes=("a", "b"))


def _score(rows, names=("a", "b")):
    scaled = np.clip((rows - rows.mean(axis=0)) / rows.std(axis=0) / 3, -1, 1)
    columns = np.column_stack([x**k for x in scaled.T for k in (1, 2, 3)])
    blocks = {name: tuple(range(3 * i, 3 * i + 3)) for i, name in enumerate(names)}
    statistics = BlockCovariance(
        names=tuple(names),
        blocks=blocks,
        covariance=np.corrcoef(columns.T),
        num_records=np.full((len(names), len(names)), len(rows) - 1.0),
        responses={name: block[:1] for name, block in blocks.items()},
    )
    return BlockScore.of_responses(statistics)


def _pair(bend, noise, seed, n=1000):
    rng = np.random.default_rng(seed)
    cause = noise(rng, n)
    return np.column_stack([cause, bend(cause) + noise(rng, n)])


def _normal(rng, n):
    return rng.standard_normal(n)


@pytest.mark.parametrize(
    ("bend", "at_least"),
    [(lambda x: x**2, 10), (lambda x: x + x**2, 5), (lambda x: np.sin(2 * x), 0)],
    ids=["square", "line and square", "sine, whose reverse looks like a line"],
)
def test_a_bent_cause_is_told_from_its_effect(bend, at_least):
    found = [
        direct_by_nonlinearity(AB, _score(_pair(bend, _normal, seed)), FREE).against
        for seed in range(10)
    ]
    assert set(found) <= {(), (("b", "a"),)}
    assert sum(bool(against) for against in found) >= at_least


@pytest.mark.parametrize(
    "noise",
    [_normal, lambda rng, n: rng.exponential(size=n), lambda rng, n: rng.laplace(size=n)],
    ids=["normal", "exponential", "laplace"],
)
def test_lines_stay_undirected_whatever_their_noise(noise):
    """Null: a linear pair; against its direction a skewed one bends, along it it does not."""
    found = [
        direct_by_nonlinearity(AB, _score(_pair(lambda x: 0.8 * x, noise, seed)), FREE).against
        for seed in range(20)
    ]
    assert sum(bool(against) for against in found) <= 1


def test_a_direction_that_knowledge_settles_is_not_asked_about():
    score = _score(_pair(lambda x: x**2, _normal, 0))
    known = Knowledge(nodes=("a", "b"), required=(("b", "a"),))
    assert direct_by_nonlinearity(AB, score, known).against == ()


def test_a_component_of_too_many_members_is_left_as_it_is(monkeypatch):
    rng = np.random.default_rng(0)
    score = _score(rng.standard_normal((300, 4)), "abcd")
    complete = Graph.dag("abcd", [(a, b) for a in "abcd" for b in "abcd" if a < b])
    monkeypatch.setattr(nonlinearity, "MAX_MEMBERS", 23)
    found = direct_by_nonlinearity(complete, score, Knowledge(nodes=tuple("abcd")))
    assert found.against == ()
    assert "a, b, c, d are joined without directions" in found.notes[0]
    monkeypatch.setattr(nonlinearity, "MAX_MEMBERS", 24)
    assert direct_by_nonlinearity(complete, score, Knowledge(nodes=tuple("abcd"))).notes == ()
