"""Contradictions between sections are found, each under its key."""

import pytest

from fedcausal.schema import Kind, Schema, Variable
from fedcausal.study_file.checks import problems_of
from fedcausal.study_file.sections import (
    DiscoverySection,
    EffectsSection,
    KnowledgeSection,
    ModelSection,
    PrivacySection,
)

SCHEMA = Schema(
    (
        Variable(name="a", kind=Kind.CONTINUOUS, bounds=(0.0, 1.0)),
        Variable(name="b", kind=Kind.BINARY),
        Variable(name="c", kind=Kind.CONTINUOUS),
    )
)


def _keys(effects=(), privacy=None, discovery=None, model=None, **knowledge):
    found = problems_of(
        SCHEMA,
        KnowledgeSection(**knowledge),
        EffectsSection(queries=effects),
        PrivacySection(**(privacy or {})),
        DiscoverySection(**(discovery or {})),
        ModelSection(**(model or {})),
    )
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


def test_a_query_is_about_variables_of_a_given_graph():
    query = {"treatment": "b", "outcome": "c", "values": [0, 1]}
    asked = {"effects": [query]}
    assert _keys(graph="dag { a -> b }", **asked) == ["effects.queries[0].outcome"]
    assert _keys(graph="dag { a -> b b -> c }", **asked) == []
    assert _keys(graph="no graph", **asked) == []  # refused when it is read, with its own reason


def test_values_fit_the_treatment():
    query = {"treatment": "b", "outcome": "c", "values": [0, 2]}
    assert _keys(effects=[query]) == ["effects.queries[0].values"]


def test_tables_need_levels_everywhere_and_a_search_by_tests():
    def keys(discovery):
        found = problems_of(
            SCHEMA,
            KnowledgeSection(),
            EffectsSection(),
            PrivacySection(),
            discovery,
            ModelSection(),
        )
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


PRIVATE = {"graph": {"epsilon": 1.0}}


def test_a_private_graph_needs_public_bounds():
    assert _keys(privacy=PRIVATE) == ["variables.c.bounds"]
    assert _keys(privacy={"model": {"epsilon": 1.0}}) == []


def test_what_has_no_noisy_form_is_refused_beside_an_epsilon():
    found = _keys(
        privacy=PRIVATE, discovery={"site_effects": "standardize", "heterogeneity": True}
    )
    assert found == ["variables.c.bounds", "discovery.heterogeneity", "discovery.site_effects"]
    given = "dag { a -> c }"
    found = _keys(privacy=PRIVATE, discovery={"heterogeneity": True}, graph=given)
    assert "discovery.heterogeneity" in found
    found = _keys(privacy=PRIVATE, discovery={"resampling": "poisson"})
    assert found == ["variables.c.bounds", "discovery.resampling"]
    assert "discovery.tests" in _keys(privacy=PRIVATE, discovery={"tests": "tables"})


@pytest.mark.parametrize("part", ["model", "effects"])
def test_exact_sums_of_residuals_have_no_place_beside_an_epsilon(part):
    private = {part: {"epsilon": 1.0}}
    assert "model.variance" in _keys(privacy=private, model={"variance": "by-parents"})
    assert "model.variance" not in _keys(privacy=private)
    assert _keys(model={"variance": "by-parents"}) == []
    assert "model.mechanism" in _keys(privacy=private, model={"mechanism": "auto"})
    many = {"mechanism": "auto", "family": "nodeflow", "members": 3}
    assert _keys(model=many) == ["model.mechanism"]
    assert _keys(model={**many, "members": 1}) == []


@pytest.mark.parametrize("key", ["tiers", "required", "forbidden"])
def test_flop_takes_no_knowledge(key):
    def found(knowledge, discovery):
        rest = (EffectsSection(), PrivacySection(), discovery, ModelSection())
        return problems_of(SCHEMA, knowledge, *rest)

    stated = KnowledgeSection(**{key: (("a", "c"),)})
    flop = DiscoverySection(algorithm="flop")
    ((where, said),) = found(stated, flop)
    assert where == "discovery.algorithm"
    assert f"knowledge.{key} states some" in said
    assert found(KnowledgeSection(), flop) == []
    assert found(stated, DiscoverySection()) == []
