"""The degree of a basis is read from the sums alone."""

import numpy as np

from fedcausal.moments.basis_choice import needed_degrees, with_needed_degrees
from fedcausal.moments.covariance import BlockCovariance

NAMES = ("a", "b", "c")


def _statistics(rows, notes=()):
    columns = np.column_stack([x**k for x in rows.T for k in (1, 2, 3)])
    blocks = {name: tuple(range(3 * i, 3 * i + 3)) for i, name in enumerate(NAMES)}
    return BlockCovariance(
        names=NAMES,
        blocks=blocks,
        covariance=np.corrcoef(columns.T),
        num_records=np.full((3, 3), len(rows) - 1.0),
        responses={name: block[:1] for name, block in blocks.items()},
        notes=notes,
    )


def _rows(mechanism, seed, n=800):
    rng = np.random.default_rng(seed)
    a = rng.standard_normal(n)
    b = mechanism(a) + rng.standard_normal(n)
    return np.column_stack([a, b, rng.standard_normal(n)])


def test_degrees_follow_the_mechanism():
    assert needed_degrees(_statistics(_rows(lambda x: x**2, 0)))["a"] == 2
    assert needed_degrees(_statistics(_rows(lambda x: np.sin(2 * x), 0)))["a"] == 3


def test_linear_mechanisms_stay_linear():
    """Null: no bend anywhere; nine in ten tables must show none."""
    found = [needed_degrees(_statistics(_rows(lambda x: 0.8 * x, seed))) for seed in range(20)]
    assert sum(set(degrees.values()) == {1} for degrees in found) >= 18


def test_one_bend_keeps_the_polynomials_and_a_note_names_it():
    statistics = _statistics(_rows(lambda x: x**2, 0), notes=("before",))
    kept = with_needed_degrees(statistics, ["a", "c"])
    first, note = kept.notes
    assert first == "before"
    assert "curvature in a (degree 2)" in note
    assert kept.blocks == statistics.blocks


def test_without_a_bend_the_named_variables_are_lines():
    statistics = _statistics(_rows(lambda x: 0.8 * x, 0))
    narrowed = with_needed_degrees(statistics, ["a", "c"])
    assert {name: len(block) for name, block in narrowed.blocks.items()} == {
        "a": 1,
        "b": 3,
        "c": 1,
    }
    rows = [0, 3, 4, 5, 6]
    assert np.array_equal(narrowed.covariance, statistics.covariance[np.ix_(rows, rows)])
    assert narrowed.responses == {"a": (0,), "b": (1,), "c": (4,)}
    assert "no curvature" in narrowed.notes[0]
    assert with_needed_degrees(narrowed, ["a", "b", "c"]).is_linear
    assert with_needed_degrees(statistics, []) is statistics
