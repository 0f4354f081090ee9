from dataclasses import replace

import pytest

from fedcausal.effects.aipw import AipwEstimate
from fedcausal.effects.beside import with_second
from fedcausal.results.answers import answer

SECOND = AipwEstimate(
    mean_first=0.0, mean_second=3.0, estimate=3.0, interval=(2.5, 3.5), num_records=900
)


@pytest.fixture(scope="module")
def estimate(mixed_fit, asked_study):
    return answer(asked_study, mixed_fit.model, seed=0).effects[0]


def said(estimate, second, mixed_fit):
    return with_second(estimate, second, mixed_fit.model.schema).second.sentence


def test_nothing_is_said_where_there_is_none(estimate, mixed_fit):
    assert with_second(estimate, None, mixed_fit.model.schema) == estimate


def test_the_sentence(estimate, mixed_fit):
    text = said(replace(estimate, estimate=3.1), SECOND, mixed_fit)
    assert "is 3 mmHg (95 % interval 2.5 mmHg to 3.5 mmHg)." in text
    assert "over 900 records" in text


def test_disagreement_is_a_flag(estimate, mixed_fit):
    assert "lies outside" in said(replace(estimate, estimate=4.0), SECOND, mixed_fit)


def test_noise_and_sites_are_named(estimate, mixed_fit):
    second = replace(SECOND, noise=0.1, num_sites=9, q=20.0, i_squared=0.6)
    text = said(replace(estimate, estimate=3.0), second, mixed_fit)
    assert "noise drawn for privacy included (sd 0.1 mmHg)" in text
    assert "Sites differ: Cochran's Q = 20 over 9 sites, I^2 = 60%." in text
    assert "do not differ" in said(estimate, replace(second, i_squared=0.1), mixed_fit)


def test_levels_are_in_percentage_points(estimate, mixed_fit):
    level = replace(estimate, outcome="status", outcome_level="dead", estimate=0.03)
    second = replace(SECOND, estimate=0.031, interval=(0.01, 0.05))
    assert "3.1 percentage points" in said(level, second, mixed_fit)
