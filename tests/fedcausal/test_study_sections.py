"""Each section takes what people write and stores one form of it."""

import pytest
from pydantic import ValidationError

from fedcausal.study_sections import (
    DiscoverySection,
    EffectQuery,
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


def test_sections_are_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        DiscoverySection().alpha = 0.5


def test_an_empty_part_is_no_privacy_and_an_epsilon_is_kept_for_the_model():
    assert PrivacySection(model={}) == PrivacySection()
    assert PrivacySection(model={"epsilon": 3}).model.epsilon == 3.0
