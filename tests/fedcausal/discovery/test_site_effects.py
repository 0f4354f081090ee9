"""The warning names what differs, what fits when, and which graph is sparser."""

import pytest

from fedcausal.discovery.site_effects import compare_site_effects, differing_pairs
from fedcausal.graph import Graph

SPARSE = Graph.cpdag("abcd", [("a", "c"), ("b", "c")], [("c", "d")])
DENSE = Graph.cpdag("abcd", [("a", "c"), ("b", "c"), ("a", "d")], [("c", "d")])
TURNED = Graph.cpdag("abcd", [("a", "c"), ("b", "c"), ("c", "d")], [])


def test_equal_graphs_are_silent():
    assert compare_site_effects("center", SPARSE, SPARSE) == ()
    with_probabilities = SPARSE.with_probabilities(lambda _: 0.5)
    assert compare_site_effects("center", SPARSE, with_probabilities) == ()


def test_pairs_differ_by_edge_or_by_mark():
    assert differing_pairs(SPARSE, DENSE) == (("a", "d"),)
    assert differing_pairs(SPARSE, TURNED) == (("c", "d"),)
    assert differing_pairs(SPARSE, Graph.cpdag("abc", [("a", "c")], [])) == (("b", "c"),)


@pytest.mark.parametrize(
    ("declared", "other"), [("center", "standardize"), ("standardize", "center")]
)
def test_the_warning_says_what_fits_when_and_names_the_sparser_one(declared, other):
    (note,) = compare_site_effects(declared, DENSE, SPARSE)
    assert f'"{declared}" (4 edges)' in note
    assert "differ on 1 pair (a and d)" in note
    assert "differ in means" in note
    assert "units or scales drift" in note
    assert note.endswith(f"Here {other} needs fewer edges, which speaks for it.")
    (note,) = compare_site_effects(declared, SPARSE, TURNED)
    assert note.endswith("see discovery.site_effects.")
