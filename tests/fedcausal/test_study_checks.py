"""Contradictions between sections are found, each under its key."""

import pytest

from fedcausal.schema import Kind, Schema, Variable
from fedcausal.study_checks import problems_of
from fedcausal.study_sections import DiscoverySection, EffectsSection, KnowledgeSection

SCHEMA = Schema(
    (
        Variable(name="a", kind=Kind.CONTINUOUS, bounds=(0.0, 1.0)),
        Variable(name="b", kind=Kind.BINARY),
        Variable(name="c", kind=Kind.CONTINUOUS),
    )
)


def _keys(effects=(), **knowledge):
    found = problems_of(SCHEMA, KnowledgeSection(**knowledge), EffectsSection(queries=effects))
    return [key for key, _ in found]


def test_what_fits_has_no_problems():
    query = {"treatment": "b", "outcome": "c", "values": [0, 1]}
    assert _keys(tiers=[["a"], ["b", "c"]], required=[["a", "b"]], effects=[query]) == []


def test_each_contradiction_has_its_key():
    assert _keys(tiers=[["a", "a"]]) == ["knowledge.tiers[0]"]
    assert _keys(required=[["a", "b"], ["b", "a"]]) == ["knowledge.required"]
    assert _keys(required=[["b", "a"]], tiers=[["a"], ["b"]]) == ["knowledge.required[0]"]
    assert _keys(forbidden=[["a", "a"]]) == ["knowledge.forbidden[0]"]
    assert _keys(forbidden=[["a", "q"]]) == ["knowledge.forbidden[0]"]


def test_unlisted_variables_of_tiers_are_free():
    assert _keys(tiers=[["a"], ["b"]], required=[["c", "a"], ["b", "c"]]) == []


def test_values_fit_the_treatment():
    query = {"treatment": "b", "outcome": "c", "values": [0, 2]}
    assert _keys(effects=[query]) == ["effects.queries[0].values"]


def test_tables_need_levels_everywhere_and_a_search_by_tests():
    def keys(discovery):
        found = problems_of(SCHEMA, KnowledgeSection(), EffectsSection(), discovery)
        return [(key, message.split(";")[0]) for key, message in found]

    assert keys(DiscoverySection()) == []
    assert keys(DiscoverySection(tests="tables", algorithm="pc")) == [
        ("discovery.tests", "'a' has no levels, and tables need them"),
        ("discovery.tests", "'c' has no levels, and tables need them"),
    ]
    assert keys(DiscoverySection(tests="tables", algorithm="ges"))[0] == (
        "discovery.tests",
        '"ges" does not read tables',
    )
    limited = DiscoverySection(tests="tables", algorithm="pc", time_limit_seconds=9.0)
    assert keys(limited)[0][0] == "discovery.time_limit_seconds"
    assert keys(DiscoverySection(tests="tables", resampling="poisson"))[0] == (
        "discovery.resampling",
        "replicates are of the Gram",
    )
    assert keys(DiscoverySection(score="bic")) == [
        ("discovery.score", "the Gram has a block BIC of its own"),
    ]


@pytest.mark.parametrize("key", ["tiers", "required", "forbidden"])
def test_flop_takes_no_knowledge(key):
    stated = KnowledgeSection(**{key: (("a", "c"),)})
    flop = DiscoverySection(algorithm="flop")
    ((where, said),) = problems_of(SCHEMA, stated, EffectsSection(), flop)
    assert where == "discovery.algorithm"
    assert f"knowledge.{key} states some" in said
    assert problems_of(SCHEMA, KnowledgeSection(), EffectsSection(), flop) == []
    assert problems_of(SCHEMA, stated, EffectsSection(), DiscoverySection()) == []
