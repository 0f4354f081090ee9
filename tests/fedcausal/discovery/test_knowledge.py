"""Background knowledge: what it permits, and contradictions that cannot exist."""

import pytest

from fedcausal.discovery.knowledge import Knowledge
from fedcausal.errors import KnowledgeError
from fedcausal.graph import Graph

NODES = ("age", "dose", "outcome", "site")


def test_tiers_forbid_edges_from_later_to_earlier():
    knowledge = Knowledge(nodes=NODES, tiers=(("age",), ("dose", "outcome")))
    assert knowledge.allows("age", "dose")
    assert not knowledge.allows("dose", "age")
    assert knowledge.allows("dose", "outcome")
    assert knowledge.allows("outcome", "dose")
    assert knowledge.allows("site", "age")
    assert knowledge.allows("outcome", "site")
    assert knowledge.tier("outcome") == 1
    assert knowledge.tier("site") is None


def test_a_required_edge_forbids_its_reverse():
    knowledge = Knowledge(nodes=NODES, required=(("dose", "outcome"),))
    assert knowledge.requires("dose", "outcome")
    assert not knowledge.allows("outcome", "dose")
    assert knowledge.allows_pair("outcome", "dose")


def test_a_pair_forbidden_both_ways_is_never_joined():
    knowledge = Knowledge(nodes=NODES, forbidden=(("age", "site"), ("site", "age")))
    assert not knowledge.allows_pair("age", "site")
    assert knowledge.allows_pair("age", "dose")


def test_masks_follow_the_names_given():
    knowledge = Knowledge(nodes=NODES, tiers=(("age",), ("outcome",)), required=(("dose", "age"),))
    names = ("outcome", "dose", "age")
    assert knowledge.allowed_parents(names) == [0b110, 0b001, 0b010]
    assert knowledge.required_parents(names) == [0, 0, 0b010]
    assert knowledge.predecessors(names) == [0b110, 0, 0b010]


def test_violations_are_listed():
    knowledge = Knowledge(
        nodes=NODES,
        tiers=(("age",), ("dose",)),
        required=(("dose", "outcome"),),
        forbidden=(("site", "dose"),),
    )
    good = Graph.cpdag(NODES, [("age", "dose"), ("dose", "outcome")], [("age", "site")])
    assert knowledge.violations(good) == []
    bad = Graph.cpdag(NODES, [("dose", "age")], [("dose", "site")])
    assert len(knowledge.violations(bad)) == 3


def test_restriction_keeps_what_still_applies():
    knowledge = Knowledge(
        nodes=NODES,
        tiers=(("age",), ("dose", "site")),
        required=(("age", "dose"),),
        forbidden=(("site", "outcome"), ("dose", "age")),
    )
    fewer = knowledge.restrict(("age", "dose"))
    assert fewer.tiers == (("age",), ("dose",))
    assert fewer.forbidden == (("dose", "age"),)
    with pytest.raises(KnowledgeError, match="no usable data"):
        knowledge.restrict(("dose", "outcome"))


def test_emptiness():
    assert Knowledge(nodes=NODES).is_empty
    assert Knowledge(nodes=NODES, tiers=(NODES,)).is_empty
    assert not Knowledge(nodes=NODES, forbidden=(("age", "dose"),)).is_empty


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"tiers": (("aeg",),)}, "did you mean 'age'"),
        ({"required": (("age", "nothing"),)}, "not a variable"),
        ({"forbidden": (("age", "age"),)}, "cannot cause itself"),
        ({"tiers": (("age",), ("age", "dose"))}, "one tier"),
        ({"required": (("age", "dose"),), "forbidden": (("age", "dose"),)}, "both required"),
        ({"required": (("dose", "age"),), "tiers": (("age",), ("dose",))}, "against"),
        ({"required": (("age", "dose"), ("dose", "site"), ("site", "age"))}, "cycle"),
        (
            {
                "required": (("dose", "site"), ("site", "age")),
                "tiers": (("age",), ("dose",)),
            },
            "cycle",
        ),
    ],
)
def test_contradictions_cannot_exist(parts, message):
    with pytest.raises(KnowledgeError, match=message):
        Knowledge(nodes=NODES, **parts)


def test_a_path_by_way_of_a_free_variable_goes_against_the_tiers():
    knowledge = Knowledge(nodes=("a", "b", "free"), tiers=(("a",), ("b",)))
    detour = Graph.dag(knowledge.nodes, [("b", "free"), ("free", "a")])
    assert knowledge.causes_of_the_past(detour) == [("b", "a")]
    assert knowledge.violations(detour) == ["b causes a, of an earlier tier"]
    assert knowledge.violations(Graph.dag(knowledge.nodes, [("b", "free"), ("a", "free")])) == []
