"""Each section takes what people write and stores one form of it."""

import pytest
from pydantic import ValidationError

from fedcausal.errors import StudyError
from fedcausal.study import Study
from fedcausal.study_file.sections import (
    DiscoverySection,
    EffectQuery,
    EffectsSection,
    ModelSection,
    PrivacySection,
    RoundsSection,
)


def test_defaults_that_every_part_of_the_system_relies_on():
    discovery, privacy, model = DiscoverySection(), PrivacySection(), ModelSection()
    assert (discovery.algorithm, discovery.basis, discovery.site_effects) == (
        "order-search",
        "linear",
        "center",
    )
    assert (discovery.alpha, discovery.bootstrap, discovery.vote_bootstraps) == (0.01, 100, 20)
    assert (privacy.min_sites, privacy.min_cell, privacy.delta, privacy.max_rows) == (
        3,
        5,
        1e-5,
        None,
    )
    assert (privacy.graph, privacy.model, privacy.effects) == (None, None, None)
    assert (model.family, model.device, model.batch) == ("auto", "auto", 32)
    assert (RoundsSection().deadline_seconds, RoundsSection().quorum) == (600.0, None)
    query = EffectQuery(treatment="a", outcome="b", values=[0, 1])
    assert (query.values, query.population) == ((0.0, 1.0), "pooled")


def query(**changes):
    return EffectQuery(treatment="a", outcome="b", values=[0, 1], **changes)


def test_a_query_names_its_population():
    town = query(population="target  town", means={"age": 70, "sex": "f"})
    assert (town.population, town.means) == ("target town", {"age": 70.0, "sex": "f"})
    assert query(population="site north").is_of_a_site
    assert not town.is_of_a_site
    asked = EffectsSection(queries=[query(), town, query(population="site north")])
    assert asked.pooled == (query(),)


@pytest.mark.parametrize(
    ("changes", "key", "fragment"),
    [
        ({"population": "everybody"}, "population", 'expected "pooled", "site NAME"'),
        ({"population": "target town"}, "means", "write for example means = { age = 70 }"),
        ({"population": "site north", "means": {"age": 1}}, "means", "describe a target"),
        ({"means": {"age": 1}}, "means", "describe a target population"),
    ],
)
def test_a_population_comes_with_what_tells_it(changes, key, fragment):
    with pytest.raises(StudyError, match=r"queries\[0\]\." + key) as error:
        Study.model_validate(
            {
                "variables": {n: {"kind": "binary"} for n in ("a", "b", "age")},
                "effects": {
                    "queries": [{"treatment": "a", "outcome": "b", "values": [0, 1], **changes}]
                },
            }
        )
    assert fragment in str(error.value)


def test_sections_are_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        DiscoverySection().alpha = 0.5


def test_an_empty_part_is_no_privacy_and_an_epsilon_is_kept_for_the_model():
    assert PrivacySection(model={}) == PrivacySection()
    assert PrivacySection(model={"epsilon": 3}).model.epsilon == 3.0
